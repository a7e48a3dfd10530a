"""Control flow: the bodies of loops, branches and calls are walked with tracked values.

Tracked values are pytrees, so a loop over arrays becomes a loop over them. What differs is
structure alone: which variables depend on a source, which sources have reached them, and what is
known of them. A loop's carry takes the least structure that its body maps to itself; branches take
one that holds them all. Each body is traced once per structure (`Bodies`), so nesting costs no more
than the program.

A walk may carry a tally (what a certificate measures) through everything that it walks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

import jax
from jax import lax
from jax.extend import core

from rfp_jax._core.jaxprs import CALLS, Atom, Program, called, constants, opened
from rfp_jax._core.known import Known, is_known
from rfp_jax._core.precision import narrow
from rfp_jax._core.signatures import (
    Param,
    TreeDef,
    eval_jaxpr,
    eval_shape,
    flatten,
    make_jaxpr,
    switch,
)
from rfp_jax._core.value import (
    Stopped,
    Tracked,
    Value,
    activation,
    conform,
    join,
    same_structure,
)
from rfp_jax._util.trees import Given, Tree

Tally = Tree
"""A tree of arrays that is carried through loops and branches; None in most walks."""

State = tuple[list[Value], Tally]


class Walk(Protocol):
    """The part of an interpreter that control flow needs to walk its bodies."""

    @property
    def bodies(self) -> Bodies:
        """The bodies that were traced already."""
        ...

    @property
    def known(self) -> Known:
        """The numbers that are known."""
        ...

    def run(
        self, jaxpr: core.Jaxpr, consts: Sequence[Given], values: Sequence[Value], tally: Tally
    ) -> State:
        """Evaluate a jaxpr with its constants on values."""
        ...

    def anew(self, jaxpr: core.Jaxpr) -> Walk:
        """Return the walk through a program that is traced by itself."""
        ...

    def constant(self, y: jax.Array, count: int) -> tuple[jax.Array | None, ...]:
        """Return the slots of a value that came from no source."""
        ...


T = TypeVar("T")

Control = Callable[[Walk, core.JaxprEqn, Sequence[Value], Tally], State]


@dataclass
class Bodies:
    """Bodies of loops and branches as traced, by the program and the structure of its arguments."""

    traced: dict[Hashable, _Traced] = field(default_factory=dict[Hashable, "_Traced"])

    def call(self, walk: Walk, program: Program, values: Sequence[Value], tally: Tally) -> State:
        """Walk a body; the walk is traced at the first call of this structure."""
        leaves, tree = flatten((list(values), tally))
        types = tuple((leaf.shape, leaf.dtype, leaf.weak_type) for leaf in map(jax.typeof, leaves))
        numbers = tuple(map(walk.known.number, values))
        key = (id(program), tree, types, numbers)
        if key not in self.traced:
            out_trees: list[TreeDef] = []

            def flat(*leaves: jax.Array) -> list[jax.Array]:
                values, tally = tree.unflatten(leaves)
                inner = walk.anew(opened(program))
                for value, number in zip(values, numbers, strict=True):
                    inner.known.keep(value, number)
                out, out_tree = flatten(_walk(inner, program, values, tally))
                out_trees.append(out_tree)
                return out

            self.traced[key] = _Traced(make_jaxpr(flat)(*leaves), out_trees[0], program)
        body = self.traced[key]
        results = eval_jaxpr(body.walked.jaxpr, body.walked.consts, *leaves)
        return body.out_tree.unflatten(results)


class _Traced(NamedTuple):
    """A walk as a program; the body that was walked is kept, whose identity is the key's."""

    walked: core.ClosedJaxpr
    out_tree: TreeDef
    body: Program


def _walk(walk: Walk, program: Program, values: Sequence[Value], tally: Tally) -> State:
    """Walk a program in place."""
    return walk.run(opened(program), constants(program), list(values), tally)


def _split(values: Sequence[T], *sizes: int) -> list[list[T]]:
    """Cut a list into parts of these sizes and the rest."""
    parts: list[list[T]] = []
    rest = list(values)
    for size in sizes:
        parts.append(rest[:size])
        rest = rest[size:]
    return [*parts, rest]


def _call(walk: Walk, eqn: core.JaxprEqn, values: Sequence[Value], tally: Tally) -> State:
    """A call is walked in place, so nothing depends on what was jitted."""
    return _walk(walk, called(eqn), values, tally)


def _each(
    walk: Walk, fun: Callable[[jax.Array], jax.Array], values: Sequence[Value]
) -> list[Value]:
    """Walk a function of one array, for each of some values."""
    walked: list[Value] = []
    for value in values:
        closed = make_jaxpr(fun)(activation(value))
        walked += walk.run(closed.jaxpr, closed.consts, [value], None)[0]
    return walked


Step = Callable[[list[Value], Tally], State]


def _fixpoint(walk: Walk, step: Step, carry: list[Value]) -> list[Value]:
    """Widen a carry until one step of the loop no longer changes its structure.

    Without a tally: a certificate tests the equations of the last step alone.
    """
    while True:
        after, _ = eval_shape(step, carry, None)
        wider = conform(carry, join([carry, after]), walk.constant)
        if same_structure(wider, carry):
            return wider
        carry = wider


