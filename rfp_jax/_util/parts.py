"""The parts of a relevance table or a map: its sources, what came from none of them, and shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

BIAS = "bias"
"""The name of what came from no source, the last of the dimension `source`."""


def source_names(table: xr.Dataset | xr.DataArray) -> list[str]:
    """Return the names of the sources of a table or a map, without the bias."""
    return [str(name) for name in table["source"].values if name != BIAS]


def by_source(table: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the relevance of each source of a table by its name, without the bias."""
    return {name: table.relevance.sel(source=name).values for name in source_names(table)}


def shares(relevance: xr.DataArray, *, bias: bool = False) -> xr.DataArray:
    """Return the share of each source, `|R_s| / sum |R|`.

    Args:
        relevance: with the dimension `source`.
        bias: whether the bias takes part; else it is left out.

    Returns:
        Numbers that add up to 1 over `source`: equal ones where no source has any relevance, NaN
        where a relevance is not finite.

    Examples:
        >>> import xarray as xr
        >>> parts = xr.DataArray([[3.0, 0.0], [-1.0, 0.0], [5.0, 0.0]], dims=("source", "sample"))
        >>> shares(parts.assign_coords(source=["optical", "sar", "bias"])).values.tolist()
        [[0.75, 0.5], [0.25, 0.5]]
    """
    if not bias:
        relevance = relevance.isel(source=relevance.source != BIAS)
    size = abs(relevance)
    total = size.sum("source", skipna=False)
    found = (size / total.where(total > 0, 1)).where(total > 0, 1 / size.sizes["source"])
    words = {"long_name": "share of relevance", "units": "1"}
    return found.where(np.isfinite(total)).rename("share").assign_attrs(words)
