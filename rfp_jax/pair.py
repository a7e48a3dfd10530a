"""What travels through a network: an activation, and what each source contributed to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from rfp_jax.equation import Equation
    from rfp_jax.rules.layer import Layer

type_of = jax.typeof


@dataclass(frozen=True, eq=False)
class Pair:
    """An activation with its contributions, one a source: `activation = bias + sum(contributions)`.

    The bias is what came from no source. It is not stored: it is the remainder.

    A pair is a pytree, so it goes through `lax.scan`, `lax.cond` and `jax.vjp` like an array; what
    it knows of its own making (`recipe`) stays behind there.

    Attributes:
        activation: the value that the plain network computes here.
        contributions: one array of the activation's shape and dtype for each source, or None for a
            source that is structurally absent here. An entry that *is* the activation (the same
            object) says that the whole activation came from this source. Some rules make the walk
            carry shares of the activation instead (`rfp_jax.shares`).
        gate: whether the activation is a weight (a sigmoid's, a softmax's) rather than a signal; a
            product of a gate and a signal leaves all relevance with the signal.
        entered: whether it lies behind a layer with weights.
        recipe: the equation that computed the activation, if it was elementwise or a concatenation:
            rules look back at these.
        layer: the layer with weights whose output the activation is, if rules for layers are used.
    """

    activation: jax.Array
    contributions: tuple[jax.Array | None, ...]
    gate: bool = False
    entered: bool = False
    recipe: Equation | None = field(default=None, repr=False)
    layer: Layer | None = field(default=None, repr=False)

    @property
    def dominator(self) -> Pair | None:
        """The nearest pair of which the activation is a function of one variable, elementwise."""
        return self.recipe.dominator if self.recipe else None

    @property
    def depth(self) -> int:
        """How many dominators the pair has above it."""
        return self.recipe.depth if self.recipe else 0


jax.tree_util.register_pytree_node(
    Pair,
    lambda pair: ((pair.activation, pair.contributions), (pair.gate, pair.entered)),
    lambda roles, children: Pair(*children, *roles),
)

Value = jax.Array | Pair
"""What a variable of a program holds: an array that depends on no source, or a pair."""


def activation(value: Value) -> jax.Array:
    """The array that the plain program would hold here."""
    return value.activation if isinstance(value, Pair) else value


def is_pair(value: object) -> bool:
    """Whether a value depends on a source; tells `jax.tree` to stop at pairs."""
    return isinstance(value, Pair)


def nearest_common_dominator(pairs: Sequence[Pair]) -> Pair | None:
    """The nearest pair of which all `pairs` are elementwise functions of one variable, or None."""
    common: Pair | None = pairs[0]
    for other in pairs[1:]:
        walker: Pair | None = other
        while common is not walker and common is not None and walker is not None:
            if common.depth >= walker.depth:
                common = common.dominator
            else:
                walker = walker.dominator
        if common is None or walker is None:
            return None
    return common


def join(rows: Sequence[Sequence[Value]]) -> list[Value]:
    """The least structure that holds every row: a pair where one has a pair, likewise each slot.

    Args:
        rows: equally long lists of values; values of a column have the same shape and dtype.

    Returns:
        One example value a column, to be given to `conform`.
    """

    def widest(*column: Value) -> Value:
        pairs = [value for value in column if isinstance(value, Pair)]
        if not pairs:
            return column[0]
        slots = zip(*(pair.contributions for pair in pairs), strict=True)
        present = (next((c for c in slot if c is not None), None) for slot in slots)
        return Pair(pairs[0].activation, tuple(present))

    return [widest(*column) for column in zip(*rows, strict=True)]


def conform(values: Sequence[Value], examples: Sequence[Value]) -> list[Value]:
    """Give `values` the structure of `examples`, with zeros where a contribution was absent."""

    def widen(value: Value, example: Value) -> Value:
        if not isinstance(example, Pair):
            return value
        present = [c is not None for c in example.contributions]
        if not isinstance(value, Pair):
            value = Pair(value.astype(example.activation.dtype), (None,) * len(present))
        slots = zip(value.contributions, present, strict=True)
        zeros = jnp.zeros_like
        filled = (zeros(value.activation) if c is None and p else c for c, p in slots)
        return Pair(value.activation, tuple(filled), gate=False, entered=True)

    return [widen(*both) for both in zip(values, examples, strict=True)]


def same_structure(values: Sequence[Value], others: Sequence[Value]) -> bool:
    """Whether two lists of values are equal but for what the arrays hold."""
    return jax.tree.structure(list(values)) == jax.tree.structure(list(others))


def slots(pairs: Sequence[Pair]) -> Iterator[tuple[jax.Array | None, ...]]:
    """For each source the contributions that it made to each of `pairs`."""
    return zip(*(pair.contributions for pair in pairs), strict=True)
