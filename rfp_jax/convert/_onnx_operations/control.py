"""Branches, loops and sequences. A subgraph is a function of its inputs that returns a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import Fixed, Known, ints

Body = Callable[..., list[Tree]]

UNROLLED = 64
"""Loops of more iterations are scans."""

CUT = "Cut the graph behind it: from_onnx(path, inputs=[...])"
"""The remedy for what cannot be one program."""


def as_arrays(values: Sequence[Tree]) -> tuple[jax.Array, ...]:
    """Values that JAX can carry."""
    return tuple(jnp.asarray(value) for value in values)


def branch(condition: Fixed, *, then_branch: Body, else_branch: Body) -> Sequence[Tree]:
    """One of two subgraphs: by a known condition now, else whenever the program runs."""
    if isinstance(condition, np.ndarray):
        return then_branch() if condition.all() else else_branch()
    ways = (lambda: as_arrays(then_branch()), lambda: as_arrays(else_branch()))
    shapes = [[(y.shape, y.dtype) for y in jax.eval_shape(way)] for way in ways]
    if shapes[0] != shapes[1]:
        raise NotImplementedError(
            "the condition depends on an input, and the branches return different shapes: "
            f"{shapes[0]} and {shapes[1]}. {CUT}"
        )
    return lax.cond(jnp.asarray(condition).reshape(()), *ways)


def loop(
    trips: Known | None, condition: Fixed | None, *carried: Fixed, body: Body
) -> Sequence[Tree]:
    """A loop whose number of iterations is known when the program is traced."""
    count = None if trips is None or trips.size == 0 else int(ints(trips)[0])
    runs = True if condition is None else _known(condition)
    if not runs or count == 0:
        return [*carried, *_no_rows(body, carried)]
    if count is not None and count > UNROLLED:
        return _scan_loop(count, body, carried)
    rows: list[list[Tree]] = []
    index = 0
    while runs and (count is None or index < count):
        if index >= 1000 * UNROLLED:
            raise NotImplementedError(f"a loop that did not end after {index} iterations. {CUT}")
        going, *results = body(np.asarray(index, np.int64), np.asarray(True), *carried)
        carried, row = tuple(results[: len(carried)]), results[len(carried) :]
        rows.append(row)
        runs, index = _known(going), index + 1
    return [*carried, *(_stacked(column) for column in zip(*rows, strict=True))]


def _stacked(column: Sequence[Tree]) -> Tree:
    if all(isinstance(value, np.ndarray) for value in column):
        return np.stack(column)
    return jnp.stack(as_arrays(column))


def _no_rows(body: Body, carried: Sequence[Tree]) -> list[Tree]:
    """The empty stacks of a loop that never runs."""

    def once() -> tuple[jax.Array, ...]:
        _, *results = body(np.asarray(0, np.int64), np.asarray(True), *carried)
        return as_arrays(results[len(carried) :])

    return [np.zeros((0, *row.shape), row.dtype) for row in jax.eval_shape(once)]


def _known(condition: ArrayLike) -> bool:
    """The value of a condition."""
    if isinstance(condition, np.ndarray):
        return bool(condition.all())
    raise NotImplementedError(
        "a loop that ends when a condition holds that depends on an input: how often it runs is "
        f"known only when it runs. {CUT}"
    )


def _scan_loop(count: int, body: Body, carried: Sequence[Tree]) -> Sequence[Tree]:
    """A long loop of a known length."""

    def step(state: tuple[jax.Array, ...], index: jax.Array) -> tuple[Tree, Tree]:
        condition, *results = body(index, np.asarray(True), *state)
        if not _known(condition):
            raise NotImplementedError(
                f"a loop of more than {UNROLLED} iterations that may end before the last. {CUT}"
            )
        new = as_arrays(results[: len(state)])
        return new, as_arrays(results[len(state) :])

    last, rows = lax.scan(step, as_arrays(carried), jnp.arange(count))
    return [*last, *rows]


def scan(
    *values: Tree,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None = None,
    scan_input_directions: Sequence[int] | None = None,
    scan_output_axes: Sequence[int] | None = None,
    scan_output_directions: Sequence[int] | None = None,
) -> Sequence[Tree]:
    """A scan over slices of arrays."""
    states = len(values) - num_scan_inputs
    axes = scan_input_axes or (0,) * num_scan_inputs
    ways = scan_input_directions or (0,) * num_scan_inputs
    xs = tuple(
        jnp.flip(rows, 0) if way else rows
        for rows, way in (
            (jnp.moveaxis(jnp.asarray(x), axis, 0), way)
            for x, axis, way in zip(values[states:], axes, ways, strict=True)
        )
    )

    def step(state: tuple[jax.Array, ...], row: tuple[jax.Array, ...]) -> tuple[Tree, Tree]:
        results = as_arrays(body(*state, *row))
        return results[:states], results[states:]

    last, rows = lax.scan(step, as_arrays(values[:states]), xs)
    out_axes = scan_output_axes or (0,) * len(rows)
    out_ways = scan_output_directions or (0,) * len(rows)
    stacked = [
        jnp.moveaxis(jnp.flip(y, 0) if way else y, 0, axis)
        for y, axis, way in zip(rows, out_axes, out_ways, strict=True)
    ]
    return [*last, *stacked]


def join(sequence: list[Tree], *, axis: int, new_axis: int = 0) -> jax.Array:
    """The arrays of a sequence as one."""
    return (jnp.stack if new_axis else jnp.concatenate)(as_arrays(sequence), axis)


def pieces(
    x: jax.Array, split: Known | None = None, *, axis: int = 0, keepdims: int = 1
) -> tuple[list[jax.Array]]:
    """A sequence of pieces along an axis: of sizes, of one size, or single elements."""
    size = x.shape[axis]
    if split is not None and split.ndim:
        ends = np.cumsum(split)[:-1]
    else:
        step = 1 if split is None else int(split)
        ends = np.arange(step, size, step)
    parts = jnp.split(x, ends, axis)
    return ([jnp.squeeze(p, axis) for p in parts] if split is None and not keepdims else parts,)


def element(sequence: list[Tree], place: Known) -> Tree:
    """The array at a place of a sequence."""
    return sequence[ints(place)[0]]


def insert(sequence: list[Tree], x: Tree, place: Known | None = None) -> tuple[list[Tree]]:
    """A sequence with one more array, at the end or before a place."""
    at = len(sequence) if place is None else ints(place)[0]
    return ([*sequence[:at], x, *sequence[at:]],)


def erase(sequence: list[Tree], place: Known | None = None) -> tuple[list[Tree]]:
    """A sequence without one of its arrays, the last or that at a place."""
    at = (-1 if place is None else ints(place)[0]) % len(sequence)
    return ([*sequence[:at], *sequence[at + 1 :]],)


TABLE: dict[str, Callable[..., Tree]] = {
    "If": branch,
    "Loop": loop,
    "Scan": scan,
    "ConcatFromSequence": join,
    "SequenceAt": element,
    "SequenceConstruct": lambda *xs: (list(xs),),
    "SequenceEmpty": lambda *, dtype=None: ([],),
    "SequenceErase": erase,
    "SequenceInsert": insert,
    "SequenceLength": lambda sequence: np.asarray(len(sequence), np.int64),
    "SplitToSequence": pieces,
}
