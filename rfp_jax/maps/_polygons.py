"""Relevance of polygons: fields, districts, catchments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.maps._errors import SceneError

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr


def by_polygon(scene: xr.Dataset, polygons: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the relevance of each source in each polygon.

    A pixel counts by the part of it that a polygon covers, exactly. Relevance and output are sums
    over pixels, so they still add up; the share of a source is the ratio of sums,
    `sum |R_s| / sum over sources of sum |R|`, not a mean of ratios, and leaves out the bias.

    Args:
        scene: a map of the predicted class, or of one class (`scene.sel({"class": name})`).
        polygons: polygons in any coordinate system.

    Returns:
        The polygons as they were given, with the columns `n` (pixels with data, parts counted as
        such), `output`, `relevance_SOURCE` (bias too) and `share_SOURCE`; NaN where there are none.

    Raises:
        SceneError: the polygons have no coordinate system, or it is a map of several classes.
    """
    with needs_extra("Relevance of polygons", extra="maps"):
        import exactextract
        import rioxarray  # noqa: F401
    if "class" in scene.dims:
        raise SceneError(
            "by_polygon() takes a map of one class: choose it first, "
            f"scene.sel({{'class': {scene['class'].values[0]!r}}})"
        )
    if polygons.crs is None:
        raise SceneError("the polygons have no coordinate system: polygons.set_crs(...)")
    placed = polygons.to_crs(scene.rio.crs).reset_index(drop=True)
    names = list(map(str, scene.source.values))

    def sums(array: xr.DataArray, operation: str = "sum") -> np.ndarray:
        import pandas as pd

        found: Any = exactextract.exact_extract(
            array.rio.write_crs(scene.rio.crs), placed, operation, output="pandas"
        )
        assert isinstance(found, pd.DataFrame)
        return found.iloc[:, 0].to_numpy(np.float64)

    result = polygons.copy()
    result["n"] = np.nan_to_num(sums(scene.output, "count"))
    result["output"] = sums(scene.output)
    parts = {name: scene.relevance.sel(source=name, drop=True) for name in names}
    sizes = {}
    for name, part in parts.items():
        result[f"relevance_{name}"] = sums(part)
        if name != "bias":
            sizes[name] = sums(abs(part))
    total = np.sum(list(sizes.values()), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, size in sizes.items():
            result[f"share_{name}"] = np.where(total > 0, size / total, np.nan)
    empty = result["n"] == 0
    columns = ["output", *(c for c in result if c.startswith(("relevance_", "share_")))]
    result.loc[empty.to_numpy(), columns] = np.nan
    return result
