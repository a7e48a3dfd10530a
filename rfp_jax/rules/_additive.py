"""Sums, choices and placements: affine, since operands that depend on no source add a constant."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rfp_jax._core.equation import Equation, Kind
from rfp_jax._core.frozen import Frozen, chained, linear
from rfp_jax.rules._elementwise import elementwise


@chained
def affine(f: Equation, *x: jax.Array) -> Frozen:
    """`(f(x) - f(0)) + f(0)`: linear part and constant. Conditions and places are frozen.

    A sum inside of a function of one variable is part of that function.
    """
    if f.kind is Kind.FUNCTION:
        return elementwise(f, *x)
    numbers = [jnp.issubdtype(jnp.result_type(value), jnp.inexact) for value in f.operands]
    if all(tracked for tracked, number in zip(f.tracked, numbers, strict=True) if number):
        return linear(f, *x)  # nothing is added from outside

    return derivative(f, *x)


def derivative(f: Equation, *x: jax.Array) -> Frozen:
    """The affine map by its derivative: where f itself, though linear, has no transpose in JAX."""

    def push(*c: jax.Array) -> jax.Array | list[jax.Array]:
        return jax.jvp(f, x, c)[1]

    return Frozen(f(*x), push, lambda: f(*map(jnp.zeros_like, x)))


def gather(f: Equation, x: jax.Array) -> Frozen:
    """Elements of x; places outside of x are filled with a constant, if that is the mode."""
    fills = "FILL" in str(f.params["mode"]).upper()
    return derivative(f, x) if fills else linear(f, x)
