"""The interface of every raster, and its tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._grid import Grid

ROWS = 512
"""Rows that are read at once where all of a raster is read."""


class Raster(Protocol):
    """A raster that can be read."""

    @property
    def grid(self) -> Grid: ...
    @property
    def tags(self) -> Tags: ...
    @property
    def centers(self) -> tuple[np.ndarray, np.ndarray]: ...
    def read(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]: ...
    def onto(self, grid: Grid, resampling: str) -> Raster: ...
    def digest(self) -> str: ...


@dataclass(frozen=True)
class Tags:
    """A raster's account of its own values.

    Attributes:
        bands: descriptions of the bands, "" where there is none.
        dtype: the dtype of its values.
        nodata: what stands for "missing", or None.
        scales, offsets: per band.
        times: how many dates the bands hold, date by date.
    """

    bands: tuple[str, ...]
    dtype: np.dtype
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    times: int = 1

    @property
    def has_scale(self) -> bool:
        """Tell whether a scale or an offset is not trivial."""
        return any(s != 1 for s in self.scales) or any(o != 0 for o in self.offsets)


def missing(values: np.ndarray, nodata: float | None) -> np.ndarray:
    """Mark the pixels of [band, y, x] at which a band is missing."""
    found = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if nodata is not None and not np.isnan(nodata):
        found |= values == nodata
    return np.asarray(found.any(0))


def places_of(
    name: str, wanted: Sequence[int | str] | None, words: Sequence[str]
) -> tuple[int, ...]:
    """Positions of the bands that were asked for."""
    if wanted is None:
        return tuple(range(len(words)))
    found = []
    for band in wanted:
        place = (
            band - 1
            if isinstance(band, int)
            else next((i for i, word in enumerate(words) if word == band), -1)
        )
        if not 0 <= place < len(words):
            raise SceneError(
                f"source {name!r} has no band {band!r}; it has 1 to {len(words)}, called "
                f"{list(words)}"
            )
        found.append(place)
    return tuple(found)
