"""The tangent in place of the secant, and the presets for attention that are built on it."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, Rule, chained
from rfp_jax._core.signatures import finite
from rfp_jax.rules._additive import affine
from rfp_jax.rules._elementwise import elementwise, exponential, power
from rfp_jax.rules._product import (
    equal_split,
    quotient,
    select,
    split_product,
    split_reduce_product,
)
from rfp_jax.rules._softmax import (
    attention_quotient,
    exponential_of_logits,
    softmax_or_quotient,
    softmax_or_split,
)


def taylor(f: Equation, *x: jax.Array) -> Frozen:
    """`f(x) = f'(x) x + b`: contributions pass by the gradient, and what remains is the bias b."""

    def push(*c: jax.Array) -> jax.Array:
        return jax.jvp(f, x, c)[1]

    y = f(*x)
    return Frozen(y, push, lambda: y - push(*map(finite, x)))


@chained
def attention_or_quotient(f: Equation, *x: jax.Array) -> Frozen:
    """A softmax, also one that divides after the product with values; else a quotient."""
    return attention_quotient(f, *x) or softmax_or_quotient(f, *x)


UNIFORM: Mapping[str, Rule] = {
    "mul": split_product,
    "reduce_prod": split_reduce_product,
    "dot_general": equal_split,
    "conv_general_dilated": equal_split,
    "exp": exponential,
    "div": quotient,
    "select_n": select,
    **dict.fromkeys(("add", "add_any", "sub"), affine),
    **dict.fromkeys(("integer_pow", "pow"), power),
    "square": elementwise,
}
"""Every product shares alike between its two factors, weights of attention and gates included.

A polynomial of one variable is a function like any other: the secant from 0.
"""

ATTNLRP: Mapping[str, Rule] = {
    **UNIFORM,
    "mul": softmax_or_split,
    "exp": exponential_of_logits,
    "div": attention_or_quotient,
}
"""AttnLRP: products share alike, the softmax passes by its gradient."""
