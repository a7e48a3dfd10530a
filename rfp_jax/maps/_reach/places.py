"""Rules of operations that move elements, join them place by place, or reduce dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jax.extend import core

from rfp_jax._core.dimensions import Shape, shape_of
from rfp_jax.maps._reach.hull import Constant, Reach, join
from rfp_jax.maps._reach.shifts import Blocked, Shifts, Value, followed, reaches_of


def check_constants(
    eqn: core.JaxprEqn, operands: Sequence[Value], reach: Reach, shifts: Shifts
) -> None:
    """Refuse constants that differ from place to place: they belong to one window alone."""
    shape = shape_of(eqn.outvars[0])
    for value, atom in zip(operands, eqn.invars, strict=True):
        if not isinstance(value, Constant) or len(shape_of(atom)) != len(shape):
            continue
        for d in reach.outer(shape):
            if shape_of(atom)[d] == 1 or (given := value.collapsed).shape[d] == 1:
                continue
            along = np.moveaxis(given, d, 0)
            middle = along[len(along) // 4 : len(along) - len(along) // 4]
            most = max(int(shifts.stride / abs(reach.steps[d])), 1)
            if not np.array_equal(middle[most:], middle[:-most]):
                raise Blocked("takes part in what depends on the position in the window")


def elementwise(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    reaches = reaches_of(eqn, operands)
    rank = len(shape_of(eqn.outvars[0]))
    reaches = [r if r.lo.ndim == rank else r.everywhere(rank) for r in reaches]  # implicit scalars
    for reach, atom in zip(reaches, eqn.invars, strict=True):  # a single pixel for all
        if any(shape_of(atom)[d] != shape_of(eqn.outvars[0])[d] for d in reach.steps):
            raise Blocked("gives every place what one place has")
    joined = join(reaches)
    check_constants(eqn, operands, joined, shifts)
    return joined


def broadcast(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    reach, result = followed(operands[:1]), shape_of(eqn.outvars[0])
    dims = eqn.params["broadcast_dimensions"]
    sizes, steps = [1] * len(result), {}
    for d, to in enumerate(dims):
        sizes[to] = reach.lo.shape[d]
        if d in reach.steps and shape_of(eqn.invars[0])[d] == result[to]:
            steps[to] = reach.steps[d]
    return reach.taken(lambda end: end.reshape(sizes), steps)


def reshape(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    shape, result = shape_of(eqn.invars[0]), shape_of(eqn.outvars[0])
    reach = followed(operands[:1])
    if (order := eqn.params.get("dimensions")) is not None:  # read in this order, as by vmap
        reach, shape = reach.moved(*order), tuple(shape[d] for d in order)
    return reach.reshaped(shape, result)


def transpose(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    return followed(operands).moved(*eqn.params["permutation"])


def squeeze(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    return followed(operands).reduced([d % _rank(eqn) for d in eqn.params["dimensions"]])


def _rank(eqn: core.JaxprEqn) -> int:
    return len(shape_of(eqn.invars[0]))


def reduce_rule(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    axes = eqn.params["dimensions" if "dimensions" in eqn.params else "axes"]
    return join([r.reduced(axes) for r in reaches_of(eqn, operands) if r.lo.ndim == _rank(eqn)])


def slice_rule(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    p = eqn.params
    steps = p["strides"] or (1,) * _rank(eqn)
    bounds = list(zip(p["start_indices"], p["limit_indices"], steps, strict=True))
    return _cut(followed(operands), bounds)


def _cut(reach: Reach, bounds: Sequence[tuple[int, int, int]]) -> Reach:
    sizes = reach.lo.shape
    places = tuple(
        slice(*bound) if size > 1 else slice(None)
        for size, bound in zip(sizes, bounds, strict=True)
    )
    paces = {d: step * bounds[d][2] for d, step in reach.steps.items()}
    return reach.taken(lambda end: end[places], paces)


def dynamic_slice(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    reach, *starts = operands
    if not isinstance(reach, Reach) or not all(isinstance(s, Constant) for s in starts):
        raise Blocked("takes a part whose place depends on a source")
    shape = shape_of(eqn.invars[0])
    bounds = []
    for start, size, whole in zip(starts, eqn.params["slice_sizes"], shape, strict=True):
        assert isinstance(start, Constant)
        first = min(max(int(start.value), 0), whole - size)
        bounds.append((first, first + size, 1))
    return _cut(reach, bounds)


def split(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> list[Reach]:
    reach, axis, start = followed(operands), eqn.params["axis"], 0
    parts = []
    for size in eqn.params["sizes"]:
        bounds = [(0, whole, 1) for whole in shape_of(eqn.invars[0])]
        bounds[axis] = (start, start + size, 1)
        parts.append(_cut(reach, bounds))
        start += size
    return parts


def concatenate(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    d, result = eqn.params["dimension"], shape_of(eqn.outvars[0])
    reaches = reaches_of(eqn, operands)
    sizes = [shape_of(atom)[d] for atom in eqn.invars]
    if not any(r.lo.shape[d] > 1 or d in r.steps for r in reaches):
        joined = join(reaches)
        for value in operands:
            if isinstance(value, Constant):  # as wide as its neighbors, but along `d`
                wide = {i for i, n in enumerate(value.collapsed.shape) if n > 1 and i != d}
                if wide & set(joined.outer(result)) and _varies(value, joined, result):
                    raise Blocked("joins what depends on the position in the window")
        return joined
    largest = int(np.argmax(sizes))
    steps = reaches[largest].steps
    shape = list(np.broadcast_shapes(*(_but(r.lo.shape, d) for r in reaches)))
    wide = [(*shape[:d], n, *shape[d + 1 :]) for n in sizes]
    lo = np.concatenate([np.broadcast_to(r.lo, n) for r, n in zip(reaches, wide, strict=True)], d)
    hi = np.concatenate([np.broadcast_to(r.hi, n) for r, n in zip(reaches, wide, strict=True)], d)
    return Reach(lo, hi, steps)


def _varies(value: Constant, reach: Reach, shape: Shape) -> bool:
    for d in reach.outer(shape):
        along = np.moveaxis(value.collapsed, d, 0)
        middle = along[len(along) // 4 : len(along) - len(along) // 4]
        if len(along) > 1 and not (middle == middle[:1]).all():
            return True
    return False


def _but(shape: Shape, d: int) -> Shape:
    return (*shape[:d], 1, *shape[d + 1 :])


def stack(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    axis = eqn.params["axis"] % len(shape_of(eqn.outvars[0]))
    joined = join(reaches_of(eqn, operands))
    steps = {d + (d >= axis): step for d, step in joined.steps.items()}
    return joined.taken(lambda end: np.expand_dims(end, axis), steps)


def reverse(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    dims = tuple(eqn.params["dimensions"])
    reach = followed(operands)
    steps = {d: -step if d in dims else step for d, step in reach.steps.items()}
    return reach.taken(lambda end: np.flip(end, dims), steps)


def cumulative(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> Reach:
    return followed(operands).reduced([eqn.params["axis"]], keep=True)


def sort(eqn: core.JaxprEqn, operands: Sequence[Value], shifts: Shifts) -> list[Reach]:
    p = eqn.params
    axis = p.get("dimension", p.get("axis", p.get("reduction_dimension", -1))) % _rank(eqn)
    return [join(reaches_of(eqn, operands)).reduced([axis], keep=True)] * len(eqn.outvars)
