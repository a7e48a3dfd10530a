"""The walk of an audit: write down every equation, test it, and propagate the bias on its own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core
from jax.typing import DTypeLike

from rfp_jax._core.constant_parts import ConstantPart
from rfp_jax._core.control import LOOPS, Bodies, State, Tally
from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, Rule
from rfp_jax._core.interpreter import Interpreter
from rfp_jax._core.signatures import finite
from rfp_jax._core.traces import Trace, has_while, largest
from rfp_jax._core.value import Facts, Tracked, Value, activation
from rfp_jax._transforms import certificate
from rfp_jax._transforms.hints import find_hints
from rfp_jax._transforms.verdict import Audit, Entry
from rfp_jax._transforms.walks import walk
from rfp_jax._util.compiler import run_once
from rfp_jax._util.trees import Tree
from rfp_jax.errors import MissingRuleError
from rfp_jax.rules import Composite, LayerRule, affine


@dataclass
class Ledger:
    """An observer that writes down every equation.

    Attributes:
        entries: what was written down, by the calls around an equation and the equation. An
            equation inside a loop has one entry, however often it runs.
        executed: for each entry how often it is run.
        probe: where random contributions are taken from; None if the laws are not tested.
        weights: a factor for each entry's bias, all 1; derivatives by it tell biases apart.
        found: the errors and the places of their entries; None inside loops and branches, where
            the tally holds the greatest errors.
        calls: the calls, loops and branches inside which the walk is.
        times: how often they run an equation.
    """

    entries: dict[tuple[int, ...], Entry] = field(default_factory=dict)
    executed: dict[tuple[int, ...], int] = field(default_factory=dict)
    probe: jax.Array | None = None
    weights: list[jax.Array] | None = None
    found: list[tuple[int, jax.Array]] | None = field(default_factory=list)
    calls: tuple[int, ...] = ()
    times: int = 1

    def inside(self, eqn: core.JaxprEqn) -> Ledger:
        """Return the ledger of the bodies of a call, loop or branch, with the same entries."""
        times = self.times * eqn.params.get("length", 1)
        found = None if eqn.primitive.name in LOOPS else self.found
        return replace(self, calls=(*self.calls, id(eqn)), times=times, found=found)

    def see(self, walk: Interpreter, equation: Equation, rule: Rule | None, tally: Tally) -> State:
        """Freeze an equation, write it down and test it; without a rule it is a constant."""
        reason = ""
        if self.weights is not None:  # constants of products are frozen: origins are linear
            equation = replace(equation, constant_part=_still(equation.constant_part))
        try:
            if rule is None:
                raise MissingRuleError(equation)
            frozen = walk.freeze(equation, rule)
        except MissingRuleError as error:
            frozen, rule = Frozen(equation.plain()), None
            reason = error.reason or "no rule"
        key = (*self.calls, id(equation.eqn))
        if key not in self.entries:
            self.executed[key] = self.times
            self.entries[key] = _entry(equation, frozen, rule, reason, walk.dtype)
        place = list(self.entries).index(key) if self.probe is not None else 0
        passes = frozen.push is not None and frozen.inputs != () and frozen.outputs
        if self.probe is not None and passes:
            tally = self._test(place, equation, frozen, self.probe, tally)
        if self.weights is not None and frozen.bias is not None:
            weight, biases = self.weights[place], frozen.bias
            frozen = frozen._replace(
                bias=lambda: jax.tree.map(lambda b: finite(b) * weight, biases())
            )
        return walk.results(equation, frozen), tally

    def _test(
        self, place: int, equation: Equation, frozen: Frozen, probe: jax.Array, tally: Tally
    ) -> Tally:
        """Test a frozen equation."""
        if self.found is not None:
            self.found.append((place, certificate.errors(equation, frozen, probe)))
        elif tally is not None:
            errors = certificate.errors(equation, frozen, probe)
            before = lax.dynamic_index_in_dim(tally, place, 0, keepdims=False)
            tally = lax.dynamic_update_index_in_dim(tally, jnp.maximum(before, errors), place, 0)
        return tally


def _still(part: ConstantPart) -> ConstantPart:
    """Return constant parts that have no derivative."""
    return lambda *args, **options: lax.stop_gradient(part(*args, **options))


def _entry(
    equation: Equation, frozen: Frozen, rule: Rule | None, reason: str, dtype: DTypeLike | None
) -> Entry:
    passes = frozen.push is not None and frozen.inputs != ()
    blocks = frozen.skips_absent and len(equation.inputs) == 1  # of joined arrays
    is_affine = rule is not None and inspect.unwrap(rule) is affine
    kept = is_affine or frozen.push is equation or blocks
    kind = "linear" if kept else "rule"
    if rule is None:
        kind = "unsupported"
    elif not passes:
        kind = "constant"
    results = equation.eqn.outvars
    return Entry(
        primitive=equation.name,
        rule=frozen.label or getattr(rule, "__name__", ""),
        kind=kind,
        path=equation.path,
        source=equation.source,
        shape=results[0].aval.str_short() if results else "nothing",
        adds_bias=frozen.bias is not None and frozen.push is not None,
        tolerance=certificate.tolerance(equation, jnp.float32 if dtype is None else dtype),
        reason=reason,
    )


@dataclass(frozen=True)
class Survey:
    """A call walked by shapes alone: its entries, and what is needed to measure."""

    call: Trace
    walk: Interpreter
    ledger: Ledger
    values: list[Value]

    @classmethod
    def from_call(
        cls, call: Trace, rules: str | Composite | LayerRule, dtype: DTypeLike | None
    ) -> Survey:
        """Walk a call by shapes, in at least float32."""
        own = [leaf.real.dtype for leaf in call.leaves]
        wide = jnp.result_type(jnp.float32, *own, *([dtype] if dtype else []))
        call, ledger = call.widened(wide), Ledger()
        interpreter = replace(walk(rules, "propagate", wide), exact=True, observer=ledger)
        found: list[list[Value]] = []

        def run(arrays: Sequence[jax.Array], leaves: list[jax.Array]) -> None:
            found.append(_values(interpreter, call.given(arrays, leaves), None)[0])

        jax.eval_shape(run, call.arrays, call.leaves)
        return cls(call, interpreter, ledger, found[0])

    @property
    def outputs(self) -> list[Value]:
        """The outputs as the walk left them: structure and facts, no numbers."""
        return self.values[: self.call.output_tree.num_leaves]

    def audit(self) -> Audit:
        """Return what shapes alone tell."""
        hints = find_hints(self.call, self.outputs, self.walk.stops)
        return Audit(tuple(self.ledger.entries.values()), self.walk_name, hints=hints)

    @property
    def walk_name(self) -> str:
        """The name of the rules."""
        return getattr(self.walk.rules, "name", "")

    def certified(self) -> Audit:
        """Run the call: test every equation, and see what of the outputs is accounted for."""
        call, size = self.call, len(self.ledger.entries)
        adds = any(entry.adds_bias for entry in self.ledger.entries.values())
        origins = adds and not has_while(call.jaxpr)  # derivatives; loops run forwards only
        found = run_once(partial(self._measure, origins), call.arrays, call.leaves)
        biases = map(float, found.origins) if origins else [None] * size
        entries = tuple(
            replace(
                entry, bias=bias if entry.adds_bias else None, errors=(float(row[0]), float(row[1]))
            )
            for entry, bias, row in zip(
                self.ledger.entries.values(), biases, np.asarray(found.errors), strict=True
            )
        )
        executed = sum(self.ledger.executed.values())
        eps = float(jnp.finfo(self.walk.dtype or jnp.float32).eps)
        return Audit(
            entries=entries,
            rules=self.walk_name,
            residual=float(found.residual),
            tolerance=32 * eps * math.sqrt(max(executed, 1)),
            finite=bool(found.finite),
            hints=find_hints(call, self.outputs, self.walk.stops, call.leaves),
        )

    def _measure(
        self, origins: bool, arrays: Sequence[jax.Array], leaves: list[jax.Array]
    ) -> _Measured:
        """Measure a call; its arrays are arguments, for XLA would fold constants, slowly."""
        call, size = self.call.given(arrays, leaves), len(self.ledger.entries)
        probe = certificate.make_probe(largest(call.jaxpr), self.walk.dtype or jnp.float32)

        def walked(weights: list[jax.Array] | None) -> tuple[jax.Array, tuple[Tree, ...]]:
            ledger = Ledger(dict(self.ledger.entries), probe=probe, weights=weights)
            walk = replace(self.walk, bodies=Bodies(), stops=[], observer=ledger)
            values, tally = _values(walk, call, jnp.zeros((size, 2), float))
            outputs = values[: call.output_tree.num_leaves]
            left = jnp.stack([_left_over(walk, value) for value in outputs])
            finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(activation(v))) for v in outputs]))
            if ledger.found:
                places, errors = zip(*ledger.found, strict=True)
                tally = tally.at[jnp.asarray(places)].max(jnp.stack(errors))
            return _explained_bias(walk, outputs), (tally, left, finite)

        if origins:  # a factor for each bias: the derivative by it is what came from there
            ones = [jnp.ones((), self.walk.dtype)] * size
            by_origin, rest = jax.grad(walked, has_aux=True)(ones)
        else:
            by_origin, (_, rest) = [], walked(None)
        errors, left, finite = rest
        size = left[:, 1] + sum(map(jnp.abs, by_origin), jnp.zeros(()))
        residual = jnp.max(left[:, 0] / jnp.where(size == 0, 1, size))
        return _Measured(errors, residual, finite, by_origin)


class _Measured(NamedTuple):
    """The numbers of a certificate: errors [equation, law], the others of the whole call."""

    errors: jax.Array
    residual: jax.Array
    finite: jax.Array
    origins: list[jax.Array]


def _explained_bias(walk: Interpreter, outputs: Sequence[Value]) -> jax.Array:
    """Return the bias of the greatest output of each sample, averaged over samples."""
    parts = []
    for value in outputs:
        bias = value.contributions[-1] if isinstance(value, Tracked) else None
        if bias is None or activation(value).size == 0:
            continue
        y = jnp.atleast_1d(activation(value))
        bias = jnp.atleast_1d(walk.carrier.read(activation(value), bias))
        chosen = jnp.argmax(y.real, axis=-1, keepdims=True)
        parts.append(jnp.mean(jnp.take_along_axis(bias.real, chosen, axis=-1)))
    return jnp.sum(jnp.stack(parts)) if parts else jnp.zeros(())


def _values(interpreter: Interpreter, call: Trace, tally: Tally) -> State:
    """Walk a call with every source, and in the last slot the bias."""
    count = len(call.leaves) + 1
    seed = interpreter.carrier.seed
    sources: list[Value] = [
        Tracked(
            leaf,
            tuple(seed(leaf) if slot == i else None for slot in range(count)),
            Facts.from_source(i),
        )
        for i, leaf in enumerate(call.leaves)
    ]
    walk = interpreter.anew(call.jaxpr, call.passed)
    return walk.run(call.jaxpr, call.consts, sources, tally)


def _left_over(interpreter: Interpreter, value: Value) -> jax.Array:
    """Return the greatest part of an output that neither a source nor a bias accounts for.

    Behind it stands what it is to be measured by: the greatest sum of magnitudes of an element. An
    element may be close to 0 because much cancels in it, and then has the rounding errors of that.
    """
    if not isinstance(value, Tracked):
        return jnp.zeros(2)  # no relevance reaches it: all of it is bias
    y = value.activation
    given = [interpreter.carrier.read(y, c) for c in value.contributions if c is not None]
    rest, size = y, jnp.abs(y)
    for c in given:
        rest, size = rest - c, size + jnp.abs(c)
    return jnp.stack([jnp.max(jnp.abs(rest), initial=0), jnp.max(size, initial=0)])
