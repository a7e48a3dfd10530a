"""The tangent in place of the secant, and the presets for attention that are built on it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rfp_jax.equation import Equation
from rfp_jax.rules.affine import Affine
from rfp_jax.rules.elementwise import elementwise, one_variable
from rfp_jax.rules.product import quotient, uniform


def taylor(f: Equation, *x: jax.Array) -> Affine:
    """`f(x) = f'(x) x + b`: contributions pass by the gradient, and what remains is the bias b."""

    def push(*c: jax.Array) -> jax.Array:
        return jax.jvp(f, x, c)[1]

    def bias() -> jax.Array:  # what is infinite (a mask's -inf) passes nothing on
        return y - push(*(jnp.where(jnp.isfinite(xi), xi, 0) for xi in x))

    y = f(*x)
    return Affine(y, push, bias)


def uniform_product(f: Equation, *x: jax.Array) -> Affine:
    """Half each, gates too; but `x * g(x)` stays one function of x."""
    if len(x) == 2 and f.dominator is not None:
        return one_variable(f, f.dominator)
    return uniform(f, *x)


def softmax_quotient(f: Equation, *x: jax.Array) -> Affine:
    """`exp(u) / sum(exp(u))` by its gradient `s (c - <s, c>)`; other denominators are constants.

    Achtibat et al. 2024, "AttnLRP: attention-aware layer-wise relevance propagation for
    transformers", proposition 3.1.
    """
    if len(x) == 2 and all(pair.gate for pair in f.pairs):
        return taylor(f, *x)
    return quotient(f, *x)


UNIFORM = {
    "mul": uniform_product,
    "dot_general": uniform,
    "conv_general_dilated": uniform,
    "exp": elementwise,
}
"""Every product shares alike between its two factors, weights of attention and gates included."""

ATTNLRP = {**UNIFORM, "exp": taylor, "div": softmax_quotient}
"""AttnLRP: products share alike, the softmax passes by its gradient."""
