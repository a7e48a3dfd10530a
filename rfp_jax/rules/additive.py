"""Sums, choices and placements: affine, since operands that depend on no source add a constant."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rfp_jax.equation import Equation
from rfp_jax.rules.affine import Affine, linear


def affine(f: Equation, *x: jax.Array) -> Affine:
    """`(f(x) - f(0)) + f(0)`: linear part and constant. Conditions and places are frozen."""
    numbers = [jnp.issubdtype(jnp.result_type(value), jnp.inexact) for value in f.operands]
    if all(tracked for tracked, number in zip(f.tracked, numbers, strict=True) if number):
        return linear(f, *x)  # nothing is added from outside

    def push(*c: jax.Array) -> jax.Array:
        return jax.jvp(f, x, c)[1]

    return Affine(f(*x), push, lambda: f(*map(jnp.zeros_like, x)))
