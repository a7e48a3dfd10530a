"""Sharing out what came from no source, as the reference implementation can."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from rfp_jax.equation import Equation
from rfp_jax.pair import Pair, Value
from rfp_jax.propagate import Propagation
from rfp_jax.rules import Affine


@dataclass(frozen=True)
class SharedBias(Propagation):
    """At each equation its bias b goes to the sources: `c_s + b |c_s| / sum |c|`.

    Where no source contributed anything, nobody can be given a share, and b stays bias.
    """

    def pairs(self, equation: Equation, step: Affine) -> list[Value]:
        """Push the contributions, then share out the constant that the equation added."""
        results = super().pairs(equation, step)
        if step.bias is None or step.push is None:
            return results
        given = step.bias()
        biases = given if equation.eqn.primitive.multiple_results else [given]
        return [_share(value, b) for value, b in zip(results, biases, strict=True)]


def _share(value: Value, bias: jax.Array) -> Value:
    if not isinstance(value, Pair):
        return value
    sizes = [None if c is None else jnp.abs(c) for c in value.contributions]
    total = sum((size for size in sizes if size is not None), jnp.zeros_like(value.activation))
    part = jnp.where(total == 0, 0, bias / jnp.where(total == 0, 1, total))
    shared = (
        None if c is None or size is None else c + part * size
        for c, size in zip(value.contributions, sizes, strict=True)
    )
    return replace(value, contributions=tuple(shared))
