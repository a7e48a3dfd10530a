"""Rules that users add to the default, for primitives of their own."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TypeVar, overload

from jax.extend.core import Primitive
from jax.extend.core import primitives as known_primitives

from rfp_jax._core.frozen import Rule
from rfp_jax.rules._lrp0 import TABLE

R = TypeVar("R", bound=Rule)

REGISTERED: dict[str, Rule] = {}
"""The rules that `register` added, for the whole process; they go before the default's table."""


@overload
def register(primitive: Primitive | str) -> Callable[[R], R]: ...
@overload
def register(primitive: Primitive | str, rule: R) -> R: ...
def register(primitive: Primitive | str, rule: Rule | None = None) -> object:
    """Say how relevance passes through a primitive, in the default rules of this process.

    For one call alone, or for parts of a network, use `Composite.with_rules` and `override`.

    Args:
        primitive: a JAX primitive, or the name of one of JAX's own.
        rule: `rule(equation, *activations) -> Frozen`. The equation can be called at other
            activations of those operands that depend on a source, and has `params`, `operands`,
            `tracked`. Ready made: `rules.linear`, `affine`, `elementwise`, `product` and
            `constant`. A rule must keep `output == push(*activations) + bias`, which
            `rfp_jax.audit` checks. Left out, `register` is a decorator.

    Returns:
        The rule, or a decorator.

    Raises:
        TypeError: the primitive is neither a primitive nor a name, or the rule is not callable.
        ValueError: JAX has no primitive of this name.

    Examples:
        A cube root of which relevance shall not pass:

        >>> import jax, jax.numpy as jnp, rfp_jax
        >>> from jax.extend.core.primitives import cbrt_p
        >>> rule = rfp_jax.register(cbrt_p, rfp_jax.rules.constant)
        >>> float(rfp_jax.relevance(lambda x: jnp.cbrt(x) + x)(8.0).sources)
        8.0
        >>> @rfp_jax.register("cbrt")
        ... def cube_root(equation, x):
        ...     return rfp_jax.rules.elementwise(equation, x)
        >>> float(rfp_jax.relevance(lambda x: jnp.cbrt(x) + x)(8.0).sources)
        10.0
    """
    name = primitive.name if isinstance(primitive, Primitive) else primitive
    if not isinstance(name, str):
        raise TypeError(f"register() takes a primitive or its name, got {primitive!r}")
    if isinstance(primitive, str):
        check_name(primitive)

    def add(rule: R) -> R:
        if not callable(rule):
            raise TypeError(f"register({name!r}, ...) takes a rule, a function; got {rule!r}")
        REGISTERED[name] = rule
        return rule

    return add if rule is None else add(rule)


def check_name(name: str) -> None:
    """Refuse a name that none of JAX's primitives has.

    Raises:
        ValueError: with the names that are close.
    """
    known = {p.name for p in vars(known_primitives).values() if isinstance(p, Primitive)}
    known |= set(TABLE) | set(REGISTERED)
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise ValueError(
        f"JAX has no primitive named {name!r}: {hint}Give a primitive of your own as an object."
    )
