"""Hints at relevance that is conserved and may still not be what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from rfp_jax._core.dependence import find_interaction
from rfp_jax._core.interpreter import Stop
from rfp_jax._core.online import find_online_softmax
from rfp_jax._core.traces import Trace
from rfp_jax._core.value import Tracked, Value, activation, facts_of

_PARAMETERS = frozenset("params kernel bias scale weight weights batch_stats mean var".split())


@dataclass(frozen=True)
class Hint:
    """Something to know before reading the numbers.

    Attributes:
        kind: `"probabilities"`, `"interact"`, `"online softmax"`, `"stops"`, `"steers"`,
            `"unused"`, `"constant"`, `"integers"` or `"parameters"`.
        text: what was found, where, and what to do.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def find_hints(
    call: Trace,
    outputs: Sequence[Value],
    stops: Sequence[Stop],
    leaves: Sequence[jax.Array] | None = None,
) -> tuple[Hint, ...]:
    """Return the hints of a call.

    Args:
        call: the traced call.
        outputs: its outputs as a walk left them.
        stops: where relevance ended.
        leaves: the source arrays, if their numbers are known.
    """
    return (
        *_output_hints(call, outputs),
        *_sample_hints(call),
        *_loop_hints(call),
        *_source_hints(call, outputs, stops),
        *([] if leaves is None else _number_hints(call, leaves)),
    )


def _output_hints(call: Trace, outputs: Sequence[Value]) -> list[Hint]:
    hints = []
    for value in outputs:
        dtype = activation(value).dtype
        if not jnp.issubdtype(dtype, jnp.inexact):
            hints.append(Hint("integers", f"an output is of {dtype}: it carries no relevance"))
        facts = facts_of(value)
        is_probability = facts is not None and facts.is_weight and facts.interval[1] <= 1
        if isinstance(value, Tracked) and is_probability:
            text = (
                "the output lies in [0, 1] by construction, like probabilities: relevance of "
                "logits is easier to read; return what stands before the softmax or sigmoid"
            )
            hints.append(Hint("probabilities", text))
    del call
    return hints


def _sample_hints(call: Trace) -> list[Hint]:
    samples = call.output_shapes[0][:-1]
    for axes, what in ((1, "samples"), (len(samples), "places of a sample")):
        together = {leaf.shape[:axes] for leaf in call.leaves} == {samples[:axes]}
        if not samples or not together:
            return []
        if found := find_interaction(call.jaxpr, 1, axes):
            text = (
                f"{what} may interact, first through '{found.primitive}' at "
                f"{found.source or '(unknown)'}: the relevance of one may come from another, and "
                "direction='reverse' would mix them"
            )
            return [Hint("interact", text)]
    return []


def _loop_hints(call: Trace) -> list[Hint]:
    found = find_online_softmax(call.jaxpr)
    if found is None:
        return []
    text = (
        f"a loop computes a softmax block by block, at {found}: rules that count its weights as "
        "constants (lrp0, cp_lrp) are exact there; attnlrp and uniform see single exponentials, "
        "and give other relevance than for softmax(u) @ v, written whole"
    )
    return [Hint("online softmax", text)]


def _source_hints(call: Trace, outputs: Sequence[Value], stops: Sequence[Stop]) -> list[Hint]:
    known = [facts for value in outputs if (facts := facts_of(value)) is not None]
    passing = frozenset().union(*(facts.sources for facts in known))
    reaching = frozenset().union(*(facts.steered_by for facts in known))
    hints = []
    for source, name in enumerate(call.names):
        if source in passing:
            continue
        ends = [stop for stop in stops if source in stop.sources]
        if source not in reaching:
            hints.append(Hint("unused", f"no output depends on source {name}"))
        elif any(stop.steers for stop in ends):
            stop = next(stop for stop in ends if stop.steers)
            text = (
                f"source {name} steers and does not contribute: it reaches the output as a weight "
                f"on signals, first at '{stop.primitive}', {stop.source or '(unknown)'}"
            )
            hints.append(Hint("steers", text))
        else:
            where = "; ".join(f"'{s.primitive}' at {s.source or '(unknown)'}" for s in ends[:5])
            text = (
                f"relevance of source {name} stops: it reaches the output only through {where}; "
                "see rfp_jax.rules.secant and rfp_jax.rules.tangent"
            )
            hints.append(Hint("stops", text))
    return hints


def _number_hints(call: Trace, leaves: Sequence[jax.Array]) -> list[Hint]:
    hints = []
    for name, leaf in zip(call.names, leaves, strict=True):
        if leaf.size > 1 and bool(jnp.all(leaf == leaf.reshape(-1)[0])):
            value = leaf.reshape(-1)[0]
            hints.append(Hint("constant", f"source {name} is {value} everywhere"))
        keys = name.replace("]", "[").replace("'", "").replace(".", "[").split("[")
        if _PARAMETERS & set(keys):
            text = f"source {name} looks like a parameter; sources are usually data: see argnums"
            hints.append(Hint("parameters", text))
    return hints
