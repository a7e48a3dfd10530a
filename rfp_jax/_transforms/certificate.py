r"""Tests of a frozen equation: its rule must keep the laws that everything rests on.

For an equation frozen as \(y = P a + b\), on its own activations a and random contributions c, w,
of which c is as large as a, place by place:

- the law, with linearity: \(y + P c = P (a + c) + b\);
- the transpose: \(\langle w, P c \rangle = \langle P^\top w, c \rangle\).

A push that is not linear, a constant that is forgotten or counted twice, a factor, a wrong gate
break one of them. Each is measured relative to the largest number in it, in at least float32, so
that what remains is rounding: `tolerance` bounds it by the number of terms that the equation sums.
The second is measured beside what w takes of y, too: contributions may cancel in P c, as those of
logits do beside a probability of 1, and leave rounding errors of y.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, check_pushed
from rfp_jax._util.trees import Tree

LAWS = ("the law", "the transpose")


def errors(equation: Equation, frozen: Frozen, probe: jax.Array) -> jax.Array:
    """Measure how far a frozen equation is from the laws.

    Args:
        equation: the equation.
        frozen: what its rule made of it.
        probe: numbers to take contributions from, see `make_probe`.

    Returns:
        One number per law, 0 if exactly kept; NaN where a rule makes NaN of numbers.
    """
    inputs = equation.inputs if frozen.inputs is None else frozen.inputs
    push = _present(frozen)
    a = [_whole(v.activation, frozen) for v in inputs]
    c = [lax.mul(_noise(probe, x, 2 * i), _sizes(x)) for i, x in enumerate(a)]
    at_c, pull = jax.vjp(push, *c)
    for place, pushed in at_c.items():
        check_pushed(equation, frozen.outputs[place], pushed)
    at_both = push(*map(lax.add, a, c))
    biases = frozen.biases() if frozen.bias is not None else [None] * len(frozen.outputs)
    seen = {
        place: lax.abs(frozen.outputs[place]) < _most(p.real.dtype) for place, p in at_c.items()
    }
    w = {place: _where(seen[place], _noise(probe, p, 2 * place + 1)) for place, p in at_c.items()}
    forth = [_where(seen[place], jnp.real(lax.mul(w[place], p))) for place, p in at_c.items()]
    back = [jnp.real(lax.mul(g, ci)) for g, ci in zip(pull(w), c, strict=True)]
    law = gap = square = jnp.zeros(())
    shapes = dict.fromkeys(terms.shape for terms in (*forth, *back))
    for shape in shapes:
        magnitudes, seen_by_w = [], []
        for place, pushed in at_both.items():
            if pushed.shape == shape:
                y, b = frozen.outputs[place], biases[place]
                whole = lax.full_like(y, 1) if frozen.in_fractions else y
                rest = whole + at_c[place] - pushed
                rest = lax.abs(rest if b is None else rest - b)
                size = lax.abs(whole) + lax.abs(pushed)
                magnitudes += [_where(seen[place], x) for x in (rest, size)]
                seen_by_w.append(_where(seen[place], lax.mul(lax.abs(w[place]), size)))
        gains = [terms for terms in forth if terms.shape == shape]
        losses = [terms for terms in back if terms.shape == shape]
        greatest, terms, squares = _reduced(
            magnitudes,
            _total([*gains, *map(lax.neg, losses)]),
            _total([lax.mul(terms, terms) for terms in (*gains, *losses, *seen_by_w)]),
            cancels=len(shapes) == 1,
        )
        for rest, size in zip(greatest[::2], greatest[1::2], strict=True):
            law = jnp.maximum(law, _relative(rest, size))
        gap, square = gap + terms, square + squares
    lost = square * jnp.finfo(square.dtype).eps ** 2 < jnp.finfo(square.dtype).tiny
    size = jnp.where(lost, 0, jnp.sqrt(square))  # so small that squares vanish
    return jnp.stack([law, _relative(jnp.abs(gap), size)]).astype(float)


def _sizes(x: jax.Array) -> jax.Array:
    """Return how large contributions to x are: as x, at zeros as x elsewhere, or 1.

    Where large numbers cancel (`x - mean(x)` of air pressures) what rounding leaves is then as
    small beside the results as it is beside the terms, and small numbers are tested by small ones.
    """
    size = lax.abs(x)
    for other in (lax.rev(size, range(x.ndim)), lax.full_like(size, 1)):
        usual = (size > 0) & (size < _most(size.dtype))
        size = lax.select(usual, size, other)
    return size.astype(x.dtype)


def _most(dtype: DTypeLike) -> float:
    """Return how large numbers may be to be tested; sums of a mask's -3e38 would be infinite."""
    return float(jnp.finfo(dtype).max) ** 0.8


