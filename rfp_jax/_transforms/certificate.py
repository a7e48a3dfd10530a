r"""Tests of a frozen equation: its rule must keep the laws that everything rests on.

For an equation frozen as \(y = P a + b\), on its own activations a and random contributions c, w:

- the law, with linearity: \(y + P c = P (a + c) + b\);
- the transpose: \(\langle w, P c \rangle = \langle P^\top w, c \rangle\).

A push that is not linear, a constant that is forgotten or counted twice, a factor, a wrong gate
break one of them. Each is measured relative to the largest number in it, in at least float32, so
that what remains is rounding: `tolerance` bounds it by the number of terms that the equation sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen

LAWS = ("the law", "the transpose")


def errors(equation: Equation, frozen: Frozen) -> jax.Array:
    """Measure how far a frozen equation is from the laws.

    Returns:
        One number per law, 0 if exactly kept; NaN where a rule makes NaN of numbers.
    """
    inputs = equation.inputs if frozen.inputs is None else frozen.inputs
    a = [_whole(v.activation, frozen) for v in inputs]
    c = [_noise(x, 2 * i) for i, x in enumerate(a)]
    at_c, pull = jax.vjp(_present(frozen), *c)
    at_both = _present(frozen)(*(x + y for x, y in zip(a, c, strict=True)))
    biases = frozen.biases() if frozen.bias is not None else [None] * len(frozen.outputs)
    law = jnp.zeros(())
    for place, pushed in at_both.items():
        y, b = frozen.outputs[place], biases[place]
        rest = jnp.where(jnp.isfinite(y), _whole(y, frozen) + at_c[place] - pushed, 0)
        if b is not None:
            rest = jnp.where(jnp.isfinite(y), rest - b, 0)
        size = _greatest(jnp.where(jnp.isfinite(y), pushed, 0)) + _greatest(_whole(y, frozen))
        law = jnp.maximum(law, _greatest(rest) / jnp.where(size == 0, 1, size))
    w = {place: _noise(p, 2 * place + 1) for place, p in at_c.items()}
    back = pull(w)
    forth = [jnp.real(w[place] * p) for place, p in at_c.items()]
    returned = [jnp.real(g * ci) for g, ci in zip(back, c, strict=True)]
    one, other = (sum(map(jnp.sum, terms)) for terms in (forth, returned))
    size = sum(jnp.linalg.norm(terms.reshape(-1)) for terms in (*forth, *returned))
    transpose = jnp.abs(one - other) / jnp.where(size == 0, 1, size)
    return jnp.stack([law, transpose]).astype(float)


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


def _greatest(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.abs(x), initial=0)


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


def _noise(x: jax.Array, seed: int) -> jax.Array:
    """Return numbers in [-1, 1) without a pattern, cheaply: a multiplicative hash of the places."""
    place = (jnp.arange(x.size, dtype=jnp.uint32) + jnp.uint32(977 * seed)) * jnp.uint32(2654435761)
    mixed = ((place ^ (place >> 15)) * jnp.uint32(2246822519)) >> 8
    return (mixed.astype(x.real.dtype) / 2**23 - 1).reshape(x.shape).astype(x.dtype)
