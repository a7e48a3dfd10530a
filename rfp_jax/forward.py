"""Pushing sources forward: a few side by side in one walk, many through one frozen network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from rfp_jax.pair import Pair, Value, activation
from rfp_jax.propagate import Propagation
from rfp_jax.sources import Split
from rfp_jax.trace import Trace

Rows = list[list[jax.Array]]
"""For each source leaf, for each output array, its relevance; of a split leaf, stacked in front."""


def side_by_side(
    call: Trace, propagation: Propagation, splits: Sequence[Split | None]
) -> tuple[list[jax.Array], Rows]:
    """All sources in one walk: the plain program is evaluated once, and so is what sources share.

    Returns:
        The program's results, auxiliary ones too, and the relevance.
    """
    seeds = map(propagation.seed, call.leaves)
    parts = [_parts(seed, split) for seed, split in zip(seeds, splits, strict=True)]
    count = sum(map(len, parts))
    pairs, first = [], 0
    for leaf, own in zip(call.leaves, parts, strict=True):
        after = count - first - len(own)
        pairs.append(Pair(leaf, (*(None,) * first, *own, *(None,) * after)))
        first += len(own)
    results = propagation.run(call.jaxpr, call.consts, pairs)
    outputs = results[: call.output_tree.num_leaves]
    slots = [_read(propagation, value, count) for value in outputs]
    rows, first = [], 0
    for own, split in zip(parts, splits, strict=True):
        mine = [slot[first : first + len(own)] for slot in slots]
        rows.append([cs[0] if split is None else jnp.stack(cs) for cs in mine])
        first += len(own)
    return call.results(results), rows


def one_after_another(
    call: Trace, propagation: Propagation, splits: Sequence[Split | None], memory: int
) -> tuple[list[jax.Array], Rows]:
    """Freeze the network once, then map its linear part over the parts, some at a time.

    Args:
        call: the traced call.
        propagation: the walk with its rules.
        splits: how each source array is divided, None for not at all.
        memory: bytes that the parts pushed at one time may take.

    Returns:
        The program's results, auxiliary ones too, and the relevance.
    """

    def push(contributions: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
        pairs = [Pair(x, (c,)) for x, c in zip(call.leaves, contributions, strict=True)]
        results = propagation.run(call.jaxpr, call.consts, pairs)
        outputs = results[: call.output_tree.num_leaves]
        pushed = [_read(propagation, value, 1)[0] for value in outputs]
        return pushed, call.results(results)

    zeros = [jnp.zeros_like(leaf) for leaf in call.leaves]
    _, frozen, results = jax.linearize(push, zeros, has_aux=True)
    at_a_time = max(1, memory // peak_bytes(jax.make_jaxpr(frozen)(zeros).jaxpr))

    def push_leaf(place: int, split: Split | None) -> list[jax.Array]:
        leaf = propagation.seed(call.leaves[place])

        def push_part(c: jax.Array) -> list[jax.Array]:
            return frozen([c if i == place else zero for i, zero in enumerate(zeros)])

        if split is None:
            return push_part(leaf)
        indices = jnp.arange(split.count(leaf.shape))
        return lax.map(lambda i: push_part(split.part(leaf, i)), indices, batch_size=at_a_time)

    return results, [push_leaf(place, split) for place, split in enumerate(splits)]


def peak_bytes(jaxpr: core.Jaxpr) -> int:
    """The most memory that a program's own values take at one time, before any fusion."""
    last = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if _is_var(v)}
    last.update({v: len(jaxpr.eqns) for v in jaxpr.outvars if _is_var(v)})
    alive = peak = sum(map(_bytes, jaxpr.invars))
    for i, eqn in enumerate(jaxpr.eqns):
        inner = max((peak_bytes(sub) for sub in core.jaxprs_in_params(eqn.params)), default=0)
        alive += sum(map(_bytes, eqn.outvars))
        peak = max(peak, alive + inner)
        ended = {v for v in (*eqn.invars, *eqn.outvars) if _is_var(v) and last.get(v, i) == i}
        alive -= sum(_bytes(v) for v in ended if v not in jaxpr.constvars)
    return max(peak, 1)


def _is_var(atom: Any) -> bool:
    return isinstance(atom, core.Var)


def _bytes(atom: Any) -> int:
    aval = atom.aval
    return math.prod(aval.shape) * aval.dtype.itemsize


def _parts(leaf: jax.Array, split: Split | None) -> list[jax.Array]:
    """The contributions a source array starts with; whole, it is all that there is of itself."""
    if split is None:
        return [leaf]
    return [split.part(leaf, i) for i in range(split.count(leaf.shape))]


def _read(propagation: Propagation, value: Value, count: int) -> list[jax.Array]:
    """What each source contributed to a value, zeros where nothing."""
    y = activation(value)
    carried = value.contributions if isinstance(value, Pair) else (None,) * count
    return [jnp.zeros_like(y) if c is None else propagation.read(y, c) for c in carried]