def _cond(walk: Walk, eqn: core.JaxprEqn, values: Sequence[Value], tally: Tally) -> State:
    index, *operands = values
    tracked = [isinstance(value, Tracked | Stopped) for value in operands]
    branches = eqn.params["branches"]
    index = activation(index)
    if is_known(index):  # a known branch is walked in place, like a call
        chosen = min(max(int(index), 0), len(branches) - 1)
        return _walk(walk, branches[chosen], operands, tally)

    moving = [value for value, is_tracked in zip(operands, tracked, strict=True) if is_tracked]

    def walked(branch: Program) -> Step:
        def step(moving: list[Value], tally: Tally) -> State:
            rest = iter(moving)
            each = zip(operands, tracked, strict=True)
            given = [next(rest) if is_tracked else value for value, is_tracked in each]
            return walk.bodies.call(walk, branch, given, tally)

        return step

    shapes = [eval_shape(walked(branch), moving, tally)[0] for branch in branches]
    common = join(shapes)

    def same(branch: Program) -> Step:
        def step(moving: list[Value], tally: Tally) -> State:
            results, tally = walked(branch)(moving, tally)
            return conform(results, common, walk.constant), tally

        return step

    return switch(index, list(map(same, branches)), moving, tally)


def _while(walk: Walk, eqn: core.JaxprEqn, values: Sequence[Value], tally: Tally) -> State:
    p = eqn.params
    cond_consts, body_consts, carry = _split(values, p["cond_nconsts"], p["body_nconsts"])
    test = p["cond_jaxpr"]

    def goes_on(state: State) -> jax.Array:
        program = opened(test)
        values = zip((*cond_consts, *state[0]), program.invars, strict=True)
        arrays = [narrow(activation(value), var) for value, var in values]
        return eval_jaxpr(program, constants(test), *arrays)[0]

    def body(carry: list[Value], tally: Tally) -> State:
        return walk.bodies.call(walk, p["body_jaxpr"], [*body_consts, *carry], tally)

    def step(state: State) -> State:
        after, tally = body(*state)
        return conform(after, state[0], walk.constant), tally

    carry = _fixpoint(walk, body, carry)
    return lax.while_loop(goes_on, step, (carry, tally))


def _scan(walk: Walk, eqn: core.JaxprEqn, values: Sequence[Value], tally: Tally) -> State:
    p = eqn.params
    n_consts, n_carry = _scan_sizes(p)
    consts, carry, xs = _split(values, n_consts, n_carry)
    if p["length"] == 1:  # one step is walked in place, like a call
        first = _each(walk, lambda x: x[0], xs)
        results, tally = _walk(walk, p["jaxpr"], [*consts, *carry, *first], tally)
        after, ys = _split(results, n_carry)
        return [*after, *_each(walk, lambda y: y[None], ys)], tally

    def body(carry: list[Value], tally: Tally, x: list[Value]) -> tuple[State, list[Value]]:
        results, tally = walk.bodies.call(walk, p["jaxpr"], [*consts, *carry, *x], tally)
        after, y = _split(results, n_carry)
        return (after, tally), y

    def step(state: State, x: list[Value]) -> tuple[State, list[Value]]:
        (after, tally), y = body(*state, x)
        return (conform(after, state[0], walk.constant), tally), y

    def element(x: jax.Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)

    first = jax.tree.map(element, xs)
    carry = _fixpoint(walk, lambda c, t: eval_shape(body, c, t, first)[0], carry)
    (after, tally), ys = lax.scan(step, (carry, tally), xs, p["length"], p["reverse"], p["unroll"])
    return [*after, *ys], tally


def _scan_sizes(params: Mapping[str, Param]) -> tuple[int, int]:
    """Return how many constants and how many carried values a scan has."""
    if "ft_in" in params:  # JAX 0.12
        n_consts, n_carry, _ = (len(part) for part in params["ft_in"].unpack())
        return n_consts, n_carry
    return params["num_consts"], params["num_carry"]


def carry_of(eqn: core.JaxprEqn) -> tuple[core.Jaxpr, Sequence[core.Var], Sequence[Atom]]:
    """Return the body of a `scan` or `while`, and its carry before and after a step."""
    p = eqn.params
    if eqn.primitive.name == "scan":
        body, (n_consts, n_carry) = p["jaxpr"], _scan_sizes(p)
    else:
        body, n_consts = p["body_jaxpr"], p["body_nconsts"]
        n_carry = len(eqn.outvars)
    body = opened(body)
    return body, body.invars[n_consts : n_consts + n_carry], body.outvars[:n_carry]


def _shard_map(walk: Walk, eqn: core.JaxprEqn, values: Sequence[Value], tally: Tally) -> State:
    p = eqn.params

    def body(*values: Value) -> tuple[Value, ...]:
        return tuple(_walk(walk.anew(opened(p["jaxpr"])), p["jaxpr"], values, None)[0])

    # A spec for an array is, as a prefix of the tree, one for the tracked value in its place.
    results = jax.shard_map(
        body,
        mesh=p["mesh"],
        in_specs=tuple(p["in_specs"]),
        out_specs=tuple(p["out_specs"]),
        check_vma=p["check_vma"],
        axis_names=set(p["newly_manual_axes"]),
    )(*values)
    return list(results), tally  # what devices measure by themselves is not tallied


CONTROL: Mapping[str, Control] = {
    **dict.fromkeys(CALLS, _call),
    "cond": _cond,
    "while": _while,
    "scan": _scan,
    "shard_map": _shard_map,
}

LOOPS = frozenset({"cond", "while", "scan", "shard_map"})
"""Primitives whose bodies are traced on their own; those of calls are walked in place."""
