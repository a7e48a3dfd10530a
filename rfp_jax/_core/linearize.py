r"""A call, traced once and frozen once: its outputs, `push` and its transpose `pull`.

Frozen at its activations a program is affine in its sources, \(y = \sum_s M x_s + b\). Forward, one
push per source gives \(M x_s\) for all outputs; reverse, one pull per output gives
\(x \odot M^\top e_k\) for all source elements, and

$$ \langle e_k, M x_s \rangle = \langle M^\top e_k, x_s \rangle $$

is the paper's theorem that relevance forward propagation equals layer-wise relevance propagation
(Gawlikowski & Gottschling 2024).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.extend import core

from rfp_jax._core.interpreter import Interpreter, Stop
from rfp_jax._core.jaxprs import Atom, dtype_of, inner_jaxprs, shape_of
from rfp_jax._core.signatures import linearize, make_jaxpr, map_range, vjp, zeros_like
from rfp_jax._core.traces import Trace
from rfp_jax._core.value import Facts, Slots, Tracked, Value, activation, facts_of
from rfp_jax._util.trees import Number
from rfp_jax.errors import RelevanceStopsWarning

T = TypeVar("T")

Row = list[jax.Array]
"""For each output array what one part of the sources contributed to it."""

Part = Callable[[jax.Array, Number], jax.Array]
"""`part(source, i)`: the source array with all but its i-th part set to zero."""


@dataclass(frozen=True)
class FrozenProgram:
    """A traced call and the walk that freezes it."""

    call: Trace
    walk: Interpreter

    def push_together(
        self, parts: Sequence[Sequence[jax.Array]]
    ) -> tuple[list[jax.Array], list[Row]]:
        """Push all parts of all sources in one walk: what they share is computed once.

        Args:
            parts: for each source array the parts it is divided in, as the carrier holds them.

        Returns:
            The program's results, auxiliary ones too, and one row per part; with a propagated
            bias, its row is the last.
        """
        count = sum(map(len, parts)) + self.walk.bias.slots
        first = 0
        slots: list[Slots] = []
        for own in parts:
            slots.append((*(None,) * first, *own, *(None,) * (count - first - len(own))))
            first += len(own)
        values = self._run(self.walk, slots)
        outputs = [self._read(value, count) for value in self._outputs(values)]
        return self.call.results(values), [list(row) for row in zip(*outputs, strict=True)]

    def push(self) -> tuple[list[jax.Array], Callable[[list[jax.Array]], Row], Row | None]:
        """Freeze the program, so that many contributions can be pushed through it.

        Returns:
            The program's results, the linear function from contributions, one per source array,
            to outputs, and the row of the propagated bias, if there is one.
        """
        zeros = list(map(zeros_like, self.call.leaves))
        _, push, (results, bias) = linearize(self._given, zeros)
        return results, push, bias

    def pull(self) -> tuple[list[jax.Array], Callable[[list[jax.Array]], Row]]:
        """Freeze the program, so that weights of outputs can be pulled back through it.

        Returns:
            The program's results, and the function from weights, one array per output, to
            `x * (M^T w)`, one array per source.
        """
        program = replace(self, walk=replace(self.walk, reverse=True))
        zeros = list(map(zeros_like, self.call.leaves))
        pushed, transpose, (results, _) = vjp(program._given, zeros)
        seeds = list(map(self.walk.carrier.seed, self.call.leaves))
        is_real = not any(jnp.iscomplexobj(c) for c in pushed)

        def pull(weights: list[jax.Array]) -> Row:
            # An output that is not finite explains nothing: its weight turns all into NaN.
            each = zip(weights, self._outputs(results), pushed, strict=True)
            safe = [
                jnp.where((w != 0) & ~jnp.isfinite(y), jnp.nan, w).astype(c.dtype)
                for w, y, c in each
            ]
            (gradients,) = transpose(safe)
            # What the program replaced (a NaN that it fills) contributes 0, whatever it was.
            heats = [
                jnp.where(g == 0, zeros_like(g), seed * g)
                for seed, g in zip(seeds, gradients, strict=True)
            ]
            return [heat.real if is_real else heat for heat in heats]

        return results, pull

    def push_beside(
        self, contributions: Sequence[jax.Array | None]
    ) -> tuple[list[jax.Array], list[jax.Array | None]]:
        """Push one contribution per source, or None, beside all that there is, which freezes.

        Returns:
            The program's results, and what was pushed to each of its outputs.
        """
        values = self._beside(contributions)
        pushed = [v.contributions[1] if isinstance(v, Tracked) else None for v in values]
        return self.call.results(values), pushed

    def _beside(self, contributions: Sequence[jax.Array | None]) -> list[Value]:
        extra = self.walk.bias.slots
        walk = replace(self.walk, totals=(0,))
        seeds = map(walk.carrier.seed, self.call.leaves)
        slots = [(s, c, *(None,) * extra) for s, c in zip(seeds, contributions, strict=True)]
        return self._run(walk, slots)

    def _given(
        self, contributions: list[jax.Array]
    ) -> tuple[Row, tuple[list[jax.Array], Row | None]]:
        values, extra = self._beside(contributions), self.walk.bias.slots
        _, pushed, *bias = zip(
            *(self._read(value, 2 + extra) for value in self._outputs(values)), strict=True
        )
        return list(pushed), (self.call.results(values), list(bias[0]) if bias else None)

    def _run(self, walk: Interpreter, slots: Sequence[Slots]) -> list[Value]:
        sources: list[Value] = [
            Tracked(leaf, own, Facts.from_source(i))
            for i, (leaf, own) in enumerate(zip(self.call.leaves, slots, strict=True))
        ]
        walk.stops.clear()
        call = self.call
        values, _ = walk.anew(call.jaxpr, call.passed).run(call.jaxpr, call.consts, sources)
        warn_of_stops(self.call, walk.stops, self._outputs(values))
        return values

    def _outputs(self, values: Sequence[T]) -> list[T]:
        return list(values[: self.call.output_tree.num_leaves])

    def _read(self, value: Value, count: int) -> Row:
        """Return what each slot holds of an output, as contributions; zeros where nothing."""
        y = activation(value)
        if isinstance(value, Tracked):
            carried = value.contributions
        else:
            carried = self.walk.constant(y, count) if self.walk.bias.slots else (None,) * count
        zeros = zeros_like(y)
        return [zeros if c is None else self.walk.carrier.read(y, c) for c in carried]


def warn_of_stops(call: Trace, stops: Sequence[Stop], outputs: Sequence[Value]) -> None:
    """Warn of sources that reach the output only through operations that pass no relevance."""
    known = [facts for value in outputs if (facts := facts_of(value)) is not None]
    passing = frozenset[int]().union(*(facts.sources for facts in known))
    reaching = frozenset[int]().union(*(facts.steered_by for facts in known))
    steering = frozenset[int]().union(*(stop.sources for stop in stops if stop.steers))
    for source in sorted(reaching - passing - steering):
        stop = next((s for s in stops if source in s.sources), None)
        if stop is None:
            continue
        message = RelevanceStopsWarning(
            f"source {call.names[source]} has no relevance: it reaches the output only through "
            f"operations that pass none, first through '{stop.primitive}' at "
            f"{stop.source or '(unknown)'} (module path: {stop.path or '(none)'}). Let relevance "
            "pass by another rule there, rfp_jax.rules.secant(reference) or "
            f"rfp_jax.rules.tangent(): rules=rfp_jax.rules.lrp0.with_rules("
            f"{{{stop.primitive!r}: rfp_jax.rules.tangent()}}), or explain what stands before it."
        )
        file, line = _place(stop.source)
        warnings.warn_explicit(message, RelevanceStopsWarning, file, line)


def _place(source: str) -> tuple[str, int]:
    """Return file and line of `file:line:column (function)`, as warnings name a place."""
    found = re.match(r"(.+?):(\d+)(:\d+)? \(", source)
    return (found[1], int(found[2])) if found else ("(unknown)", 1)


def peak_bytes(jaxpr: core.Jaxpr) -> int:
    """Return the most memory that a program's own values take at one time, before any fusion."""
    last = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if _is_var(v)}
    last.update({v: len(jaxpr.eqns) for v in jaxpr.outvars if _is_var(v)})
    alive = peak = sum(map(_bytes, jaxpr.invars))
    for i, eqn in enumerate(jaxpr.eqns):
        inner = max(map(peak_bytes, inner_jaxprs(eqn)), default=0)
        alive += sum(map(_bytes, eqn.outvars))
        peak = max(peak, alive + inner)
        ended = {v for v in (*eqn.invars, *eqn.outvars) if _is_var(v) and last.get(v, i) == i}
        alive -= sum(_bytes(v) for v in ended if v not in jaxpr.constvars)
    return max(peak, 1)


def map_parts(
    push: Callable[[list[jax.Array]], Row],
    zeros: list[jax.Array],
    given: Callable[[Number], list[jax.Array]],
    count: int,
    max_bytes: int,
) -> Row:
    """Push many contributions through a frozen program, some at a time.

    Args:
        push: the linear function of a frozen program.
        zeros: contributions of nothing.
        given: `given(i)`, the i-th contributions; i is traced.
        count: how many there are.
        max_bytes: the memory that those pushed at one time may take.

    Returns:
        For each output array what they contributed, stacked in front.
    """
    at_a_time = max(1, max_bytes // peak_bytes(make_jaxpr(push)(zeros).jaxpr))
    return map_range(lambda i: push(given(i)), count, at_a_time)


def _is_var(atom: Atom) -> bool:
    return isinstance(atom, core.Var)


def _bytes(atom: Atom) -> int:
    dtype = dtype_of(atom)
    return 0 if dtype is None else math.prod(shape_of(atom)) * dtype.itemsize
