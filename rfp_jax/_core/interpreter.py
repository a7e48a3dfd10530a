r"""The walk over a traced program that carries activations and what each source contributed.

Every equation \(y = f(x_1, x_2, \ldots)\) on tracked values is evaluated and frozen by its rule,

$$ y = \sum_i L_i x_i + b , \qquad c^s_y = \sum_i L_i c^s_i \quad\text{for every source } s , $$

where \(L_i\) depends on activations alone. So the frozen program is affine, and what a source
contributes to the output is linear in the source: it can be pushed forward or, transposed, pulled
back (`rfp_jax._core.linearize`). What travels in a slot is the `carrier`'s choice; what becomes of
\(b\) is the `bias`'s.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core, source_info_util
from jax.typing import DTypeLike

from rfp_jax._core import ranges, weights
from rfp_jax._core.bias import Bias, Keep, Propagate
from rfp_jax._core.carrier import Carried, Carrier, Contributions
from rfp_jax._core.constant_parts import ConstantParts, Slot
from rfp_jax._core.control import CONTROL, LOOPS, Bodies, State, Tally
from rfp_jax._core.equation import Equation, Kind, bind, is_of
from rfp_jax._core.frozen import (
    Frozen,
    Rule,
    check_frozen,
    check_pushed,
    constant,
    is_chained,
)
from rfp_jax._core.jaxprs import Atom, literal, user_context
from rfp_jax._core.known import Known, is_known
from rfp_jax._core.numbering import Numbering, key_of
from rfp_jax._core.precision import widen
from rfp_jax._core.primitives import ELEMENTWISE, LAYERS, MOVES
from rfp_jax._core.scales import divisors
from rfp_jax._core.signatures import asarray, epsilon, zeros_like
from rfp_jax._core.value import (
    Pending,
    Slots,
    Stopped,
    Tracked,
    Value,
    activation,
    compute,
    slots,
    steered_by,
)
from rfp_jax._util.trees import Given
from rfp_jax.errors import MissingRuleError, ReverseModeError

REMEMBERED = (ELEMENTWISE | MOVES | LAYERS) | frozenset(
    "concatenate stack gather dynamic_slice reduce_sum reduce_prod reduce_max reduce_min".split()
)
"""Primitives at which rules look back."""


class Observer(Protocol):
    """Sees every equation that a walk freezes, inside loops and branches too."""

    def see(self, walk: Interpreter, equation: Equation, rule: Rule | None, tally: Tally) -> State:
        """Freeze an equation; return its results, as the walk would, and the tally."""
        ...

    def inside(self, eqn: core.JaxprEqn) -> Observer:
        """Return the observer of the bodies of a call, loop or branch."""
        ...


@dataclass(frozen=True)
class Stop:
    """An equation at which relevance of some sources ends.

    Attributes:
        primitive: its primitive's name.
        path: the module path.
        source: the user's line.
        sources: the sources whose relevance ends here.
        steers: whether they act here as a weight on a signal.
    """

    primitive: str
    path: str
    source: str
    sources: frozenset[int]
    steers: bool


@dataclass(frozen=True)
class Interpreter:
    """Evaluates a program on arrays and tracked values.

    Attributes:
        rules: which rule an equation gets; None if there is none.
        carrier: what travels in the slots.
        bias: what becomes of constants.
        totals: the slots that together hold all that sources contributed; None for all slots but
            those of the bias.
        reverse: whether the walk will be transposed, which loops of unknown length cannot be.
        dtype: the precision of contributions; None for that of the activations.
        exact: whether activations, too, are computed in that precision.
        observer: who sees every equation.
        path: the name stack of the call in whose body the walk is.
        source: the user's line of that call.
        bodies: the bodies of loops and branches that were traced already.
        numbering: the equations of this program that were walked already.
        known: the numbers of this program that are known.
        constant_parts: what of this program's values came from no source.
        scales: the variables of this program that divide something.
        stops: where relevance ended, in the order of the walk.
    """

    rules: Callable[[Equation], Rule | None]
    carrier: Carrier = field(default_factory=Contributions)
    bias: Bias = field(default_factory=Keep)
    totals: tuple[int, ...] | None = None
    reverse: bool = False
    dtype: DTypeLike | None = None
    exact: bool = False
    observer: Observer | None = None
    path: str = ""
    source: str = ""
    bodies: Bodies = field(default_factory=Bodies)
    numbering: Numbering = field(default_factory=Numbering)
    known: Known = field(default_factory=Known)
    constant_parts: ConstantParts = field(default_factory=ConstantParts)
    scales: frozenset[core.Var] = frozenset()
    stops: list[Stop] = field(default_factory=list[Stop])

    def run(
        self,
        jaxpr: core.Jaxpr,
        consts: Sequence[Given],
        values: Sequence[Value],
        tally: Tally = None,
    ) -> State:
        """Evaluate a jaxpr.

        Args:
            jaxpr: the program.
            consts: values of its constant variables.
            values: its arguments; those that depend on a source are tracked, with equally many
                slots.
            tally: what the observer has measured so far.

        Returns:
            The results, tracked where they depend on a source, and the tally.

        Raises:
            MissingRuleError: an operation on a tracked value has no rule.
        """
        env: dict[core.Var, Value] = dict(
            zip(jaxpr.constvars, map(self.known.constant, consts), strict=True)
        )
        env.update(zip(jaxpr.invars, values, strict=True))
        made: dict[core.Var, core.JaxprEqn] = {}

        def read(atom: core.Var | core.Literal) -> Value:
            if isinstance(atom, core.Literal):  # a Python number, in the type that it stands for
                return literal(atom)
            return env[atom]

        for eqn in jaxpr.eqns:
            with user_context(eqn):
                operands = tuple(map(read, eqn.invars))
                results, tally = self.step(eqn, operands, tally, _Constants(made, env, self.known))
            env.update(zip(eqn.outvars, results, strict=True))
            if not any(isinstance(value, Tracked | Stopped) for value in operands):
                made.update((v, eqn) for v in eqn.outvars)
        return [read(atom) for atom in jaxpr.outvars], tally

    def step(
        self, eqn: core.JaxprEqn, values: tuple[Value, ...], tally: Tally, constants: _Constants
    ) -> State:
        """Evaluate one equation."""
        name = eqn.primitive.name
        path = "/".join(filter(None, (self.path, str(eqn.source_info.name_stack))))
        source = source_info_util.summarize(eqn.source_info) or self.source
        is_tracked = any(isinstance(value, Tracked) for value in values)
        steered = is_tracked or any(isinstance(value, Stopped) for value in values)
        if steered and (control := CONTROL.get(name)):
            if name == "while" and self.reverse and is_tracked:
                raise ReverseModeError(path, source)
            if name in LOOPS:  # what their traces computed could not leave them
                for value in values:
                    if isinstance(value, Tracked):
                        compute(value)
                values = tuple(map(self._wide, values))
            return control(self.inside(eqn, path, source), eqn, values, tally)
        if not steered:
            operands = list(map(activation, values))
            stays_known = name in ELEMENTWISE and _are_known_scalars(operands)
            key = key_of(eqn, values)
            if (found := self.numbering.find(key)) is not None:
                return found, tally
            with jax.ensure_compile_time_eval() if stays_known else nullcontext():
                results: list[Value] = [*bind(eqn, operands)]
            if stays_known:
                results = list(map(self.known.constant, results))
            self.numbering.keep(key, values, results)
            if name in MOVES:  # also beyond the calls and branches that this one is in
                self.known.keep(results[0], constants.number(eqn.invars[0]))
            return results, tally
        equation = Equation(
            eqn,
            values,
            path,
            source,
            dtype=self.dtype,
            constant_part=self.constant_part,
            known=constants.evaluator(eqn),
            number=lambda place: constants.number(eqn.invars[place]),
        )
        rule = constant if equation.is_discrete or not is_tracked else self.rules(equation)
        key = key_of(eqn, values, rule)
        if (found := self.numbering.find(key)) is not None:
            return found, tally
        results, tally = self.explain(equation, rule, tally)
        self.numbering.keep(key, values, results)
        return results, tally

    def explain(self, equation: Equation, rule: Rule | None, tally: Tally) -> State:
        """Evaluate one equation on values that depend on a source."""
        if not any(equation.tracked):
            return self.stopped(equation, equation.plain()), tally
        name = equation.name
        in_chain = name in ELEMENTWISE or equation.keeps_order
        if rule is not None and in_chain and not is_chained(rule):
            equation = replace(equation, is_opaque=True)
        if self.observer is not None:
            return self.observer.see(self, equation, rule, tally)
        if rule is None:
            raise MissingRuleError(equation)
        return self.results(equation, self.freeze(equation, rule)), tally

    def anew(self, jaxpr: core.Jaxpr, passed: Sequence[jax.Array] | None = None) -> Interpreter:
        """Return the walk through a program that is traced by itself: it knows no values yet."""
        known = Known(self.known.passed if passed is None else passed)
        return replace(
            self,
            numbering=Numbering(),
            known=known,
            constant_parts=ConstantParts(),
            scales=divisors(jaxpr),
        )

    def inside(self, eqn: core.JaxprEqn, path: str, source: str) -> Interpreter:
        """Return the walk through the bodies of a call, loop or branch."""
        observer = None if self.observer is None else self.observer.inside(eqn)
        carrier = self.carrier.wide if eqn.primitive.name in LOOPS else self.carrier
        return replace(self, path=path, source=source, observer=observer, carrier=carrier)

    @property
    def _rounds(self) -> bool:
        """Return whether contributions are rounded to less precision than activations have."""
        return self.carrier.wide is not self.carrier

    def _wide(self, value: Value) -> Value:
        """Return a value with contributions as the body of a loop or branch carries them."""
        if not (self._rounds and isinstance(value, Tracked)):
            return value
        y = value.activation
        carried = (None if c is None else self.carrier.read(y, c) for c in value.contributions)
        return value.replace(tuple(carried))

    def constant(self, y: jax.Array, count: int) -> Slots:
        """Return the slots of a value that came from no source."""
        return self.bias.constant_slots(self.carrier, y, count)

    def constant_part(
        self, value: Tracked, exactly: bool = False, unshared: bool = False
    ) -> jax.Array:
        """Return what of an activation came from no source: a `ConstantPart`."""
        y = value.activation
        if not value.facts.has_constant:
            return zeros_like(y)
        is_shared = self.bias.needs_all_slots and not unshared
        if self.bias.slots and not self._rounds:
            own = value.contributions[-1]
        elif (exactly or self._rounds) and not is_shared:
            own = self.constant_parts.follow(value, self._remaining)
        else:
            return self._remainder(value)
        return zeros_like(y) if own is None else self.carrier.read(y, own)

    def _remaining(self, value: Tracked) -> Slot:
        """Return what is carried of a remainder; what may be rounding errors is none."""
        if self.bias.slots:
            return value.contributions[-1]
        y = value.activation
        sizes = [jnp.abs(self.carrier.read(y, c)) for c in value.contributions if c is not None]
        least = 64 * epsilon(y.dtype) * sum(sizes, jnp.abs(y))
        rest = self._remainder(value)
        return self.carrier.carry(y, jnp.where(jnp.abs(rest) > least, rest, zeros_like(rest)))

    def _remainder(self, value: Tracked) -> jax.Array:
        y, carried = value.activation, value.contributions
        chosen = carried if self.totals is None else [carried[i] for i in self.totals]
        for c in chosen:
            if c is value.activation and isinstance(self.carrier, Contributions):
                return zeros_like(y)
            if c is not None:
                y = y - self.carrier.read(value.activation, c)
        return y

    def freeze(self, equation: Equation, rule: Rule) -> Frozen:
        """Evaluate an equation by its rule."""
        activations = (value.activation for value in equation.inputs)
        frozen = check_frozen(equation, rule(equation, *activations))
        if self.dtype is None or self.exact:
            return frozen
        plain = [widen(y, self.dtype) for y in equation.plain()]
        several = equation.eqn.primitive.multiple_results
        return frozen._replace(output=plain if several else plain[0])

    def stopped(self, equation: Equation, outputs: list[jax.Array]) -> list[Value]:
        """Return results that no relevance reaches."""
        facts = weights.facts(equation)
        facts = replace(facts, sources=frozenset())
        chained = equation.name in ELEMENTWISE or equation.keeps_order
        made_by = equation if chained else None
        equation.settle()
        return [Stopped(y, facts, made_by, place) for place, y in enumerate(outputs)]

    def results(self, equation: Equation, frozen: Frozen) -> list[Value]:
        """Push every source's contributions through an equation that its rule has frozen."""
        by_others = not all(is_of(value, equation.variable) for value in frozen.inputs or ())
        if frozen.ends_chain or (equation.kind is Kind.FUNCTION and by_others):
            # its rule explains it by other values (a softmax by its logits), or otherwise
            equation = replace(equation, is_opaque=True)
        outputs = frozen.outputs
        inputs = equation.inputs if frozen.inputs is None else frozen.inputs
        passing = frozenset[int]() if frozen.push is None else _sources(inputs)
        unpassed = [v for v in equation.inputs if passing and all(v is not i for i in inputs)]
        lost = steered_by(unpassed) if passing else _sources(equation.inputs)
        if lost - passing:
            where = (equation.name, equation.path, equation.source)
            self.stops.append(Stop(*where, lost - passing, steers=bool(passing)))
        if frozen.push is None:
            return self.stopped(equation, outputs)
        has_constant = any(value.facts.has_constant for value in inputs)
        if not has_constant:
            has_constant = frozen.bias is not None and not ranges.vanishes(equation)
        facts = replace(
            weights.facts(equation),
            sources=passing,
            has_constant=has_constant,
            rounding=self.carrier.rounding(equation, frozen, inputs),
        )
        if facts.interval[0] >= 0 and self.scales.intersection(equation.eqn.outvars):
            facts = replace(facts, is_weight=True)
        equation.settle()

        def contributions() -> list[Slots]:
            if not inputs:
                count = len(equation.inputs[0].contributions)
                pushed: list[Slots] = [(None,) * count for _ in outputs]
            else:
                made: dict[tuple[int, ...], Carried] = {}  # equal contributions are pushed once
                rows: list[Carried] = []
                for carried in slots(inputs):
                    key = tuple(map(id, carried))
                    if key not in made and any(c is not None for c in carried):
                        made[key] = self.carrier.push(equation, frozen, inputs, carried)
                    rows.append(made.get(key, [None] * len(outputs)))
                pushed = [tuple(column) for column in zip(*rows, strict=True)]
                for y, column in zip(outputs, pushed, strict=True):
                    for c in column:
                        check_pushed(equation, y, c)
            return self.bias.added(self.carrier, frozen, pushed)

        def constant(place: int, carried: list[Slot]) -> Slot:
            absent = all(c is None for c in carried)
            none: Carried = [None] * len(outputs)
            carrier = self.carrier.wide
            row = none if absent else carrier.push(equation, frozen, inputs, carried)
            pushed: list[Slots] = [(c,) for c in row]
            return Propagate().added(carrier, frozen, pushed)[place][0]

        made_by = equation if equation.name in REMEMBERED else None
        note = frozen.note

        def tracked(place: int, y: jax.Array, own: Slots | None, pending: Pending | None) -> Value:
            if not jnp.issubdtype(y.dtype, jnp.inexact):
                return Stopped(y, facts, None, place)  # places and counts carry no relevance
            value = Tracked(y, own, facts, made_by=made_by, note=note, place=place, pending=pending)
            self.constant_parts.keep(value, inputs, functools.partial(constant, place))
            return value

        if equation.dominator is not None and len(outputs) == 1:
            needs = tuple(inputs or equation.inputs[:1])
            pending = Pending(needs, lambda: contributions()[0])
            return [tracked(0, outputs[0], None, pending)]
        each = zip(outputs, contributions(), strict=True)
        return [tracked(place, y, own, None) for place, (y, own) in enumerate(each)]


