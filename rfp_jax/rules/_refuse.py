"""Operations through which relevance is not defined, each with its reason."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, Rule, linear
from rfp_jax.errors import MissingRuleError
from rfp_jax.rules._elementwise import elementwise


def unsupported(reason: str) -> Rule:
    """A rule that refuses, and says why."""

    def refuse(f: Equation, *x: jax.Array) -> Frozen:
        raise MissingRuleError(f, reason)

    return refuse


def solve(f: Equation, *x: jax.Array) -> Frozen:
    """`A⁻¹ b` is linear in b, its last operands; in A it is not."""
    lengths = f.params.get("const_lengths")
    if any(f.tracked[: sum(lengths) if lengths else -1]):
        raise MissingRuleError(
            f, "the solution is linear in the right-hand side, not in the matrix"
        )
    return linear(f, *x)


def remainder(f: Equation, *x: jax.Array) -> Frozen:
    """`x mod d = x - q d`: linear in x, with the whole quotient q frozen."""
    if f.tracked != (True, False):
        raise MissingRuleError(f, "the remainder is linear in the dividend, not in the divisor")
    y = f(*x)
    return Frozen(y, lambda c: jnp.broadcast_to(c, y.shape), lambda: y - x[0])


def special(f: Equation, *x: jax.Array) -> Frozen:
    """A special function of several variables: elementwise in one, with the others constant."""
    if len(x) > 1:
        raise MissingRuleError(
            f, "several arguments depend on a source: no share of each is defined"
        )
    return elementwise(f, *x)
