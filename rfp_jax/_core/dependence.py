"""A proof that samples do not interact, read off a program before it runs.

Outputs depend on their own sample alone if every sample axis, followed from the sources through all
equations, arrives where it left. A value that depends on a source holds each axis at a place
(`rfp_jax._core.dimensions`), or has lost it: then it may depend on every sample. Losing an axis
does no harm until an output depends on the value that lost it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from jax.extend import core, source_info_util

from rfp_jax._core.dimensions import FOLLOWED, Follow, Place, Split
from rfp_jax._core.jaxprs import CALLS, Atom, Program, called, opened, shape_of


@dataclass(frozen=True)
class Interaction:
    """An equation at which samples may interact.

    Attributes:
        primitive: the equation after which outputs may depend on other samples, by its primitive's
            name; `"shape"` if sources and outputs do not have the same sample axes.
        source: the user's line of that equation, as `file:line (function)`.
    """

    primitive: str
    source: str


Places = tuple[Place | Interaction, ...]
"""For each index of a sample where a value holds it, or where it was lost."""

Value = Places | None
"""The known places of sample indices in a value; None if it depends on no source."""


def find_interaction(program: Program, outputs: int, axes: int) -> Interaction | None:
    """Find where an output may depend on a source's elements of another sample.

    The analysis is of the program's form alone: what it does not know, it takes for an interaction.

    Args:
        program: all its arguments are sources, its constants are not.
        outputs: how many of its results, the first ones, are outputs.
        axes: how many leading axes, of all sources and outputs, count samples.

    Returns:
        None if it is proved that `output[i_1, ..., i_axes, ...]` depends on no element of a source
        with other leading indices; else where that may happen first.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.ones((3, 4))
        >>> find_interaction(jax.make_jaxpr(lambda x: x - x.mean(1, keepdims=True))(x), 1, axes=1)
        >>> find = find_interaction(jax.make_jaxpr(lambda x: x - x.mean(0)[None])(x), 1, axes=1)
        >>> find.primitive
        'reduce_sum'
    """
    jaxpr = opened(program)
    results = jaxpr.outvars[:outputs]
    shapes = {shape_of(var)[:axes] for var in (*jaxpr.invars, *results)}
    if any(len(shape) < axes for shape in shapes) or len(shapes) > 1:
        return Interaction("shape", "")
    indices = [_Index(axis, 1, size) for shape in shapes for axis, size in enumerate(shape)]
    while True:
        walk = _Walk([index for index in indices if index.size > 1])  # one sample has no other
        found = walk.search(jaxpr, results)
        if found is None or not walk.splits:
            return found
        indices = [part for index in walk.indices for part in index.parts(walk.splits.get(index))]


@dataclass(frozen=True)
class _Index:
    """A sample's index, or a digit of it: `index[axis] // stride % size` of sources and outputs."""

    axis: int
    stride: int
    size: int

    def parts(self, inner: int | None) -> list[_Index]:
        """The index cut into two digits, of which the inner one has this size."""
        if inner is None:
            return [self]
        outer = replace(self, stride=self.stride * inner, size=self.size // inner)
        return [outer, replace(self, size=inner)]


@dataclass
class _Walk:
    """One reading of a program.

    Attributes:
        indices: the indices that are followed, from and to the places that `_Index` says.
        splits: which of them have to be cut to be followed further: by a reshape of samples into
            groups of samples.
        depth: how many loops are around.
        source: the user's line of the call around; equations inside may have none of their own.
    """

    indices: list[_Index]
    splits: dict[_Index, int] = field(default_factory=dict[_Index, int])
    depth: int = 0
    source: str = ""

    def search(self, jaxpr: core.Jaxpr, results: Sequence[Atom]) -> Interaction | None:
        """Find where an index first fails to arrive in a result."""
        home = tuple(Place(index.axis, index.stride) for index in self.indices)
        if not home:
            return None
        makers: dict[Atom, core.JaxprEqn] = {var: eqn for eqn in jaxpr.eqns for var in eqn.outvars}
        values = self.run(jaxpr, [home] * len(jaxpr.invars))
        for var, value in zip(results, values, strict=False):
            for place, start in zip(value or home, home, strict=True):
                if isinstance(place, Interaction):
                    return place
                if place != start:
                    return self.interaction(makers[var])
        return None

    def run(self, program: Program, arguments: Sequence[Value]) -> list[Value]:
        """Return the known places of a program's results."""
        jaxpr = opened(program)
        known: dict[core.Var, Value] = dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Atom) -> Value:
            return None if isinstance(atom, core.Literal) else known.get(atom)

        for eqn in jaxpr.eqns:
            results = self.equation(eqn, list(map(read, eqn.invars)))
            # An empty array depends on nothing.
            results = [
                None if 0 in shape_of(var) else value
                for var, value in zip(eqn.outvars, results, strict=True)
            ]
            known.update(zip(eqn.outvars, results, strict=True))
        return list(map(read, jaxpr.outvars))

    def equation(self, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
        """Return the known places of an equation's results."""
        name = eqn.primitive.name
        if name in _CONTROL:
            return _CONTROL[name](replace(self, source=self.line(eqn)), eqn, operands)
        # An equation with effects may read what another one wrote.
        if not any(operands) and not eqn.effects:
            return [None] * len(eqn.outvars)
        if name not in FOLLOWED:
            lost = (self.interaction(eqn),) * len(self.indices)
            return [lost for _ in eqn.outvars]
        results: list[Value] = []
        for var in eqn.outvars:
            follows = FOLLOWED[name](eqn, shape_of(var))
            both = zip(operands, follows, strict=True)
            moved = [v and self.moved(eqn, v, follow) for v, follow in both]
            results.append(self.join(eqn, *moved))
        return results

    def moved(self, eqn: core.JaxprEqn, value: Places, follow: Follow) -> Places:
        """Move places as an equation moves its operands; iterations stay what they are."""
        places: list[Place | Interaction] = []
        for index, place in zip(self.indices, value, strict=True):
            to = place
            if isinstance(place, Place) and place.dim >= 0:
                to = follow(place, index.size)
            if isinstance(to, Split):
                self.splits.setdefault(index, to.inner)
            places.append(to if isinstance(to, Place | Interaction) else self.interaction(eqn))
        return tuple(places)

    def join(self, eqn: core.JaxprEqn, *values: Value) -> Value:
        """Return the places that all of these agree on, for a value that depends on all."""

        def agreed(a: Place | Interaction, b: Place | Interaction) -> Place | Interaction:
            if a == b or isinstance(a, Interaction):
                return a
            return b if isinstance(b, Interaction) else self.interaction(eqn)

        joined: Value = None
        for value in filter(None, values):
            joined = tuple(map(agreed, joined or value, value))
        return joined

    def interaction(self, eqn: core.JaxprEqn) -> Interaction:
        """An equation as the place where samples may interact."""
        return Interaction(eqn.primitive.name, self.line(eqn))

    def line(self, eqn: core.JaxprEqn) -> str:
        """The user's line of an equation."""
        return source_info_util.summarize(eqn.source_info) or self.source


_Control = Callable[[_Walk, core.JaxprEqn, list[Value]], list[Value]]


def _call(walk: _Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """A call is read in place."""
    return walk.run(called(eqn), operands)


def _side_by_side(walk: _Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """Each result is the operand at its place."""
    del walk, eqn
    return operands


def _solve(walk: _Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """A linear system, by the program that solves it: of its own constants and the right sides."""
    lengths, programs = eqn.params["const_lengths"], eqn.params["jaxprs"]
    start = lengths.matvec + lengths.vecmat
    consts = operands[start : start + lengths.solve]
    return walk.run(programs.solve, [*consts, *operands[sum(lengths) :]])


def _cond(walk: _Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """Each result depends on the branches' results and on which branch it was."""
    index, *operands = operands
    branches = [walk.run(branch, operands) for branch in eqn.params["branches"]]
    return [walk.join(eqn, index, *results) for results in zip(*branches, strict=True)]


def _fixpoint(
    walk: _Walk,
    eqn: core.JaxprEqn,
    carry: list[Value],
    step: Callable[[list[Value]], list[Value]],
) -> list[Value]:
    """Know less of a loop's carry until a step no longer changes that; then what the step gives."""
    while True:
        results = step(carry)
        wider = [walk.join(eqn, *both) for both in zip(carry, results, strict=False)]
        if wider == carry:
            return [*carry, *results[len(carry) :]]
        carry = wider


def _while(walk: _Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """The carry depends on the condition, which for batches has their leading dimensions."""
    p = eqn.params
    n_cond, n_body = p["cond_nconsts"], p["body_nconsts"]
    cond_consts, body_consts = operands[:n_cond], operands[n_cond : n_cond + n_body]

    def step(carry: list[Value]) -> list[Value]:
        (goes_on,) = walk.run(p["cond_jaxpr"], [*cond_consts, *carry])
        after = walk.run(p["body_jaxpr"], [*body_consts, *carry])
        return [walk.join(eqn, value, goes_on) for value in after]

    return _fixpoint(walk, eqn, operands[n_cond + n_body :], step)


def _scan(walk: _Walk, eqn: core.JaxprEqn, operands: list[Value]) -> list[Value]:
    """A loop may run over samples: then an iteration holds an index, and its carry loses it."""
    p = eqn.params
    if "ft_in" in p:  # JAX 0.12
        n_consts, n_carry, _ = (len(part) for part in p["ft_in"].unpack())
    else:
        n_consts, n_carry = p["num_consts"], p["num_carry"]
    inside = replace(walk, depth=walk.depth + 1)
    iteration = -inside.depth

    def sliced(at: Place) -> Place:
        if at.dim < 0:
            return at
        return replace(at, dim=at.dim - 1 if at.dim else iteration)

    def stacked(at: Place) -> Place:
        if at.dim == iteration:
            return replace(at, dim=0)
        return replace(at, dim=at.dim + 1) if at.dim >= 0 else at

    def later(at: Place) -> Place | Interaction:
        return walk.interaction(eqn) if at.dim == iteration else at

    consts, carry = operands[:n_consts], operands[n_consts : n_consts + n_carry]
    xs = [_replaced(value, sliced) for value in operands[n_consts + n_carry :]]

    def step(carry: list[Value]) -> list[Value]:
        results = inside.run(p["jaxpr"], [*consts, *carry, *xs])
        changes = [later] * n_carry + [stacked] * (len(results) - n_carry)
        return list(map(_replaced, results, changes))

    return _fixpoint(walk, eqn, carry, step)


def _replaced(value: Value, change: Callable[[Place], Place | Interaction]) -> Value:
    """A value with other places; what was lost stays so."""
    return value and tuple(change(at) if isinstance(at, Place) else at for at in value)


_CONTROL: dict[str, _Control] = {
    **dict.fromkeys(CALLS, _call),
    **dict.fromkeys(["optimization_barrier", "device_put"], _side_by_side),
    "custom_linear_solve": _solve,
    "cond": _cond,
    "while": _while,
    "scan": _scan,
}
"""Equations that hold programs, and such as pass on several values side by side."""
