"""Operations with weights on joined arrays: each array meets its own block of the weights."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
from jax import lax

from rfp_jax._core.equation import Equation, producer
from rfp_jax._core.frozen import Frozen
from rfp_jax._core.jaxprs import shape_of
from rfp_jax.rules._product import signal

ROWS = 32
"""Rows of a flattened array from which on multiplying by blocks of the weights saves more than
copying the blocks takes. It decides about speed alone."""


def weighted(f: Equation, *x: jax.Array) -> Frozen:
    """`x w`; of joined arrays `[x_1 ... x_n] w = x_1 w_1 + ... + x_n w_n`.

    What a source contributed to some of the joined arrays alone costs the work of their blocks, not
    of multiplying zeros: the first convolution of an early fusion costs two of itself, not 1 + S.
    A reshape between the two, as the flattening before a dense layer, keeps the blocks where many
    rows share the weights: they do not lie side by side then, and are copied.
    """
    step = signal(f, *x)
    join = _join(f)
    whole, *others = x
    if others or join is None:
        return step
    dimension = join.params["dimension"]
    shape, size = whole.shape, whole.size
    merged = _merged(shape_of(join.eqn.outvars[0]), shape, dimension)
    axis = None if merged is None else _axis_of_weights(f, merged[0])
    if merged is None or axis is None:
        return step
    first, sides = merged
    many = isinstance(size, int) and size >= ROWS * shape[first]  # of a batch of any size: unknown
    if len(sides) > 1 and not many:
        return step
    place = f.tracked.index(True)
    weights = f.operands[1 - place]
    ends = list(itertools.accumulate(part.shape[dimension] for part in join.operands))

    def block(i: int, part: jax.Array) -> jax.Array:
        start, along = ends[i] - part.shape[dimension], axis + dimension - first
        before, after = weights.shape[:axis], weights.shape[axis + 1 :]
        met = lax.slice_in_dim(weights.reshape(*before, *sides, *after), start, ends[i], axis=along)
        operands = list(f.operands)
        operands[place] = part.reshape(*shape[:first], -1, *shape[first + 1 :])
        operands[1 - place] = met.reshape(*before, -1, *after)
        return f.bind(operands)

    tracked = [i for i, is_tracked in enumerate(join.tracked) if is_tracked]
    constants = [i for i, is_tracked in enumerate(join.tracked) if not is_tracked]

    def push(*c: jax.Array | None) -> jax.Array:
        present = [(i, part) for i, part in zip(tracked, c, strict=True) if part is not None]
        if len(present) == len(join.operands):
            return f(jnp.concatenate([part for _, part in present], dimension).reshape(shape))
        one, *rest = (block(i, part) for i, part in present)
        return sum(rest, one)

    def bias() -> jax.Array:
        one, *rest = (block(i, join.operands[i]) for i in constants)
        return sum(rest, one)

    return Frozen(
        step.output, push, bias if constants else None, inputs=join.inputs, skips_absent=True
    )


def _join(f: Equation) -> Equation | None:
    """The concatenation that made the tracked operand, reshaped or not, or None."""
    made = producer(f.inputs[0])
    if made is not None and made.name == "reshape":
        made = producer(made.inputs[0])
    return made if made is not None and made.name == "concatenate" else None


def _merged(
    joined: tuple[int, ...], shape: tuple[int, ...], dimension: int
) -> tuple[int, tuple[int, ...]] | None:
    """The axis of a reshaped array that holds the joined dimension, and the sides it is made of.

    None where a reshape does not merge neighbors into one axis and leave the others.
    """
    for axis in range(len(shape)):
        end = len(joined) - (len(shape) - 1 - axis)
        same = joined[:axis] == shape[:axis] and joined[max(end, 0) :] == shape[axis + 1 :]
        if same and axis <= dimension < end:
            return axis, joined[axis:end]
    return None


def _axis_of_weights(f: Equation, dimension: int) -> int | None:
    """The axis of the weights that is summed with an axis of the tracked operand, or None."""
    if f.name == "dot_general":
        contracted = f.params["dimension_numbers"][0]
        own, other = contracted if f.tracked[0] else reversed(contracted)
        return other[own.index(dimension)] if dimension in own else None
    if f.name != "conv_general_dilated" or not f.tracked[0]:
        return None
    numbers = f.params["dimension_numbers"]
    grouped = f.params["feature_group_count"] > 1 or f.params["batch_group_count"] > 1
    features, kernel = numbers.lhs_spec[1], numbers.rhs_spec[1]
    return None if grouped or dimension != features else kernel
