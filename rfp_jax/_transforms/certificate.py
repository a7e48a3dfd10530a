r"""Tests of a frozen equation: its rule must keep the laws that everything rests on.

For an equation frozen as \(y = P a + b\), on its own activations a and random contributions c, w,
of which c is as large as a:

- the law, with linearity: \(y + P c = P (a + c) + b\);
- the transpose: \(\langle w, P c \rangle = \langle P^\top w, c \rangle\).

A push that is not linear, a constant that is forgotten or counted twice, a factor, a wrong gate
break one of them. Each is measured relative to the largest number in it, in at least float32, so
that what remains is rounding: `tolerance` bounds it by the number of terms that the equation sums.
"""

from __future__ import annotations

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
    scale = _scale(a)
    c = [_noise(probe, x, 2 * i) * scale.astype(x.dtype) for i, x in enumerate(a)]
    at_c, pull = jax.vjp(push, *c)
    for place, pushed in at_c.items():
        check_pushed(equation, frozen.outputs[place], pushed)
    at_both = push(*(x + y for x, y in zip(a, c, strict=True)))
    biases = frozen.biases() if frozen.bias is not None else [None] * len(frozen.outputs)
    seen = {
        place: jnp.abs(frozen.outputs[place]) < _most(p.real.dtype) for place, p in at_c.items()
    }
    w = {
        place: jnp.where(seen[place], _noise(probe, p, 2 * place + 1), 0)
        for place, p in at_c.items()
    }
    forth = [jnp.where(seen[place], jnp.real(w[place] * p), 0) for place, p in at_c.items()]
    back = [jnp.real(g * ci) for g, ci in zip(pull(w), c, strict=True)]
    law = gap = square = jnp.zeros(())
    shapes = dict.fromkeys(terms.shape for terms in (*forth, *back))
    for shape in shapes:
        magnitudes = []
        for place, pushed in at_both.items():
            if pushed.shape == shape:
                y, b = frozen.outputs[place], biases[place]
                whole = jnp.ones_like(y) if frozen.in_fractions else y
                rest = whole + at_c[place] - pushed
                rest = jnp.abs(rest if b is None else rest - b)
                size = jnp.abs(whole) + jnp.abs(pushed)
                magnitudes += [jnp.where(seen[place], x, 0) for x in (rest, size)]
        gains = [terms for terms in forth if terms.shape == shape]
        losses = [terms for terms in back if terms.shape == shape]
        greatest, terms, squares = _reduced(
            magnitudes,
            sum(gains) - sum(losses),
            sum(terms**2 for terms in (*gains, *losses)),
            cancels=len(shapes) == 1,
        )
        for rest, size in zip(greatest[::2], greatest[1::2], strict=True):
            law = jnp.maximum(law, _relative(rest, size))
        gap, square = gap + terms, square + squares
    lost = square * jnp.finfo(square.dtype).eps ** 2 < jnp.finfo(square.dtype).tiny
    size = jnp.where(lost, 0, jnp.sqrt(square))  # so small that squares vanish
    return jnp.stack([law, _relative(jnp.abs(gap), size)]).astype(float)


def _scale(a: Sequence[jax.Array]) -> jax.Array:
    """Return how large activations are, by some of their elements.

    Random contributions are as large. Where large numbers cancel (`x - mean(x)` of air pressures)
    what rounding leaves is then as small beside the results as it is beside the terms. It is the
    geometric mean of what is not 0, to a power of two: beside the largest of many orders of
    magnitude a fault in the others would vanish. The exponents are read off the bits: a logarithm
    at each equation takes longer to compile.
    """
    some = [jnp.abs(x.reshape(-1)[:: max(1, x.size // _LOOKED_AT)]) for x in a if x.size]
    if not some:
        return jnp.ones(())
    sizes = jnp.concatenate(some)
    info = jnp.finfo(sizes.dtype)
    bits = lax.bitcast_convert_type(jnp.minimum(sizes, _most(sizes.dtype)), f"int{info.bits}")
    exponents, ones = bits >> info.nmant, (bits > 0).astype(bits.dtype)
    zero = jnp.zeros((), bits.dtype)
    total, count = lax.reduce(  # in one pass: XLA compiles one loop
        (exponents, ones), (zero, zero), lambda x, y: (x[0] + y[0], x[1] + y[1]), (0,)
    )
    one = 1 - info.minexp  # the exponent of 1, as it stands in the bits
    mean = jnp.where(count > 0, total // jnp.maximum(count, 1), one)
    return lax.bitcast_convert_type(mean << info.nmant, sizes.dtype)


def _most(dtype: DTypeLike) -> float:
    """Return how large numbers may be to be tested; sums of a mask's -3e38 would be infinite."""
    return float(jnp.finfo(dtype).max) ** 0.8


_LOOKED_AT = 1024


def _present(frozen: Frozen) -> Callable[..., dict[int, jax.Array]]:
    """Return a rule's push without the results that carry no relevance, by their places."""
    numbers = [jnp.issubdtype(y.dtype, jnp.inexact) for y in frozen.outputs]

    def push(*c: jax.Array) -> dict[int, jax.Array]:
        pushed = frozen.pushed(*c)
        return {i: p for i, p in enumerate(pushed) if p is not None and numbers[i]}

    return push


def _whole(x: jax.Array, frozen: Frozen) -> jax.Array:
    """Return all of an activation, as contributions or fractions, without what is not finite."""
    if frozen.in_fractions:
        return jnp.ones_like(x)
    return jnp.where(jnp.isfinite(x), x, jnp.zeros_like(x))


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
    count = len(magnitudes)

    def both(x: tuple[Tree, ...], y: tuple[Tree, ...]) -> tuple[Tree, ...]:
        greatest = map(lax.max, x[:count], y[:count])
        (square, total, *lost), (more, addend, *also) = x[count:], y[count:]
        after = total + addend
        part = after - addend
        error = (total - part) + (addend - (after - part))
        rounded = [a + b + error for a, b in zip(lost, also, strict=True)]
        return (*greatest, square + more, after, *rounded)

    lost = [] if cancels else [jnp.zeros_like(terms)]
    operands = (*magnitudes, squares, terms, *lost)
    zeros = tuple(jnp.zeros((), x.dtype) for x in operands)
    reduced = lax.reduce(operands, zeros, both, tuple(range(terms.ndim)))
    square, *total = reduced[count:]
    return list(reduced[:count]), sum(total), square


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
    return probe[start : start + x.size].reshape(x.shape).astype(x.dtype)


_WINDOWS, _STEP = 64, 977
