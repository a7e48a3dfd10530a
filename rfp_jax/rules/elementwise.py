"""Functions of one variable, element by element: activation functions and what they are made of."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rfp_jax.equation import Equation
from rfp_jax.errors import MissingRuleError
from rfp_jax.pair import Pair
from rfp_jax.rules.affine import Affine, constant


def elementwise(f: Callable[[jax.Array], jax.Array], x: jax.Array) -> Affine:
    """`y = f(x)`: a contribution `c` becomes `c (f(x) - f(0)) / x`, and `f(0)` is the bias.

    The secant from 0 to x keeps the sum: x times it, plus `f(0)`, is y. Where `f(0)` is not zero
    and x so small that the difference would cancel, the derivative half-way takes its place.
    """
    y, y0 = f(x), f(jnp.zeros_like(x))
    tiny = float(jnp.finfo(x.dtype).eps) ** (1 / 3)
    near = jnp.abs(x) <= jnp.where(y0 == 0, 0.0, tiny)
    secant = (y - y0) / jnp.where(near, jnp.ones_like(x), x)
    derivative = jax.jvp(f, (x / 2,), (jnp.ones_like(x),))[1]
    # A root is vertical at 0: nothing arrives there, so nothing may leave.
    derivative = jnp.where(jnp.isfinite(derivative), derivative, 0)
    slope = jnp.where(near, derivative, secant)
    # So far out (a mask's -inf) that the slope is lost to rounding, y is a constant.
    lost = (y != y0) & (jnp.abs(slope) < jnp.finfo(x.dtype).tiny)
    slope = jnp.where(lost, 0, slope)
    return Affine(y, lambda c: (slope * c).astype(y.dtype), lambda: jnp.where(lost, y, y0))


def one_variable(f: Equation, variable: Pair) -> Affine:
    """An equation as one elementwise function of a variable that stands further up."""
    step = elementwise(f.of(variable), variable.activation)
    return step._replace(of=(variable,))


def clip(f: Equation, x: jax.Array) -> Affine:
    """`max(x, b)` or `min(x, b)` with a constant b: the secant, which for b = 0 is a gate.

    ReLU passes a contribution where the total is >= 0, at exactly 0 too (Gawlikowski & Gottschling
    2024, and their code).
    """
    recipe = f.pairs[0].recipe
    if recipe and recipe.shifts and recipe.dominator and {f.name, recipe.name} == {"min", "max"}:
        return one_variable(f, recipe.dominator)  # both bounds are one function of x
    (b,) = (value for value, tracked in zip(f.operands, f.tracked, strict=True) if not tracked)
    y = f(x)
    passes = x >= b if f.name == "max" else x < b  # at a tie one of max and min, not both
    if np.ndim(b) == 0 and not isinstance(b, Tracer) and np.asarray(b) == 0:
        return Affine(y, lambda c: jnp.where(passes, c, jnp.zeros_like(c)))
    y0 = f(jnp.zeros_like(x))
    slope = jnp.where(x == 0, passes.astype(x.dtype), (y - y0) / jnp.where(x == 0, 1, x))
    return Affine(y, lambda c: slope * c, lambda: y0)


def polynomial(f: Equation, *x: jax.Array) -> Affine:
    """`a_0 + a_1 x + ...` with constant coefficients, or such as are functions of x themselves."""
    if len(x) == 1 and f.tracked[0]:
        return elementwise(f, x[0])
    if f.dominator is not None:
        return one_variable(f, f.dominator)
    raise MissingRuleError(f, "how a variable and its coefficients share is not defined")


def magnitude(f: Equation, z: jax.Array) -> Affine:
    """`|z|`; for complex z it is `Re(z conj(z) / |z|)`, linear in z with the phase frozen."""
    if not jnp.iscomplexobj(z):
        return elementwise(f, z)
    r = f(z)
    phase = jnp.conj(z) / jnp.where(r == 0, 1, r)
    return Affine(r, lambda c: jnp.real(phase * c))


def power(f: Equation, *x: jax.Array) -> Affine:
    """`x ** n` by the secant in x; with a negative n it is a denominator, a constant."""
    exponent = f.params["y"] if "y" in f.params else f.operands[1]
    known = not isinstance(exponent, Tracer)
    if known and np.all(np.asarray(exponent) < 0):
        return constant(f, *x)
    if len(x) == 1 and not f.tracked[0]:
        return elementwise(f, *x)  # a known base to a tracked power
    step = elementwise((lambda base: f(base, x[1])) if len(x) == 2 else f, x[0])
    step = step._replace(of=f.pairs[:1])
    if known and np.all(np.asarray(exponent) >= 0):
        return step
    assert step.push is not None
    assert step.bias is not None
    y, push, start, passes = step.output, step.push, step.bias, exponent >= 0
    return step._replace(
        push=lambda c: jnp.where(passes, push(c), 0), bias=lambda: jnp.where(passes, start(), y)
    )
