"""The samples of a relevance table as points on a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.tables._query import KNOWN, share

if TYPE_CHECKING:
    import geopandas
    import xarray as xr


def to_geodataframe(
    table: xr.Dataset,
    *,
    x: str = "x",
    y: str = "y",
    crs: str = "crs",
    to: str = "EPSG:4326",
) -> geopandas.GeoDataFrame:
    """Return one row per sample, with its place on the map and the share of each source.

    Args:
        table: a relevance table, with the center of each sample and its coordinate system as
            metadata.
        x: the metadata that holds eastings or longitudes.
        y: the metadata that holds northings or latitudes.
        crs: the metadata that holds the coordinate system of each sample, such as `"EPSG:32633"`,
            or a coordinate system for all.
        to: the coordinate system of the result; by default longitude and latitude.

    Returns:
        A GeoPandas frame of points, with `id`, `label`, `prediction`, the metadata, `failure`,
        `finite`, and `share_SOURCE` of each source. A sample whose place is unknown, such as one
        that could not be read, has no geometry.

    Raises:
        ModuleNotFoundError: GeoPandas is not installed (extra `maps`).
        ValueError: there is no such metadata.

    Examples:
        >>> to_geodataframe(tables.open("relevance.zarr")).explore("share_sar")  # doctest: +SKIP
    """
    names = [str(name) for name, each in table.coords.items() if each.dims == ("sample",)]
    for name in (x, y):
        if name not in names:
            known = ", ".join(n for n in names if n not in KNOWN) or "none"
            raise ValueError(f"no metadata called {name!r}; there are {known}")
    with needs_extra("A map of samples", "maps"):
        import geopandas
        import pandas as pd

    shown = share(table).load()
    frame = pd.DataFrame({name: table[name].values for name in names})
    for source in shown.source.values:
        frame[f"share_{source}"] = shown.sel(source=source).values
    systems = frame[crs] if crs in frame else pd.Series(crs, frame.index)
    known = frame[[x, y]].notna().all(axis=1) & (systems != "")
    nowhere = np.full(len(frame), None)
    places = geopandas.GeoSeries(nowhere, index=frame.index, crs=to)
    for system, rows in frame[known].groupby(systems[known], sort=False):
        points = geopandas.points_from_xy(rows[x], rows[y], crs=str(system)).to_crs(to)
        places[rows.index] = points
    return geopandas.GeoDataFrame(frame, geometry=places)
