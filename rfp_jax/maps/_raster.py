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
        raster = open_file(name, os.fspath(source.data), source)
    elif isinstance(source.data, xr.DataArray | xr.Dataset):
        raster = open_array(name, source.data, source)
    else:
        raise SceneError(
            f"source {name!r} must be a path, an xarray DataArray or Dataset, or "
            f"rfp_jax.maps.Source, got {type(source.data).__name__}"
        )
    if "t" in source.dims:
        _check_dates(name, raster, source)
    return raster


def _check_dates(name: str, raster: Raster, source: Source) -> None:
    """Refuse dates that are not declared, or not those of the data."""
    axis = dict(getattr(source.data, "sizes", {})).get("time")
    if source.times is None and axis is None:
        raise SceneError(
            f"source {name!r} has no axis 'time', and dims={source.dims!r} asks for dates: say how "
            "many its bands hold, date by date, with times="
        )
    bands, times = len(raster.tags.bands), raster.tags.times
    if bands % times or (axis is not None and axis != times):
        held = f"{bands} bands" if axis is None else f"an axis 'time' of {axis}"
        raise SceneError(f"source {name!r} has {held}, which does not fit times={times}")
