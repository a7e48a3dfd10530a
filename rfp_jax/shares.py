"""Carrying shares instead of contributions, for rules that give to inputs that are zero.

A contribution is `c = a p`, activation times share. Where a = 0 (a black pixel, a ReLU that is off)
the contribution has lost its share; the messages of flat, w² and z-box do not vanish there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rfp_jax.equation import Equation
from rfp_jax.pair import Pair
from rfp_jax.propagate import Propagation
from rfp_jax.roles import PLACEMENTS
from rfp_jax.rules import Affine, Rules


def walk(rules: Rules) -> Propagation:
    """The walk that a set of rules needs."""
    return Shares(rules) if rules.needs_shares else Propagation(rules)


@dataclass(frozen=True)
class Shares(Propagation):
    """A walk on which each slot holds a share p; the contribution is `activation * p`."""

    def seed(self, x: jax.Array) -> jax.Array:
        """A whole source has all of itself."""
        return jnp.ones_like(x)

    def carry(self, y: jax.Array, c: jax.Array) -> jax.Array:
        """The share that a contribution is, kept finite where y is zero."""
        return c / jnp.where(y == 0, jnp.ones_like(y), y)

    def read(self, y: jax.Array, carried: jax.Array) -> jax.Array:
        """The contribution that a share is."""
        return y * carried

    def push(
        self,
        equation: Equation,
        step: Affine,
        inputs: Sequence[Pair],
        carried: Sequence[jax.Array | None],
    ) -> Sequence[jax.Array | None]:
        """Push shares: as they are where that is what the equation does, else by contributions."""
        assert step.push is not None
        several = equation.eqn.primitive.multiple_results
        given = list(zip(carried, inputs, strict=True))
        shares = [jnp.zeros_like(pair.activation) if p is None else p for p, pair in given]
        y = step.output
        if step.shares or (equation.name in PLACEMENTS and step.of is None):
            pushed = step.push(*shares)
        elif not several and equation.elementwise and [s.shape for s in shares] == [y.shape]:
            kept = 1 if step.bias is None else 1 - self.carry(y, step.bias())
            pushed = (kept * shares[0]).astype(y.dtype)
        else:
            contributions = [pair.activation * p for p, pair in zip(shares, inputs, strict=True)]
            pushed = step.push(*contributions)
            if not several:
                return [self.carry(y, pushed)]
            both = zip(y, pushed, strict=True)
            return [c if c is None else self.carry(output, c) for output, c in both]
        return list(pushed) if several else [pushed]
