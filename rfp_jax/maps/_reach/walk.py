"""One reading of a program along one axis: what its outputs reach, and what is in the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core, source_info_util

from rfp_jax._core.jaxprs import CALLS, Program, called, constants, opened, shape_of
from rfp_jax._util.trees import Given
from rfp_jax.maps._reach.hull import Constant, Memo, Reach, join
from rfp_jax.maps._reach.shifts import Blocked, Shifts, Value, as_reach, depends
from rfp_jax.maps._reach.table import RULES

PASSES = 64
"""A loop is read so many times at most."""


@dataclass(frozen=True)
class Operation:
    """An operation because of which a window does not equal the whole scene.

    Attributes:
        primitive: its primitive's name.
        source: the user's line, as `file:line (function)`.
        reason: what it does, in words.
    """

    primitive: str
    source: str
    reason: str

    def __str__(self) -> str:
        return f"'{self.primitive}' at {self.source or '(unknown line)'} {self.reason}"


@dataclass
class Walk:
    """A reading of a program.

    Attributes:
        shifts: the shifts of the scene that move every value by whole elements.
        blocked: operations after which nothing is known.
        widths: for each equation read, the operation and the most pixels that an element of its
            result depends on.
        source: the user's line of the call around.
    """

    shifts: Shifts = field(default_factory=Shifts)
    blocked: list[Operation] = field(default_factory=list)
    widths: list[tuple[Operation, int]] = field(default_factory=list)
    source: str = ""

    def run(self, program: Program, arguments: Sequence[Value]) -> list[Value]:
        """Return the reach of a program's results, or their values where they reach nothing."""
        jaxpr = opened(program)
        known: dict[core.Var, Value] = dict(zip(jaxpr.invars, arguments, strict=True))
        known |= dict(zip(jaxpr.constvars, map(_constant, constants(program)), strict=True))

        def read(atom: core.Var | core.Literal) -> Value:
            return _constant(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for eqn in jaxpr.eqns:
            operands = list(map(read, eqn.invars))
            if any(map(depends, operands)):
                known |= dict(zip(eqn.outvars, self.equation(eqn, operands), strict=True))
            elif any(isinstance(value, Reach) for value in operands):  # of another turn of a loop
                known |= {var: Reach.nothing(len(shape_of(var))) for var in eqn.outvars}
            else:
                known |= dict(zip(eqn.outvars, _evaluated(eqn, operands), strict=True))
        return list(map(read, jaxpr.outvars))

    def equation(self, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
        """Return the reach of an equation's results."""
        name = eqn.primitive.name
        if all(0 in shape_of(var) for var in eqn.outvars):  # no elements: padding by nothing
            return [Reach.nothing(len(shape_of(var))) for var in eqn.outvars]
        try:
            if name in _CONTROL:
                inside = replace(self, source=self.line(eqn))
                return _CONTROL[name](inside, eqn, operands)
            if name not in RULES:
                raise Blocked("is not known: it may depend on everything")
            found = RULES[name](eqn, operands, self.shifts)
        except (Blocked, ValueError) as problem:
            self.blocked.append(Operation(name, self.line(eqn), str(problem)))
            found = [_all(eqn, var, operands) for var in eqn.outvars]
        results = found if isinstance(found, list) else [found]
        for reach, var in zip(results, eqn.outvars, strict=True):
            self.shifts.see(reach, shape_of(var))
        width = max(reach.width for reach in results)
        self.widths.append((Operation(name, self.line(eqn), "depends on the whole scene"), width))
        return list(results)

    def line(self, eqn: core.JaxprEqn) -> str:
        """The user's line of an equation."""
        return source_info_util.summarize(eqn.source_info) or self.source


_Control = Callable[[Walk, core.JaxprEqn, list[Value]], list[Value]]


def _constant(value: Given) -> Constant:
    return Constant(lambda _: value)


def _all(eqn: core.JaxprEqn, var: core.Var, operands: Sequence[Value]) -> Reach:
    reaches = map(as_reach, operands, eqn.invars)
    rank = len(shape_of(var))
    return join([reach.everywhere(rank) for reach in reaches])


def _evaluated(eqn: core.JaxprEqn, operands: Sequence[Value]) -> list[Constant]:
    """The results of an equation of constants, computed when they are asked for."""

    def compute(memo: Memo) -> list[jax.Array]:
        values = [value.evaluate(memo) for value in operands if isinstance(value, Constant)]
        found = eqn.primitive.bind(*values, **eqn.primitive.get_bind_params(eqn.params))
        return list(found) if eqn.primitive.multiple_results else [found]

    both, copied = Constant(compute), None
    if eqn.primitive.name == "broadcast_in_dim":
        copied = _copied(eqn, operands[0])
    return [
        Constant(lambda memo, i=i: both.evaluate(memo)[i], copied) for i in range(len(eqn.outvars))
    ]


def _copied(eqn: core.JaxprEqn, operand: Value) -> Constant:
    """Return the operand that a broadcast copies, with the rank of its result."""
    assert isinstance(operand, Constant)
    kept = eqn.params["broadcast_dimensions"]
    sizes = dict(zip(kept, shape_of(eqn.invars[0]), strict=True))
    shape = [sizes.get(d, 1) for d in range(len(shape_of(eqn.outvars[0])))]
    return Constant(lambda memo: jnp.reshape(operand.evaluate(memo), shape))


def _call(walk: Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """A call is read in place."""
    return walk.run(called(eqn), operands)


def _side_by_side(walk: Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    del walk, eqn
    return operands


def _cond(walk: Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    index, *operands = operands
    branches = [walk.run(branch, operands) for branch in eqn.params["branches"]]
    found = []
    for var, results in zip(eqn.outvars, zip(*branches, strict=True), strict=True):
        reaches = [as_reach(value, var) for value in results]
        if isinstance(index, Reach):
            reaches.append(index.everywhere(len(shape_of(var))))
        found.append(join(reaches))
    return found


def _loop(
    eqn: core.JaxprEqn,
    carry: list[Reach],
    step: Callable[[list[Value]], list[Value]],
    turns: int | None,
) -> tuple[list[Reach], list[Value]]:
    """The reach of a loop's carry and of what its last turn returned beside it."""
    rest: list[Value] = []
    for _ in range(PASSES if turns is None else min(turns, PASSES)):
        results = step(list(carry))
        pairs = zip(carry, results, eqn.outvars, strict=False)
        wider = [join([old, as_reach(new, var)]) for old, new, var in pairs]
        rest = results[len(carry) :]
        same = zip(carry, wider, strict=True)
        if all(np.array_equal(a.lo, b.lo) and np.array_equal(a.hi, b.hi) for a, b in same):
            return carry, rest
        carry = wider
    if turns is None or turns > PASSES:
        raise Blocked(f"goes on widening after {PASSES} turns of the loop")
    return carry, rest


def _while(walk: Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    p = eqn.params
    n_cond, n_body = p["cond_nconsts"], p["body_nconsts"]
    cond_consts, body_consts = operands[:n_cond], operands[n_cond : n_cond + n_body]

    def step(carry: list[Value]) -> list[Value]:
        (goes_on,) = walk.run(p["cond_jaxpr"], [*cond_consts, *carry])
        after = walk.run(p["body_jaxpr"], [*body_consts, *carry])
        if not isinstance(goes_on, Reach):
            return after
        pairs = zip(after, eqn.outvars, strict=True)
        return [
            join([as_reach(v, var), goes_on.everywhere(len(shape_of(var)))]) for v, var in pairs
        ]

    carry = list(map(as_reach, operands[n_cond + n_body :], eqn.invars[n_cond + n_body :]))
    return list(_loop(eqn, carry, step, None)[0])


def _scan(walk: Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """A loop over places depends on all of them; one over anything else widens turn by turn."""
    p = eqn.params
    if "ft_in" in p:  # JAX 0.12
        n_consts, n_carry, _ = (len(part) for part in p["ft_in"].unpack())
    else:
        n_consts, n_carry = p["num_consts"], p["num_carry"]
    consts, later = operands[:n_consts], operands[n_consts:]
    atoms = eqn.invars[n_consts:]
    xs: list[Value] = [
        as_reach(value, atom).reduced([0])
        for value, atom in zip(later[n_carry:], atoms[n_carry:], strict=True)
    ]

    def step(carry: list[Value]) -> list[Value]:
        return walk.run(p["jaxpr"], [*consts, *carry, *xs])

    start = list(map(as_reach, later[:n_carry], atoms[:n_carry]))
    carry, rest = _loop(eqn, start, step, p["length"])
    stacked = []
    for value, var in zip(rest, eqn.outvars[n_carry:], strict=True):
        reach = value if isinstance(value, Reach) else Reach.nothing(len(shape_of(var)) - 1)
        steps = {d + 1: step for d, step in reach.steps.items()}
        stacked.append(reach.taken(lambda end: end[None], steps))
    return [*carry, *stacked]


_CONTROL: dict[str, _Control] = {
    **dict.fromkeys(CALLS, _call),
    **dict.fromkeys(["optimization_barrier", "device_put"], _side_by_side),
    "cond": _cond,
    "while": _while,
    "scan": _scan,
}
"""Equations that hold programs, and such as pass on several values side by side."""
