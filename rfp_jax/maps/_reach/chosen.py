"""Rules of operations whose numbers choose the places: gathers, and products with a matrix.

So resizing is written. The numbers must be constants that repeat from place to place.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

import numpy as np
from jax import lax
from jax.extend import core

from rfp_jax._core.dimensions import shape_of
from rfp_jax.maps._reach.hull import NOTHING, Constant, Reach, collapsed, join, period
from rfp_jax.maps._reach.shifts import LARGEST, Blocked, Shifts, Value


def gather(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    reach, indices = operands
    if not isinstance(reach, Reach) or not isinstance(indices, Constant):
        raise Blocked("takes elements at places that depend on a source")
    p, shape = eqn.params, shape_of(eqn.invars[0])
    numbers, sizes = p["dimension_numbers"], list(p["slice_sizes"])
    moving = {*numbers.start_index_map, *numbers.operand_batching_dims}
    for d in range(len(shape)):
        if d not in moving:
            sizes[d] = min(reach.lo.shape[d], sizes[d])
    wide = [shape[d] if d in moving else reach.lo.shape[d] for d in range(len(shape))]
    if prod(wide) > LARGEST:
        raise Blocked("is too large to follow")

    def take(end: np.ndarray, fill: int) -> np.ndarray:
        small = np.clip(np.broadcast_to(end, wide), -(2**30), 2**30).astype(np.int32)
        taken = lax.gather(
            small, indices.value, numbers, tuple(sizes), mode=p["mode"], fill_value=fill
        )
        found = np.asarray(taken, np.int64)
        return np.where(abs(found) >= 2**30, np.sign(found) * NOTHING, found)

    lo, hi = take(reach.lo, 2**30), take(reach.hi, -(2**30))
    gone = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    window = [d for d in range(len(shape)) if d not in gone]
    to = dict(zip(window, map(int, numbers.offset_dims), strict=True))
    kept = {to[d]: s for d, s in reach.steps.items() if d in to and sizes[d] == shape[d]}
    return _refitted(collapsed(Reach(lo, hi)), kept, shifts)


def _refitted(reach: Reach, kept: dict[int, Fraction], shifts: Shifts) -> Reach:
    """Find the steps of dimensions whose elements were chosen by numbers."""
    steps = {d: step for d, step in kept.items() if reach.lo.shape[d] > 1}
    for d in range(reach.lo.ndim):
        if reach.lo.shape[d] > 1 and d not in steps:
            across = tuple(i for i in range(reach.lo.ndim) if i != d)
            found = period(np.stack([reach.lo.min(across), reach.hi.max(across)]))
            if found is None or found[1] == 0:
                raise Blocked("chooses elements by their position in the window")
            steps[d] = Fraction(found[1], found[0])
            shifts.steps.add(abs(Fraction(found[1])))
    return Reach(reach.lo, reach.hi, steps)


def dot(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    """Contracted dimensions are joined; where the axis runs there, by the other one's pattern."""
    (contracted, batches), both = eqn.params["dimension_numbers"], []
    shapes = [shape_of(atom) for atom in eqn.invars]
    rank, free_at = len(shape_of(eqn.outvars[0])), len(batches[0])
    for side in (0, 1):
        shape, value = shapes[side], operands[side]
        free = [d for d in range(len(shape)) if d not in (*contracted[side], *batches[side])]
        order = [*batches[side], *free]
        places = [*range(len(batches[side])), *range(free_at, free_at + len(free))]
        if isinstance(value, Reach):
            axis = [d for d in range(len(shape)) if value.lo.shape[d] > 1]
            whole = len(axis) == 1 and axis[0] in contracted[side]  # not a digit of positions
            if whole and isinstance(operands[1 - side], Constant) and not batches[0]:
                both.append(_banded(eqn, operands, side, axis[0], shifts))
            else:
                left = value.reduced(contracted[side], keep=True).moved(*order, *contracted[side])
                both.append(_placed(left, places, rank))
        free_at += len(free)
    if prod(np.broadcast_shapes(*(r.lo.shape for r in both))) > LARGEST:
        raise Blocked("compares all places with one another")
    return join(both)


def _placed(reach: Reach, places: Sequence[int], rank: int) -> Reach:
    """Put the first dimensions at places of a larger rank."""
    sizes = [1] * rank
    for d, to in enumerate(places):
        sizes[to] = reach.lo.shape[d]
    steps = {places[d]: step for d, step in reach.steps.items() if d < len(places)}
    return reach.taken(lambda end: end.reshape(sizes), steps)


def _banded(
    eqn: core.JaxprEqn, operands: Sequence[Value], side: int, axis: int, shifts: Shifts
) -> Reach:
    """A product with a constant matrix along the axis: by the matrix's entries that are not 0."""
    (contracted, _), value = eqn.params["dimension_numbers"], operands[side]
    matrix = operands[1 - side]
    assert isinstance(value, Reach)
    assert isinstance(matrix, Constant)
    rank = len(shape_of(eqn.outvars[0]))
    mine, its = list(contracted[side]), list(contracted[1 - side])
    numbers = np.asarray(matrix.value)
    pattern = np.moveaxis(numbers, its[mine.index(axis)], 0) != 0
    pattern = pattern.any(tuple(1 + i for i in range(len(its) - 1)) if len(its) > 1 else ())
    outs = pattern.shape[1:]
    flat = pattern.reshape(len(pattern), -1)
    if len(flat) * flat.shape[1] > LARGEST * 4:
        raise Blocked("is too large to follow")
    others = [d for d in range(value.lo.ndim) if d != axis]
    lo, hi = value.lo.min(tuple(others)), value.hi.max(tuple(others))
    ends = [
        np.where(flat, lo[:, None], NOTHING).min(0).reshape(outs),
        np.where(flat, hi[:, None], -NOTHING).max(0).reshape(outs),
    ]
    first = rank - len(outs) if side == 0 else 0
    sizes = [1] * rank
    sizes[first : first + len(outs)] = outs
    reach = collapsed(Reach(ends[0].reshape(sizes), ends[1].reshape(sizes)))
    reach = _refitted(reach, {}, shifts)
    for d, step in reach.steps.items():
        phases, pixels = Fraction(step).denominator, Fraction(step).numerator
        moved = pixels / value.steps[axis] if axis in value.steps else Fraction(0)
        along = np.moveaxis(numbers, its[mine.index(axis)], 0)
        along = np.moveaxis(along, 1 + d - first, 1)
        turns = moved.denominator
        if not _repeats(along, int(moved * turns), phases * turns):
            raise Blocked("weighs elements by their position in the window")
    return reach


def _repeats(matrix: np.ndarray, rows: int, columns: int) -> bool:
    """Tell whether a matrix is the same further down and to the right, but for its edges."""
    n, m = matrix.shape[:2]
    quarter = m // 4
    here = matrix[: n - rows, : m - columns][:, quarter : m - quarter - columns]
    there = matrix[rows:, columns:][:, quarter : m - quarter - columns]
    return bool(np.allclose(here, there, rtol=1e-5, atol=1e-7))
