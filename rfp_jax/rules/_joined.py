"""Operations with weights on joined arrays: each array meets its own block of the weights."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
from jax import lax

from rfp_jax._core.equation import Equation, producer
from rfp_jax._core.frozen import Frozen
from rfp_jax.rules._product import signal


def weighted(f: Equation, *x: jax.Array) -> Frozen:
    """`x w`; of joined arrays `[x_1 ... x_n] w = x_1 w_1 + ... + x_n w_n`.

    What a source contributed to some of the joined arrays alone costs the work of their blocks, not
    of multiplying zeros: the first convolution of an early fusion costs two of itself, not 1 + S.
    """
    step = signal(f, *x)
    join = producer(f.inputs[0])
    if len(x) > 1 or join is None or join.name != "concatenate":
        return step
    dimension = join.params["dimension"]
    axis = _axis_of_weights(f, dimension)
    if axis is None:
        return step
    place = f.tracked.index(True)
    ends = list(itertools.accumulate(part.shape[dimension] for part in join.operands))

    def block(i: int, part: jax.Array) -> jax.Array:
        operands = list(f.operands)
        operands[place] = part
        start = ends[i] - part.shape[dimension]
        operands[1 - place] = lax.slice_in_dim(operands[1 - place], start, ends[i], axis=axis)
        return f.bind(operands)

    tracked = [i for i, is_tracked in enumerate(join.tracked) if is_tracked]
    constants = [i for i, is_tracked in enumerate(join.tracked) if not is_tracked]

    def push(*c: jax.Array | None) -> jax.Array:
        present = [(i, part) for i, part in zip(tracked, c, strict=True) if part is not None]
        if len(present) == len(join.operands):
            return f(jnp.concatenate([part for _, part in present], dimension))
        first, *rest = (block(i, part) for i, part in present)
        return sum(rest, first)

    def bias() -> jax.Array:
        first, *rest = (block(i, join.operands[i]) for i in constants)
        return sum(rest, first)

    return Frozen(
        step.output, push, bias if constants else None, inputs=join.inputs, skips_absent=True
    )


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
