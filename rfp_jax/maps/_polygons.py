"""Relevance of polygons: fields, districts, catchments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.ground import transform_of
from rfp_jax._util.parts import shares, source_names
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
        such), `output`, `relevance_SOURCE` (bias too) and `share_SOURCE`; NaN where there are none,
        as in rows without a geometry.

    Raises:
        SceneError: the polygons are not polygons, not valid, or have no coordinate system or a
            column of such a name; or it is a map of several classes.
    """
    with needs_extra("Relevance of polygons", extra="maps"):
        import exactextract
        import rioxarray  # noqa: F401
        import xarray as xr
    if "class" in scene.dims:
        raise SceneError(
            "by_polygon() takes a map of one class: choose it first, "
            f"scene.sel({{'class': {scene['class'].values[0]!r}}})"
        )
    scene = scene.rio.write_transform(transform_of(scene))
    names = list(map(str, scene.source.values))
    sources = source_names(scene)
    columns = ["n", "output", *(f"relevance_{n}" for n in names), *(f"share_{n}" for n in sources)]
    _check(polygons, columns)
    known = np.array([not (g is None or g.is_empty) for g in np.asarray(polygons.geometry)], bool)
    placed = polygons[known].to_crs(scene.rio.crs).reset_index(drop=True)

    def sums(array: xr.DataArray, operation: str = "sum") -> np.ndarray:
        """Sum over the pixels of each polygon; [polygon], 0 for one without a geometry."""
        import pandas as pd

        every = np.zeros(len(polygons))
        if known.any():
            found: object = exactextract.exact_extract(
                array.rio.write_crs(scene.rio.crs), placed, operation, output="pandas"
            )
            assert isinstance(found, pd.DataFrame)
            every[known] = found.iloc[:, 0].to_numpy(np.float64)
        return every

    result = polygons.copy()
    result["n"] = np.nan_to_num(sums(scene.output, "count"))
    result["output"] = sums(scene.output)
    parts = {name: scene.relevance.sel(source=name, drop=True) for name in names}
    for name, part in parts.items():
        result[f"relevance_{name}"] = sums(part)
    sizes = [sums(abs(parts[name])) for name in sources]
    shared = shares(xr.DataArray(sizes, {"source": sources}, ("source", "row")))
    for name in sources:
        result[f"share_{name}"] = shared.sel(source=name).to_numpy()
    result.loc[(result["n"] == 0).to_numpy(), columns[1:]] = np.nan
    return result


def _check(polygons: gpd.GeoDataFrame, columns: Sequence[str]) -> None:
    """Refuse what is not a GeoDataFrame of polygons that can be summed over.

    Raises:
        SceneError: says what to do.
    """
    import geopandas as gpd
    import shapely

    if not isinstance(polygons, gpd.GeoDataFrame):
        raise SceneError(
            f"polygons must be a GeoDataFrame, got {type(polygons).__name__}: "
            "geopandas.GeoDataFrame(geometry=...) makes one of geometries, "
            "geopandas.read_file(...) of a file"
        )
    if polygons.crs is None:
        raise SceneError("the polygons have no coordinate system: polygons.set_crs(...)")
    if twice := sorted({*columns} & {*polygons.columns}):
        raise SceneError(f"the polygons have columns of these names already: {twice}; rename them")
    shapes = np.asarray(polygons.geometry)
    for row, shape in zip(polygons.index, shapes, strict=True):
        if shape is None:
            continue
        if shape.geom_type not in ("Polygon", "MultiPolygon"):
            raise SceneError(
                f"row {row!r} is a {shape.geom_type}, not a polygon: give it an area, with "
                "polygons.buffer(...) in meters"
            )
        if not shape.is_valid:
            raise SceneError(
                f"the polygon in row {row!r} is not valid ({shapely.is_valid_reason(shape)}): "
                "polygons.make_valid() repairs it"
            )
