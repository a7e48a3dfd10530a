"""Values that travel through a network: an activation, and what each source contributed to it.

A variable of the program holds one of three values:

- an array, which depends on no source;
- a `Tracked` value, an activation with its contributions;
- a `Stopped` value, which depends on a source through an operation that passes no relevance
  (a comparison, `stop_gradient`): for the rules it is a constant, but a function of one variable
  may look through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import jax

from rfp_jax._core.signatures import asarray, register_pytree_node, structure, zeros_like

Slots: TypeAlias = tuple[jax.Array | None, ...]
"""One entry per source; None where a source is structurally absent."""

UNBOUNDED = (-float("inf"), float("inf"))


@dataclass(frozen=True)
class Facts:
    """Properties of a value that the program's form proves, whatever its numbers are.

    Facts are static: they survive loops, branches and calls as part of a value's structure.

    Attributes:
        interval: the range in which all elements lie by construction.
        is_weight: whether the value is a weight (a gate, a softmax's weights, a normalizer) rather
            than a signal: multiplied with a signal it counts as a constant.
        after_layer: whether it lies behind a layer with weights.
        has_constant: whether something that came from no source may be part of it.
        sources: which source arrays contribute to it.
        steered_by: which source arrays it depends on at all.
        rounding: the greatest error that rounding contributions has added, if nothing canceled.
    """

    interval: tuple[float, float] = UNBOUNDED
    is_weight: bool = False
    after_layer: bool = False
    has_constant: bool = True
    sources: frozenset[int] = frozenset()
    steered_by: frozenset[int] = frozenset()
    rounding: float = 0.0

    @classmethod
    def from_source(cls, place: int) -> Facts:
        """Return what is known of a source array."""
        own = frozenset({place})
        return cls(has_constant=False, sources=own, steered_by=own)

    def joined(self, other: Facts) -> Facts:
        """Return what is true of both."""
        interval = _hull(self.interval, other.interval)
        return Facts(
            interval=interval,
            is_weight=self.is_weight and other.is_weight,
            after_layer=self.after_layer or other.after_layer,
            has_constant=self.has_constant or other.has_constant,
            sources=self.sources | other.sources,
            steered_by=self.steered_by | other.steered_by,
            rounding=max(self.rounding, other.rounding),
        )


def _hull(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return a range that holds both, with ends from a few, so that the search of a loop ends."""
    if one == other:
        return one
    low, high = min(one[0], other[0]), max(one[1], other[1])
    ends = (-float("inf"), -1.0, 0.0, 1.0, float("inf"))
    return max(end for end in ends if end <= low), min(end for end in ends if end >= high)


class Tracked:
    """An activation with its contributions: `activation = bias + sum(contributions)`.

    The bias is what came from no source. It is not stored: it is the remainder.

    Contributions may be computed when they are first asked for. A value is a pytree, so it goes
    through `lax.scan`, `lax.cond` and `jax.vjp` like an array; its making stays behind there.

    Attributes:
        activation: the value that the plain network computes here.
        facts: what the program's form says about it.
        made_by: the equation that computed it, where rules may look back at it. A value does not
            look at equations, which are made of values: `rfp_jax._core.equation.producer` does.
        place: which result of that equation it is.
        note: what the rule that made it left for the rules that come after; the core does not look
            at it.
    """

    __slots__ = ("_contributions", "activation", "facts", "made_by", "note", "pending", "place")

    def __init__(
        self,
        activation: jax.Array,
        contributions: Slots | None,
        facts: Facts = Facts(),
        *,
        made_by: object = None,
        note: object = None,
        place: int = 0,
        pending: Pending | None = None,
    ):
        self.activation = activation
        self._contributions = contributions
        self.facts = facts
        self.made_by = made_by
        self.note = note
        self.place = place
        self.pending = pending

    @property
    def contributions(self) -> Slots:
        """One array of the activation's shape and dtype per source, or None where it is absent.

        An entry that *is* the activation (the same object) says that all of it came from this
        source. A carrier may hold something else here (`rfp_jax._core.carrier`).
        """
        if self._contributions is None:
            compute(self)
        assert self._contributions is not None
        return self._contributions

    @property
    def is_pending(self) -> bool:
        """Return whether contributions have yet to be computed."""
        return self._contributions is None

    def set(self, contributions: Slots) -> None:
        """Fill in the contributions."""
        self._contributions, self.pending = contributions, None

    def replace(self, contributions: Slots) -> Tracked:
        """Return the same value with other contributions."""
        return Tracked(
            self.activation,
            contributions,
            self.facts,
            made_by=self.made_by,
            note=self.note,
            place=self.place,
        )


@dataclass(frozen=True)
class Pending:
    """Contributions to be computed, once those of `needs` are there."""

    needs: tuple[Tracked, ...]
    compute: Callable[[], Slots]


def compute(value: Tracked) -> None:
    """Compute contributions, those that they need first; without recursion: chains are long."""
    waiting = [value]
    while waiting:
        first = waiting[-1]
        if first.pending is None:
            waiting.pop()
            continue
        missing = [needed for needed in first.pending.needs if needed.is_pending]
        waiting.extend(missing)
        if not missing:
            first.set(first.pending.compute())
            waiting.pop()


@dataclass(frozen=True, eq=False)
class Stopped:
    """A value that depends on a source through operations that pass no relevance.

    Attributes:
        activation: the value that the plain network computes here.
        facts: what the program's form says about it; `steered_by` names the sources.
        made_by: the equation that computed it, where a function of one variable may look back.
        place: which result of that equation it is.
    """

    activation: jax.Array
    facts: Facts = Facts()
    made_by: object = field(default=None, repr=False)
    place: int = 0


register_pytree_node(
    Tracked,
    lambda value: ((value.activation, value.contributions), value.facts),
    lambda facts, children: Tracked(*children, facts=facts),
)
register_pytree_node(
    Stopped,
    lambda value: ((value.activation,), value.facts),
    lambda facts, children: Stopped(*children, facts=facts),
)

Value: TypeAlias = jax.Array | Tracked | Stopped
"""The content of a variable of a program."""


def activation(value: Value) -> jax.Array:
    """Return the array that the plain program would hold here."""
    return value.activation if isinstance(value, Tracked | Stopped) else value


def facts_of(value: Value) -> Facts | None:
    """Return the facts of a value that depends on a source, or None."""
    return value.facts if isinstance(value, Tracked | Stopped) else None


def slots(values: Sequence[Tracked]) -> Iterator[Slots]:
    """For each source yield the contributions that it made to each of `values`."""
    return zip(*(value.contributions for value in values), strict=True)


def steered_by(values: Iterable[Value]) -> frozenset[int]:
    """Return the sources on which any of the values depends."""
    found = (value.facts.steered_by for value in values if isinstance(value, Tracked | Stopped))
    return frozenset[int]().union(*found)


def join(rows: Sequence[Sequence[Value]]) -> list[Value]:
    """Return the least structure that holds every row.

    A column is tracked where one row has it tracked, likewise each slot; facts are what all rows
    have in common.

    Args:
        rows: equally long lists of values; values of a column have the same shape and dtype.

    Returns:
        One example value per column, to be given to `conform`.
    """

    def widest(*column: Value) -> Value:
        known = [facts for value in column if (facts := facts_of(value)) is not None]
        if not known:
            return column[0]
        facts = known[0]
        for other in known[1:]:
            facts = facts.joined(other)
        if len(known) < len(column):  # a constant in one of the rows may be any number
            facts = replace(facts, interval=UNBOUNDED, has_constant=True)
        tracked = [value for value in column if isinstance(value, Tracked)]
        if not tracked:
            return Stopped(activation(column[0]), facts)
        present = (next((c for c in slot if c is not None), None) for slot in slots(tracked))
        return Tracked(tracked[0].activation, tuple(present), facts)

    return [widest(*column) for column in zip(*rows, strict=True)]


def conform(
    values: Sequence[Value],
    examples: Sequence[Value],
    constant: Callable[[jax.Array, int], Slots],
) -> list[Value]:
    """Give `values` the structure of `examples`.

    Args:
        values: what is to be widened.
        examples: what `join` returned.
        constant: the slots of a value that came from no source, by the value and their number.

    Returns:
        Values with zeros where a contribution was absent.
    """

    def widen(value: Value, example: Value) -> Value:
        if isinstance(example, Stopped):
            return Stopped(_like(value, example), example.facts)
        if not isinstance(example, Tracked):
            return value
        present = [c is not None for c in example.contributions]
        y = _like(value, example)
        given = value.contributions if isinstance(value, Tracked) else constant(y, len(present))
        filled = (
            zeros_like(y) if c is None and p else c for c, p in zip(given, present, strict=True)
        )
        return Tracked(y, tuple(filled), example.facts)

    return [widen(*both) for both in zip(values, examples, strict=True)]


def _like(value: Value, example: Tracked | Stopped) -> jax.Array:
    return asarray(activation(value), example.activation.dtype)


def same_structure(values: Sequence[Value], others: Sequence[Value]) -> bool:
    """Return whether two lists of values are equal but for what the arrays hold."""
    return structure(list(values)) == structure(list(others))