def _sources(values: Sequence[Tracked]) -> frozenset[int]:
    return frozenset[int]().union(*(value.facts.sources for value in values))


def _are_known_scalars(operands: Sequence[jax.Array]) -> bool:
    """Return whether operands are known single numbers, such as exponents and bounds of a clip."""
    return all(is_known(value) and value.ndim == 0 for value in operands)


@dataclass(frozen=True)
class _Constants:
    """Evaluates constants that depend on no argument of the program, such as resizing weights."""

    made: dict[core.Var, core.JaxprEqn]
    env: dict[core.Var, Value]
    known: Known

    def evaluator(self, eqn: core.JaxprEqn) -> Callable[[int], np.ndarray | None]:
        """Return the function that evaluates an operand of an equation, or returns None."""

        def known(place: int) -> np.ndarray | None:
            with jax.ensure_compile_time_eval():
                return self._value(eqn.invars[place])

        return known

    def number(self, atom: Atom) -> float | None:
        """Return the number of the program that a variable holds in all places, or None."""
        value = literal(atom) if isinstance(atom, core.Literal) else self.env.get(atom)
        return None if value is None else self.known.number(value)

    def _value(self, atom: Atom) -> np.ndarray | None:
        if isinstance(atom, core.Literal):
            return np.asarray(atom.val)
        if is_known(value := self.env.get(atom)):
            return value
        eqn = self.made.get(atom)
        if eqn is None:
            return None
        operands = [self._value(operand) for operand in eqn.invars]
        if any(operand is None for operand in operands):
            return None
        results = bind(eqn, [asarray(operand) for operand in operands])
        return np.asarray(results[eqn.outvars.index(atom)])


__all__ = ["Interpreter", "Observer", "Stop"]
