"""Tables that contradict themselves: `finite` says one thing, the numbers another.

A table that was opened by other means than `rfp_jax.tables.open`, and has lost files, shows fill
values in their place. That can be seen without knowing its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax.tables._evaluate.errors import DamagedTableError

if TYPE_CHECKING:
    import xarray as xr


def check(table: xr.Dataset) -> None:
    """Refuse a table that contradicts itself.

    Args:
        table: a relevance table, or some of its samples; all of it is read.

    Raises:
        DamagedTableError: samples are said to be finite, and their numbers are not, or the other
            way round, or nothing at all is known of them; says which.
    """
    numbers = [np.isfinite(table[name].values) for name in ("relevance", "output")]
    there = np.logical_and.reduce([each.reshape(len(each), -1).all(1) for each in numbers])
    failed = table.failure.values != ""
    unknown = ~failed & ~table.finite.values & (table.id.values == "")
    _refuse(table, (table.finite.values != (there & ~failed)) | unknown)


def blocks(table: xr.Dataset, samples: int = 4096) -> Iterator[xr.Dataset]:
    """Go through a table in blocks of samples, each in memory, one after the other.

    Args:
        table: a relevance table.
        samples: how many samples a block holds.

    Raises:
        DamagedTableError: a block contradicts itself, see `check`.
    """
    size = int(table.attrs.get("chunk", samples))
    size *= max(samples // size, 1)  # whole chunks, so that none is read twice
    for start in range(0, table.sizes["sample"], size):
        block = table.isel(sample=slice(start, start + size)).load()
        check(block)
        yield block


def with_numbers(relevance: xr.DataArray) -> xr.DataArray:
    """Return relevance, if there is some of every sample that is said to have finite numbers.

    Raises:
        DamagedTableError: there is none of some samples; says which.
    """
    if "finite" in relevance.coords:
        lost = ~np.isfinite(relevance.values).all(relevance.get_axis_num("source"))
        _refuse(relevance, lost & relevance.finite.values)
    return relevance


def _refuse(table: xr.Dataset | xr.DataArray, wrong: np.ndarray) -> None:
    if wrong.any():
        named = [f"{i} ({table.id.values[i]})" for i in np.flatnonzero(wrong)[:5]]
        raise DamagedTableError(
            f"{wrong.sum()} samples contradict themselves: `finite` is not what their numbers are, "
            f"as of sample {', '.join(named)}. Files of the table are missing: "
            "rfp_jax.tables.open says which, and evaluate computes them anew"
        )