def _present(frozen: Frozen) -> Callable[..., dict[int, jax.Array]]:
    """Return a rule's push without the results that carry no relevance, by their places."""
    numbers = [jnp.issubdtype(y.dtype, jnp.inexact) for y in frozen.outputs]

    def push(*c: jax.Array) -> dict[int, jax.Array]:
        pushed = frozen.pushed(*c)
        return {i: p for i, p in enumerate(pushed) if p is not None and numbers[i]}

    return push


def _whole(x: jax.Array, frozen: Frozen) -> jax.Array:
    """Return all of an activation, as contributions or fractions, without what is not finite."""
    return lax.full_like(x, 1) if frozen.in_fractions else _where(jnp.isfinite(x), x)


def _where(kept: jax.Array, x: jax.Array) -> jax.Array:
    return lax.select(kept, x, lax.full_like(x, 0))


def _total(terms: Sequence[jax.Array]) -> jax.Array:
    return functools.reduce(lax.add, _widest(terms))


def _widest(terms: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    """Return terms in one precision: an equation may convert."""
    dtype = jnp.result_type(*terms)
    return tuple(term.astype(dtype) for term in terms)


def _relative(error: jax.Array, size: jax.Array) -> jax.Array:
    return error / jnp.where(size == 0, 1, size)


def _reduced(
    magnitudes: list[jax.Array], terms: Tree, squares: Tree, cancels: bool
) -> tuple[list[jax.Array], Tree, jax.Array]:
    """Reduce arrays of one shape in one pass, so that XLA compiles one loop.

    Args:
        magnitudes: arrays without negative numbers.
        terms: numbers of either sign.
        squares: numbers without a negative one.
        cancels: whether each of the terms is near 0; if not, what rounding takes from their sum is
            summed as well (Knuth's two-sum).

    Returns:
        The greatest of each of the magnitudes, the sum of the terms and that of the squares.
    """
    lost = [] if cancels else [lax.full_like(terms, 0)]
    operands = _widest([*magnitudes, squares, terms, *lost])
    zeros = tuple(lax.full_like(x, 0, shape=()) for x in operands)
    reduced = lax.reduce(operands, zeros, _reducer(len(magnitudes)), tuple(range(terms.ndim)))
    square, *total = reduced[len(magnitudes) :]
    return list(reduced[: len(magnitudes)]), sum(total), square


@functools.cache
def _reducer(count: int) -> Callable[[Tree, Tree], Tree]:
    """Return the step of `_reduced` for so many magnitudes; a function that JAX knows it by."""

    def both(x: tuple[Tree, ...], y: tuple[Tree, ...]) -> tuple[Tree, ...]:
        greatest = map(lax.max, x[:count], y[:count])
        (square, total, *lost), (more, addend, *also) = x[count:], y[count:]
        after = lax.add(total, addend)
        if not lost:
            return (*greatest, lax.add(square, more), after)
        part = lax.sub(after, addend)
        error = (total - part) + (addend - (after - part))
        return (*greatest, lax.add(square, more), after, lost[0] + also[0] + error)

    return both


def tolerance(equation: Equation, dtype: DTypeLike) -> float:
    """Return what rounding may leave of a law: by the terms summed for an element of the result."""
    eps = float(jnp.finfo(dtype).eps)
    return eps * (64 + 16 * math.sqrt(_terms(equation)))


def _terms(equation: Equation) -> int:
    """Return how many terms an element of the result is a sum of."""
    shapes = [np.shape(x) for x in equation.operands]
    if equation.name == "dot_general":
        (own, _), _ = equation.params["dimension_numbers"]
        return math.prod(shapes[0][axis] for axis in own)
    if equation.name == "conv_general_dilated":
        out = equation.params["dimension_numbers"].rhs_spec[0]
        return math.prod(n for i, n in enumerate(shapes[1]) if i != out)
    return max((math.prod(shape) for shape in shapes), default=1) if _mixes(equation) else 1


def _mixes(equation: Equation) -> bool:
    """Return whether elements of the result may be sums of many elements."""
    return equation.dominator is None and equation.name not in ("add", "sub", "mul", "div", "max")


def make_probe(largest: int, dtype: DTypeLike) -> jax.Array:
    """Return numbers in [-1, 1) without a pattern, enough for arrays of so many elements.

    A multiplicative hash of the places, made once: random contributions are windows of it.
    """
    place = jnp.arange(largest + _WINDOWS * _STEP, dtype=jnp.uint32) * jnp.uint32(2654435761)
    mixed = ((place ^ (place >> 15)) * jnp.uint32(2246822519)) >> 8
    return mixed.astype(dtype) / 2**23 - 1


def _noise(probe: jax.Array, x: jax.Array, window: int) -> jax.Array:
    """Return the numbers of one window, in the form of x."""
    start = window % _WINDOWS * _STEP
    numbers = lax.slice(probe, (start,), (start + x.size,))
    return lax.reshape(numbers, x.shape).astype(x.dtype)


_WINDOWS, _STEP = 64, 977
