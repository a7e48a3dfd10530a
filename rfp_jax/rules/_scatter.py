"""Scatters that choose or multiply: elements of an array and the updates that meet them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen


@dataclass(frozen=True)
class _Meetings:
    """The updates of a scatter that meet each element of its operand."""

    f: Equation

    def seen(self, values: jax.Array) -> jax.Array:
        """For each update the value at its place; 1 for an update that is dropped."""
        numbers = self.f.params["dimension_numbers"]
        updates = self.f.operands[2]
        windows = iter(numbers.update_window_dims)
        gone = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
        return lax.gather(
            values,
            self.f.operands[1],
            lax.GatherDimensionNumbers(
                offset_dims=numbers.update_window_dims,
                collapsed_slice_dims=numbers.inserted_window_dims,
                start_index_map=numbers.scatter_dims_to_operand_dims,
                operand_batching_dims=numbers.operand_batching_dims,
                start_indices_batching_dims=numbers.scatter_indices_batching_dims,
            ),
            slice_sizes=[
                1 if d in gone else updates.shape[next(windows)] for d in range(values.ndim)
            ],
            mode=self.f.params["mode"],
            fill_value=1,
        )

    def total(self, updates: jax.Array) -> jax.Array:
        """For each element the sum of the updates that meet it."""
        return self._scattered(lax.scatter_add, 0, updates)

    def first(self, updates: jax.Array) -> jax.Array:
        """For each element the least of the updates that meet it, whole numbers."""
        return self._scattered(lax.scatter_min, jnp.iinfo(updates.dtype).max, updates)

    def _scattered(
        self, scatter: Callable[..., jax.Array], start: int, updates: jax.Array
    ) -> jax.Array:
        numbers, mode = (self.f.params[key] for key in ("dimension_numbers", "mode"))
        base = jnp.full_like(self.f.operands[0], start, updates.dtype)
        return scatter(base, self.f.operands[1], updates, numbers, mode=mode)


def scatter_winner(f: Equation, *x: jax.Array) -> Frozen:
    """`scatter-max`, `scatter-min`: the winner takes all.

    Of equals it is the element itself, or else the first update in the order of its array.
    """
    y, meetings = f(*x), _Meetings(f)
    operand, updates = (f.operands[i].astype(y.dtype) for i in (0, 2))
    stays = operand == y
    order = jnp.arange(updates.size).reshape(updates.shape)
    wins = (updates == meetings.seen(y)) & ~meetings.seen(stays)
    wins &= order == meetings.seen(meetings.first(jnp.where(wins, order, updates.size)))

    def kept(c: jax.Array) -> jax.Array:
        return jnp.where(stays, c, 0)

    def sent(c: jax.Array) -> jax.Array:
        return meetings.total(jnp.where(wins, c, 0))

    def bias() -> jax.Array:
        return sent(updates) if f.tracked[0] else kept(operand)

    return Frozen(y, _sum(f, kept, sent), None if f.tracked[0] and f.tracked[2] else bias)


def scatter_product(f: Equation, *x: jax.Array) -> Frozen:
    """`scatter-mul`: the n signals that meet at a place share their product, an n-th each.

    Constants carry nothing; gates neither, where they meet a signal. A place that only constants
    reach is bias.
    """
    y, meetings = f(*x), _Meetings(f)
    operand, updates = (f.operands[i].astype(y.dtype) for i in (0, 2))
    count = meetings.total(jnp.ones(updates.shape, int))
    tracked = (i for i in (0, 2) if f.tracked[i])
    gates = {i: pair.facts.is_weight for i, pair in zip(tracked, f.inputs, strict=True)}
    gate_meets_signal = set(gates.values()) == {True, False}
    # What carries relevance: the operand, element by element, and the updates.
    from_operand = f.tracked[0] & ~((count > 0) & (gate_meets_signal and gates[0]))
    from_updates = f.tracked[2] and not (gate_meets_signal and gates[2])
    carriers = from_operand + from_updates * count
    degree = jnp.maximum(carriers, 1)
    others = jnp.where(from_operand, f.bind([jnp.ones_like(y), f.operands[1], updates]), 0)
    others_of_updates = _others(f, meetings, operand, updates) if from_updates else 0

    def push_operand(c: jax.Array) -> jax.Array:
        return others * c / degree

    def push_updates(c: jax.Array) -> jax.Array:
        return meetings.total(others_of_updates * c) / degree

    def bias() -> jax.Array:
        return jnp.where(carriers == 0, y, 0)

    return Frozen(y, _sum(f, push_operand, push_updates), None if f.tracked[0] else bias)


def _others(f: Equation, meetings: _Meetings, operand: jax.Array, updates: jax.Array) -> jax.Array:
    """For each update the product of all else that meets at its place; exact where one is zero."""

    def nonzero(a: jax.Array) -> jax.Array:
        return jnp.where(a == 0, 1, a)

    zeros = meetings.total((updates == 0).astype(int)) + (operand == 0)
    whole = f.bind([nonzero(operand), f.operands[1], nonzero(updates)])
    is_zero = meetings.seen(zeros) > (updates == 0)
    return jnp.where(is_zero, 0, meetings.seen(whole) / nonzero(updates))


def _sum(
    f: Equation,
    push_operand: Callable[[jax.Array], jax.Array],
    push_updates: Callable[[jax.Array], jax.Array],
) -> Callable[..., jax.Array]:
    """The sum of what contributions to the operand and to the updates become, where tracked."""
    terms = [term for i, term in ((0, push_operand), (2, push_updates)) if f.tracked[i]]

    def push(*c: jax.Array) -> jax.Array:
        first, *rest = (term(ci) for term, ci in zip(terms, c, strict=True))
        return sum(rest, first)

    return push
