"""Opening a map, as a Dataset that rioxarray understands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rfp_jax._util.extras import needs_extra
from rfp_jax.maps import _journal as journal
from rfp_jax.maps._errors import SceneError

if TYPE_CHECKING:
    import xarray as xr

SHOWN = 10


def open_map(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a complete map lazily: what is not asked for is not read.

    Args:
        path: the folder that `relevance` has written.

    Returns:
        The map; `maps.relevance` says what is in it. `scene.rio` has its coordinate system.

    Raises:
        FileNotFoundError: there is none, or one that is not complete.
        FileExistsError: something else is there.
        SceneError: files are missing or cut off; names them.
    """
    with needs_extra("Opening a map", extra="maps"):
        import rioxarray  # noqa: F401
        import xarray as xr
    folder = Path(path)
    journal.read_root(folder)
    if found := journal.damage(folder, thorough=False):
        named = "\n".join(f"  {each}" for each in found[:SHOWN])
        raise SceneError(
            f"{folder} is damaged:\n{named}\nRestore these files from a copy, or call relevance "
            "again with overwrite=True"
        )
    scene = xr.open_zarr(folder, chunks=None, consolidated=True, decode_coords="all")
    for name in ("valid", "prediction"):
        if name in scene:
            scene[name].attrs.pop("_FillValue", None)
    scene.attrs.pop("seal", None)
    return scene
