"""Ratios and scales of rasters, as callers give them."""

from __future__ import annotations

from typing import Literal

from rfp_jax._util.trees import Given

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
