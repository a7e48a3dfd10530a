"""A source, as a caller describes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rfp_jax._util.rasters import Scale, check_ratio, check_scale
from rfp_jax._util.trees import Given
from rfp_jax.maps._dates import check_dims


@dataclass(frozen=True)
class Source:
    """A source of a map, where more must be said than where its data are.

    Attributes:
        data: a path, an xarray DataArray [band, y, x] or [y, x], or a Dataset with one variable per
            band. A time axis [time, band, y, x] of size 1 is left out; a longer one needs `dims=`
            with a "t".
        bands: which bands, by number from 1 or by description (for arrays: by coordinate or by
            variable), in the order in which the network takes them; by default all.
        resampling: how a source on another grid is warped, a method of GDAL; by default what
            `relevance` is told.
        nodata: the value that stands for "missing"; by default the one that the data declare. NaN
            always does, and where a file's own mask or alpha band is 0 data are missing, unless
            `bands` has the alpha band.
        mask: a path or DataArray on the same grid that is 0 where data are missing.
        scale: what to do with the stored values; by default what `relevance` is told.
        ratio: how many pixels of the reference one pixel of this source is wide, for a network that
            takes sources of several resolutions as they are.
        dims: how the network takes it: `"byxc"` or `"bcyx"`, with a "t" for an axis of dates, as in
            `"btcyx"`. What it returns has no such axis.
        times: how many dates the bands of a file hold, date by date, where `dims` has a "t"; an
            array says it by its time axis.
        trusted: whether a remote path or a VRT, which may read any other file, may be opened.

    Raises:
        ValueError: a value is not one of these; says which are.

    Examples:
        >>> Source("S2_20m.tif", bands=(1, 2, 3), ratio=2).dims
        'byxc'
    """

    data: Given
    bands: Sequence[int | str] | None = None
    resampling: str | None = None
    nodata: float | None = None
    mask: Given = None
    scale: Scale = None
    ratio: int = 1
    dims: str = "byxc"
    times: int | None = None
    trusted: bool = False

    def __post_init__(self) -> None:
        check_dims(self.dims)
        if self.times is not None and (not isinstance(self.times, int) or self.times < 1):
            raise ValueError(f"times must be a whole number from 1, got {self.times!r}")
        if self.times is not None and "t" not in self.dims:
            raise ValueError(
                f"times={self.times} needs dims= with a 't', as in 'btcyx', got {self.dims!r}"
            )
        check_ratio(self.ratio)
        check_scale(self.scale)


def as_source(given: Given) -> Source:
    """Return a source of whatever a caller gave for one."""
    if isinstance(given, Source):
        return given
    if isinstance(given, str | os.PathLike):
        return Source(os.fspath(given))
    return Source(given)
