"""Find softmaxes that a loop computes block by block, with a running maximum.

Such a loop (flash attention, Milakov & Gimelshein 2018, "Online normalizer calculation for
softmax") carries `m' = max(m, max(u))` and sums of `exp(u - m')`. No equation of it is a softmax.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jax.extend import core, source_info_util

from rfp_jax._core.control import carry_of
from rfp_jax._core.jaxprs import Atom, inner_jaxprs, opened
from rfp_jax._core.primitives import MOVES


def find_online_softmax(jaxpr: core.Jaxpr) -> str | None:
    """Return the user's line of the first such loop that depends on an argument of the program."""
    reached: set[core.Var] = set(jaxpr.invars)
    for eqn in jaxpr.eqns:
        if reached.isdisjoint(v for v in eqn.invars if isinstance(v, core.Var)):
            continue
        reached.update(eqn.outvars)
        if eqn.primitive.name in ("scan", "while") and _runs(*carry_of(eqn)):
            return source_info_util.summarize(eqn.source_info)
        for inner in inner_jaxprs(eqn):
            if found := find_online_softmax(inner):
                return found
    return None


def _runs(body: core.Jaxpr, carry: Sequence[core.Var], after: Sequence[Atom]) -> bool:
    """Return whether a body takes exponentials of what a maximum in its carry was taken from."""
    same, below, exponential = set(carry), set[core.Var](), False
    for name, operands, results in _equations(body, {}):
        if not below.isdisjoint(operands):
            below.update(results)
            exponential |= name in ("exp", "exp2")
        elif not same.isdisjoint(operands):
            if name == "max":
                below.update(results)
            elif name in MOVES or name == "stop_gradient":
                same.update(results)
    return exponential and not below.isdisjoint(after)


def _equations(
    jaxpr: core.Jaxpr, names: dict[core.Var, core.Var]
) -> Iterator[tuple[str, list[core.Var], list[core.Var]]]:
    """Yield name, operands and results of each equation; those of calls in place of the call."""

    def named(atoms: Sequence[Atom]) -> list[core.Var]:
        return [names.get(v, v) for v in atoms if isinstance(v, core.Var)]

    for eqn in jaxpr.eqns:
        inner = eqn.params.get("jaxpr") if eqn.primitive.name in ("jit", "pjit") else None
        if inner is None:
            yield eqn.primitive.name, named(eqn.invars), named(eqn.outvars)
            continue
        body = opened(inner)
        given = zip(body.invars, eqn.invars, strict=True)
        own = {v: names.get(a, a) for v, a in given if isinstance(a, core.Var)}
        yield from _equations(body, own)
        for v, a in zip(eqn.outvars, body.outvars, strict=True):
            if isinstance(a, core.Var):
                names[v] = own.get(a, a)
