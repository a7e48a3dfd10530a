"""Rules of windows that slide over places: padding, pooling, convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.extend import core

from rfp_jax._core.dimensions import shape_of
from rfp_jax.maps._reach.hull import NOTHING, Reach
from rfp_jax.maps._reach.shifts import Blocked, Shifts, Value, depends, followed


class Window(NamedTuple):
    """A window along a dimension; `base` is the dilation of what it slides over."""

    size: int
    stride: int
    padding: tuple[int, int]
    base: int
    dilation: int


def _windowed(reach: Reach, d: int, window: Window) -> Reach:
    """The reach of windows along a dimension; padding has that of the edge beside it."""
    size, stride, (before, after), base, dilation = window
    n = reach.lo.shape[d]
    if n == 1 and d not in reach.steps:
        return reach
    count = ((n - 1) * base + before + after - (size - 1) * dilation) // stride + 1
    places = np.arange(count)[:, None] * stride - before + np.arange(size) * dilation
    hole = (places % base != 0).reshape(*places.shape, *(1 for _ in reach.lo.shape[d + 1 :]))
    inside = np.clip(places // base, 0, n - 1)
    lo, hi = (end.take(inside, d) for end in (reach.lo, reach.hi))  # windows are dimension d + 1
    paces = dict(reach.steps)
    if d in paces:
        paces[d] = paces[d] * stride / base
    lo, hi = np.where(hole, NOTHING, lo), np.where(hole, -NOTHING, hi)
    return Reach(lo.min(d + 1), hi.max(d + 1), paces)


def pad(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    reach = followed(operands)
    for d, (before, after, interior) in enumerate(eqn.params["padding_config"]):
        if (before, after, interior) != (0, 0, 0):
            reach = _windowed(reach, d, Window(1, 1, (before, after), interior + 1, 1))
    return reach


def pool(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    p, reach = eqn.params, followed(operands)
    ones = (1,) * reach.lo.ndim
    each = zip(
        p["window_dimensions"],
        p["window_strides"],
        p["padding"],
        p.get("base_dilation", ones),
        p.get("window_dilation", ones),
        strict=True,
    )
    for d, window in enumerate(each):
        if window != (1, 1, (0, 0), 1, 1):
            reach = _windowed(reach, d, Window(*window))
    return reach


def convolution(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    p, (lhs, rhs) = eqn.params, operands
    if depends(rhs) or not isinstance(lhs, Reach):
        raise Blocked("convolves with a kernel that depends on a source")
    numbers = p["dimension_numbers"]
    batch, features, *space = numbers.lhs_spec
    kernel = [shape_of(eqn.invars[1])[d] for d in numbers.rhs_spec[2:]]
    if lhs.lo.shape[batch] > 1 and p["batch_group_count"] > 1:
        raise Blocked("sums over groups of samples")
    reach = lhs.reduced([features], keep=True)
    for i, d in enumerate(space):
        window = Window(
            kernel[i],
            p["window_strides"][i],
            tuple(p["padding"][i]),
            p["lhs_dilation"][i],
            p["rhs_dilation"][i],
        )
        reach = _windowed(reach, d, window)
    reach = reach.moved(batch, features, *space)
    back = np.argsort(numbers.out_spec)
    return reach.moved(*map(int, back))
