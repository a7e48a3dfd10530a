"""A picture of the ground in the colors that the eye sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.coarse import block_sums
from rfp_jax._util.ground import ground_of
from rfp_jax._util.trees import Given
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._file import bounded_cache
from rfp_jax.maps._grid import Grid
from rfp_jax.maps._raster import open_raster
from rfp_jax.maps._source import as_source

if TYPE_CHECKING:
    import xarray as xr

ROWS = 1024
"""About so many rows are read at once."""

DARKEST, BRIGHTEST = 2, 98
"""Percentiles, over all three bands, that are shown black and white."""


def true_color(scene: xr.Dataset, rgb: Given, *, side: int = 1500) -> np.ndarray:
    """Return a picture of the ground below a map.

    uint8 is shown as it is; other values are stretched, all bands alike, so that colors stay true.

    Args:
        scene: the map.
        rgb: red, green and blue, as sources of a map are given: a path, a DataArray, or a
            `maps.Source` whose `bands` names them; on another grid it is warped.
        side: the most pixels of the picture a side; each is the mean of a block of pixels.

    Returns:
        [y, x, 4] uint8: red, green, blue, and 0 where there are no data, else 255.

    Raises:
        SceneError: there are not three bands, or it is not where the map is.
        ValueError: it is not a map.
    """
    ground = ground_of(scene)
    grid = Grid(ground.crs, ground.transform, *ground.shape)
    factor = -(-max(ground.shape) // side)
    source = as_source(rgb)
    with bounded_cache():
        raster = open_raster("rgb", source)
        if (count := len(raster.tags.bands)) != 3:
            raise SceneError(
                f"rgb has {count} bands; three are shown, red, green and blue: choose them with "
                "rfp_jax.maps.Source(data, bands=(4, 3, 2))"
            )
        if not raster.grid.same_as(grid):
            raster = raster.onto(grid, source.resampling or "bilinear")
        many, parts = max(ROWS // factor, 1) * factor, []
        for start in range(0, grid.height, many):
            rows = slice(start, min(start + many, grid.height))
            values, known = raster.read(rows, slice(0, grid.width))
            seen = block_sums(known, factor)
            sums = block_sums(np.where(known, values, 0), factor)
            with np.errstate(invalid="ignore"):
                parts.append(sums / seen)
    mean = np.concatenate(parts, 1)
    known = np.isfinite(mean).all(0)
    low, high = 0.0, 255.0
    if raster.tags.dtype != np.uint8 and known.any():
        low, high = np.percentile(mean[:, known], (DARKEST, BRIGHTEST))
    shown = np.clip((mean - low) / ((high - low) or 1), 0, 1) * 255
    layers = [*np.nan_to_num(shown), np.where(known, 255, 0)]
    return np.stack(layers, -1).round().astype(np.uint8)
