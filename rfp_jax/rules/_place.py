"""Rules to choose by place, where the default passes no relevance (`log`) or another line is meant.

>>> import jax.numpy as jnp, rfp_jax
>>> from rfp_jax import rules
>>> in_decibels = lambda x: 10 * jnp.log10(x)
>>> at_log = lambda equation: equation.name == "log"
>>> passing = rules.lrp0.override(at_log, rules.secant(1.0))
>>> round(float(rfp_jax.relevance(in_decibels, rules=passing)(100.0).sources), 3)
20.202
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, Rule
from rfp_jax._util.trees import Given
from rfp_jax.errors import MissingRuleError
from rfp_jax.rules._elementwise import chord
from rfp_jax.rules._taylor import taylor


def secant(reference: Given) -> Rule:
    """Pass contributions by the secant of a function from a reference to its operand.

    `y = f(x)`: a contribution c becomes `c (f(x) - f(r)) / (x - r)`; where the difference is lost
    to rounding, as at `x = r`, the derivative half-way takes its place.

    Args:
        reference: r, where f is finite, broadcastable to the operand; for radar backscatter, say,
            the noise floor.

    Returns:
        A rule for elementwise operations with one operand that depends on a source.

    Examples:
        >>> import jax.numpy as jnp, rfp_jax
        >>> from rfp_jax import rules
        >>> passing = rules.lrp0.with_rules({"log": rules.secant(1.0)})
        >>> rel = rfp_jax.relevance(jnp.log, rules=passing)(jnp.exp(2.0))
        >>> round(float(rel.sources + rel.bias), 5)
        2.0
    """

    def rule(f: Equation, *x: jax.Array) -> Frozen:
        if len(x) != 1:
            raise MissingRuleError(f, "a secant needs one operand that depends on a source")
        z, y = x[0], f(*x)
        r = jnp.broadcast_to(jnp.asarray(reference, z.dtype), z.shape)
        tangent = jax.jvp(f, ((z + r) / 2,), (jnp.ones_like(z),))[1]
        slope, _ = chord(z - r, f(r), y, tangent)
        return Frozen(y, lambda c: slope * c, lambda: y - slope * z)

    rule.__name__ = "secant"
    return rule


def tangent() -> Rule:
    """Pass contributions by the derivative: `c f'(x)`; what remains is bias.

    Returns:
        A rule for any differentiable operation.

    Examples:
        >>> import jax.numpy as jnp, rfp_jax
        >>> from rfp_jax import rules
        >>> passing = rules.lrp0.with_rules({"log": rules.tangent()})
        >>> float(rfp_jax.relevance(jnp.log, rules=passing)(4.0).sources)
        1.0
    """
    return taylor
