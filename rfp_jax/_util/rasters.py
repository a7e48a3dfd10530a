"""Ratios and scales of rasters, as callers give them, and their alpha bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rfp_jax._util.trees import Given

if TYPE_CHECKING:
    from rasterio import DatasetReader

Scale = Literal["raw", "apply"] | tuple[float, float] | None
"""Values as they are stored; by the file's tags; by (scale, offset) as `value * scale + offset`."""


def check_scale(scale: Given) -> None:
    """Refuse a scale that is not one.

    Raises:
        ValueError: says what to pass.
    """
    numbers = isinstance(scale, tuple) and len(scale) == 2
    if not (scale is None or scale in ("raw", "apply") or numbers):
        raise ValueError(
            f"scale={scale!r} is not known; pass 'raw' (values as stored), 'apply' (by the tags of "
            "the data) or two numbers (scale, offset)"
        )


def check_ratio(ratio: Given) -> None:
    """Refuse a ratio of pixels that is not a whole number.

    Raises:
        ValueError: says what was given.
    """
    if not isinstance(ratio, int) or ratio < 1:
        raise ValueError(f"ratio must be a whole number from 1, got {ratio!r}")


def alpha_of(file: DatasetReader) -> int | None:
    """Return the alpha band of an open file, counted from 1; None if it has none.

    Where it is read itself it is data and no mask: four bands of bytes are written as red, green,
    blue and alpha, whatever they are.
    """
    from rasterio.enums import ColorInterp

    kinds = list(file.colorinterp)
    return kinds.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in kinds else None
