"""A source, as a caller describes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Scale = Literal["raw", "apply"] | tuple[float, float] | None
"""Values as they are stored; by the file's tags; by (scale, offset) as `value * scale + offset`."""

Dims = Literal["byxc", "bcyx"]
"""The layout in which a network takes a source: channels last, or first."""


@dataclass(frozen=True)
class Source:
    """A source of a map, where more must be said than where its data are.

    Attributes:
        data: a path, an xarray DataArray [band, y, x] or [y, x], or a Dataset with one variable per
            band. A time axis of size 1 is left out; bands of several times must be stacked before.
        bands: which bands, by number from 1 or by description (for arrays: by coordinate or by
            variable), in the order in which the network takes them; by default all.
        resampling: how a source on another grid is warped, a method of GDAL; by default what
            `relevance` is told.
        nodata: the value that stands for "missing"; by default the one that the data declare. NaN
            always does.
        mask: a path or DataArray on the same grid that is 0 where data are missing.
        scale: what to do with the stored values; by default what `relevance` is told.
        ratio: how many pixels of the reference one pixel of this source is wide, for a network that
            takes sources of several resolutions as they are.
        dims: how the network takes it, `"byxc"` or `"bcyx"`.
        trusted: whether a remote path or a VRT, which may read any other file, may be opened.

    Raises:
        ValueError: a value is not one of these; says which are.

    Examples:
        >>> Source("S2_20m.tif", bands=(1, 2, 3), ratio=2).dims
        'byxc'
    """

    data: Any
    bands: Sequence[int | str] | None = None
    resampling: str | None = None
    nodata: float | None = None
    mask: Any = None
    scale: Scale = None
    ratio: int = 1
    dims: Dims = "byxc"
    trusted: bool = False

    def __post_init__(self) -> None:
        if self.dims not in ("byxc", "bcyx"):
            raise ValueError(f"dims={self.dims!r} is not known; pass 'byxc' or 'bcyx'")
        if not isinstance(self.ratio, int) or self.ratio < 1:
            raise ValueError(f"ratio must be a whole number from 1, got {self.ratio!r}")
        check_scale(self.scale)


def check_scale(scale: Any) -> None:
    """Refuse a scale that is none.

    Raises:
        ValueError: says what to pass.
    """
    numbers = isinstance(scale, tuple) and len(scale) == 2
    if not (scale is None or scale in ("raw", "apply") or numbers):
        raise ValueError(
            f"scale={scale!r} is not known; pass 'raw' (values as stored), 'apply' (by the tags of "
            "the data) or two numbers (scale, offset)"
        )


def as_source(given: Any) -> Source:
    """Return a source of whatever a caller gave for one."""
    if isinstance(given, Source):
        return given
    if isinstance(given, str | os.PathLike):
        return Source(os.fspath(given))
    return Source(given)
