"""Rules of windows that slide over places: padding, pooling, convolution."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
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


def _along(reach: Reach, d: int, places: np.ndarray, shifts: Shifts) -> list[np.ndarray]:
    """Both ends at places along a dimension, which may lie outside: there the scene goes on."""
    size, step = reach.lo.shape[d], reach.steps.get(d)
    inside = np.clip(places, 0, size - 1)
    beyond = np.zeros_like(places)
    if step is not None:
        phases = max(int(shifts.stride / abs(step)), 1)
        base = np.where(places < 0, 0, max(size - phases, 0))
        turns = np.floor_divide(places - base, phases)
        outside = (places < 0) | (places >= size)
        shown = base + (places - base) - turns * phases
        inside = np.where(outside, np.clip(shown, 0, size - 1), places)
        beyond = np.where(outside, turns * int(phases * step), 0)
    wide = beyond.reshape([-1 if i == d else 1 for i in range(reach.lo.ndim)])
    ends = [end.take(inside, d) for end in (reach.lo, reach.hi)]
    return [np.where(abs(end) >= NOTHING // 2, end, end + wide) for end in ends]


def _windowed(
    reach: Reach,
    d: int,
    window: Window,
    shifts: Shifts,
) -> Reach:
    """The reach of windows along a dimension."""
    size, stride, (before, after), base, dilation = window
    n = reach.lo.shape[d]
    if n == 1 and d not in reach.steps:
        return reach
    extent = (n - 1) * base + 1 + before + after - (size - 1) * dilation
    first = np.arange(max(ceil(extent / stride), 0)) * stride - before
    lo = hi = None
    for k in range(size):
        places = first + k * dilation
        ends = _along(reach, d, np.floor_divide(places, base), shifts)
        hole = (places % base != 0).reshape([-1 if i == d else 1 for i in range(reach.lo.ndim)])
        own = np.where(hole, NOTHING, ends[0]), np.where(hole, -NOTHING, ends[1])
        lo = own[0] if lo is None else np.minimum(lo, own[0])
        hi = own[1] if hi is None else np.maximum(hi, own[1])
    paces = dict(reach.steps)
    if d in paces:
        paces[d] = paces[d] * stride / base
    assert lo is not None
    assert hi is not None
    return Reach(lo, hi, paces)


def pad(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    reach = followed(operands)
    for d, (before, after, interior) in enumerate(eqn.params["padding_config"]):
        if (before, after, interior) != (0, 0, 0):
            reach = _windowed(reach, d, Window(1, 1, (before, after), interior + 1, 1), shifts)
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
            reach = _windowed(reach, d, Window(*window), shifts)
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
        reach = _windowed(reach, d, window, shifts)
    reach = reach.moved(batch, features, *space)
    back = np.argsort(numbers.out_spec)
    return reach.moved(*map(int, back))
