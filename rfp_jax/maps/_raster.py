"""A source's data, opened: a file or an array."""

from __future__ import annotations

import os

from rfp_jax._util.extras import needs_extra
from rfp_jax.maps._array import open_array
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._file import open_file
from rfp_jax.maps._source import Source
from rfp_jax.maps._tags import Raster

with needs_extra("Maps of relevance", extra="maps"):
    import xarray as xr


def open_raster(name: str, source: Source) -> Raster:
    """Open a source's data.

    Raises:
        SceneError: they cannot be used; says why and what to do.
    """
    if isinstance(source.data, str | os.PathLike):
        return open_file(name, os.fspath(source.data), source)
    if isinstance(source.data, xr.DataArray | xr.Dataset):
        return open_array(name, source.data, source)
    raise SceneError(
        f"source {name!r} must be a path, an xarray DataArray or Dataset, or rfp_jax.maps.Source, "
        f"got {type(source.data).__name__}"
    )
