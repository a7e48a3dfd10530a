r"""Factors of a product that are functions of one variable: they are one factor.

`x (tanh(x) y)` is `(x tanh(x)) y`, where the product in brackets is a function of x and passes by
its secant (`rfp_jax.rules._elementwise`). So it does not matter how a product is bracketed.
Polynomials of a variable are left: they share by their degree, as `x (x y)` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rfp_jax._core.equation import (
    Equation,
    Member,
    base,
    degree,
    dominator,
    nearest_common_dominator,
    producer,
)
from rfp_jax._core.value import Tracked
from rfp_jax.rules._elementwise import from_variable


class Polynomial(NamedTuple):
    """A polynomial of signals.

    Attributes:
        factors: the values that it is of.
        degree: its degree.
        function: the polynomial, of one array per factor.
        degrees: its degree in each factor, if all its terms have the same.
    """

    factors: Sequence[Tracked]
    degree: int
    function: Callable[..., jax.Array]
    degrees: Sequence[int] | None = None


def by_variables(f: Equation, product: Polynomial) -> Polynomial:
    """Join the factors of an elementwise product that are functions of one variable."""
    powers = dict(zip(product.factors, product.degrees or (), strict=True))
    groups: dict[Member, list[Tracked]] = {}
    for factor in product.factors:
        groups.setdefault(_origin(factor), []).append(factor)
    joined = [
        group
        for group in groups.values()
        if sum(map(powers.__getitem__, group)) > 1 and None in map(degree, group)
    ]
    if not joined:
        return product
    curves = [_secant(f, {factor: powers[factor] for factor in group}) for group in joined]
    others = [v for v in product.factors if all(v not in group for group in joined)]
    ones = [jnp.ones_like(v.activation) for v in product.factors]

    def function(*given: jax.Array) -> jax.Array:
        own = dict(zip(others, given, strict=False))
        y = product.function(*map(own.get, product.factors, ones))
        for (_, curve), z in zip(curves, given[len(others) :], strict=True):
            y = y * curve(z).reshape(y.shape)
        return y

    degrees = [*map(powers.__getitem__, others), *(1 for _ in curves)]
    factors = [*others, *(variable for variable, _ in curves)]
    return Polynomial(factors, sum(degrees), function, degrees)


def _origin(value: Member) -> Member:
    """Return the first value of which this one is an elementwise function of one variable."""
    while (above := dominator(value)) is not None:
        value = above
    return value


def _secant(
    f: Equation, powers: dict[Tracked, int]
) -> tuple[Tracked, Callable[[jax.Array], jax.Array]]:
    """Return the variable of a product of powers, and its secant as a function of it."""
    variable = nearest_common_dominator(list(map(base, powers)))
    assert isinstance(variable, Tracked)

    def curve(z: jax.Array) -> jax.Array:
        y = jnp.ones_like(z)
        for factor, power in powers.items():
            made = producer(factor)
            of_z = z if factor is variable or made is None else made.as_function(variable)(z)
            y = y * jnp.reshape(of_z, z.shape) ** power
        return y

    x = variable.activation
    y = curve(x)
    is_singular = any(made.may_be_singular for v in powers if (made := producer(v)))
    line = from_variable(f, variable, curve, is_singular, output=y)
    assert line.push is not None
    slope = line.push(jnp.ones_like(x))
    return variable, lambda z: y + slope * (z - x)
