"""Control flow: the bodies of loops, branches and calls are walked with pairs instead of arrays.

Pairs are pytrees, so a loop over arrays becomes a loop over pairs. What differs is structure alone:
which variables depend on a source, and which sources have reached them. A loop's carry takes the
least structure that its body maps to itself (`_fixpoint`); branches take one that holds them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax import lax
from jax.extend import core

from rfp_jax.pair import Value, activation, conform, join, same_structure

Run = Callable[[core.Jaxpr, Sequence[Any], Sequence[Value]], list[Value]]
"""`Propagation.run`: evaluate a jaxpr with its constants on arrays and pairs."""

Control = Callable[[Run, core.JaxprEqn, Sequence[Value]], Sequence[Value]]


def _body(run: Run, jaxpr: Any) -> Callable[[Sequence[Value]], list[Value]]:
    """A closed jaxpr (in JAX 0.12 every jaxpr is one) as a function of its arguments."""
    consts = getattr(jaxpr, "consts", ())
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return lambda values: run(jaxpr, consts, list(values))


def _split(values: Sequence[Any], *sizes: int) -> list[list[Any]]:
    """Cut a list into parts of these sizes and the rest."""
    parts, values = [], list(values)
    for size in sizes:
        parts.append(values[:size])
        values = values[size:]
    return [*parts, values]


def _call(*keys: str) -> Control:
    """A call is walked in place, so nothing depends on what was jitted; one of the keys has it."""

    def call(run: Run, eqn: core.JaxprEqn, values: Sequence[Value]) -> Sequence[Value]:
        (key,) = (key for key in keys if key in eqn.params)
        return _body(run, eqn.params[key])(values)

    return call


def _fixpoint(step: Callable[..., list[Value]], carry: list[Value], *args: Any) -> list[Value]:
    """Widen a carry until one step of the loop no longer changes its structure."""
    while True:
        after = jax.eval_shape(step, carry, *args)
        wider = conform(carry, join([carry, after]))
        if same_structure(wider, carry):
            return wider
        carry = wider


def _cond(run: Run, eqn: core.JaxprEqn, values: Sequence[Value]) -> Sequence[Value]:
    index, *operands = values
    branches = [_body(run, branch) for branch in eqn.params["branches"]]
    common = join([jax.eval_shape(branch, operands) for branch in branches])
    same = [lambda ops, branch=branch: conform(branch(ops), common) for branch in branches]
    return lax.switch(index, same, operands)


def _while(run: Run, eqn: core.JaxprEqn, values: Sequence[Value]) -> Sequence[Value]:
    p = eqn.params
    cond_consts, body_consts, carry = _split(values, p["cond_nconsts"], p["body_nconsts"])
    goes_on, body = _body(run, p["cond_jaxpr"]), _body(run, p["body_jaxpr"])

    def holds(carry: list[Value]) -> jax.Array:
        return activation(goes_on([*map(activation, cond_consts), *map(activation, carry)])[0])

    carry = _fixpoint(lambda carry: body([*body_consts, *carry]), carry)
    return lax.while_loop(holds, lambda c: conform(body([*body_consts, *c]), c), carry)


def _scan(run: Run, eqn: core.JaxprEqn, values: Sequence[Value]) -> Sequence[Value]:
    p = eqn.params
    if "ft_in" in p:  # JAX 0.12
        n_consts, n_carry, _ = (len(part) for part in p["ft_in"].unpack())
    else:
        n_consts, n_carry = p["num_consts"], p["num_carry"]
    consts, carry, xs = _split(values, n_consts, n_carry)
    body = _body(run, p["jaxpr"])

    def step(carry: list[Value], x: list[Value]) -> tuple[list[Value], list[Value]]:
        after, y = _split(body([*consts, *carry, *x]), n_carry)
        return conform(after, carry), y

    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    carry = _fixpoint(lambda c, x: body([*consts, *c, *x])[:n_carry], carry, first)
    after, ys = lax.scan(step, carry, xs, p["length"], p["reverse"], p["unroll"])
    return [*after, *ys]


def _shard_map(run: Run, eqn: core.JaxprEqn, values: Sequence[Value]) -> Sequence[Value]:
    p = eqn.params
    body = _body(run, p["jaxpr"])
    # A spec for an array is, as a prefix of the tree, one for the pair in its place.
    return jax.shard_map(
        lambda *values: tuple(body(values)),
        mesh=p["mesh"],
        in_specs=tuple(p["in_specs"]),
        out_specs=tuple(p["out_specs"]),
        check_vma=p["check_vma"],
        axis_names=set(p["newly_manual_axes"]),
    )(*values)


CONTROL: Mapping[str, Control] = {
    **dict.fromkeys(["jit", "pjit", "remat2", "checkpoint", "remat"], _call("jaxpr")),
    "composite": _call("jaxpr", "call_jaxpr"),  # before and in JAX 0.12
    **dict.fromkeys(["custom_jvp_call", "custom_vjp_call"], _call("call_jaxpr")),
    **dict.fromkeys(["call", "closed_call", "core_call", "eval_jaxpr"], _call("call_jaxpr")),
    "custom_vmap_call": _call("call"),
    "cond": _cond,
    "while": _while,
    "scan": _scan,
    "shard_map": _shard_map,
}
