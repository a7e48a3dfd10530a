"""The audit: every equation with its rule, and a certificate that can fail."""

from __future__ import annotations

import functools
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core
from jax.typing import DTypeLike

from rfp_jax._core.argnums import Argnums
from rfp_jax._core.control import State, Tally
from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, Rule
from rfp_jax._core.interpreter import Interpreter
from rfp_jax._core.precision import check
from rfp_jax._core.trace import Trace, has_while, trace
from rfp_jax._core.value import Facts, Tracked, Value, activation
from rfp_jax._extras import needs_extra
from rfp_jax._transforms import certificate
from rfp_jax._transforms.hints import Hint, find_hints
from rfp_jax._transforms.walks import walk
from rfp_jax.errors import MissingRuleError
from rfp_jax.rules import Composite, LayerRule, affine

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Entry:
    """One equation that depends on a source.

    Attributes:
        primitive: its primitive's name.
        rule: the name of the rule that it got; empty if unsupported.
        kind: `"linear"` (kept as it is), `"rule"`, `"constant"` (no relevance passes) or
            `"unsupported"`.
        path: the name stack, which in Flax Linen is the module path.
        source: the user's line, as `file:line (function)`.
        shape: the first result's shape and dtype.
        adds_bias: whether something that came from no source is added here.
        bias: how much of the explained outputs' bias came from here, if it was measured.
        errors: how far the frozen equation is from the law and from its transpose, if it was
            measured; see `rfp_jax._transforms.certificate`.
        tolerance: what rounding may leave of each.
        reason: why it is unsupported.
    """

    primitive: str
    rule: str
    kind: str
    path: str
    source: str
    shape: str
    adds_bias: bool = False
    bias: float | None = None
    errors: tuple[float, float] | None = None
    tolerance: float = 0.0
    reason: str = ""

    @property
    def faults(self) -> tuple[str, ...]:
        """The laws that the rule breaks here, with the error."""
        if self.errors is None:
            return ()
        measured = zip(certificate.LAWS, self.errors, strict=True)
        return tuple(f"{law} {e:.1e}" for law, e in measured if not e <= self.tolerance)


@dataclass(frozen=True)
class Audit:
    """Findings of `rfp_jax.audit`; `print` shows them as a table.

    Attributes:
        entries: every equation that depends on a source, in the order of the program.
        rules: the name of the rules.
        residual: the greatest `|output - sources - bias|` relative to the sum of magnitudes (the
            greatest of the sample's outputs), with the bias propagated on its own; None if the
            audit saw shapes alone.
        tolerance: what rounding may leave of it.
        finite: whether all outputs are finite; None if the audit saw shapes alone.
        hints: what is conserved and may still not be what was meant.
    """

    entries: tuple[Entry, ...]
    rules: str
    residual: float | None = None
    tolerance: float | None = None
    finite: bool | None = None
    hints: tuple[Hint, ...] = ()

    @property
    def unsupported(self) -> tuple[Entry, ...]:
        """The equations that have no rule."""
        return tuple(entry for entry in self.entries if entry.kind == "unsupported")

    @property
    def guilty(self) -> tuple[Entry, ...]:
        """The equations whose rule breaks a law."""
        return tuple(entry for entry in self.entries if entry.faults)

    @property
    def passed(self) -> bool:
        """Return whether every equation has a rule that keeps the laws, and relevance is conserved.

        Of an audit that saw shapes alone, whether every equation has a rule.
        """
        if self.unsupported or self.guilty:
            return False
        if self.residual is None or self.tolerance is None:
            return True
        return bool(self.finite) and self.residual <= self.tolerance

    @property
    def counts(self) -> dict[str, int]:
        """The number of equations of each kind."""
        return dict(Counter(entry.kind for entry in self.entries))

    @property
    def bias_by_path(self) -> dict[str, float]:
        """The part of the explained outputs' bias that came from each module path."""
        total: dict[str, float] = {}
        for entry in self.entries:
            if entry.bias is not None:
                total[entry.path] = total.get(entry.path, 0.0) + entry.bias
        return total

    @property
    def verdict(self) -> str:
        """One sentence that says whether to trust the numbers."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        found = f"{len(self.entries)} equations depend on a source: {kinds or 'none'}."
        if self.unsupported:
            return f"{found} NOT SUPPORTED: {', '.join({e.primitive for e in self.unsupported})}."
        if self.residual is None:
            return f"{found} Every equation has a rule (shapes only: conservation not measured)."
        if not self.finite:
            return f"{found} NOT CERTIFIED: an output is not finite."
        if self.guilty:
            named = "; ".join(
                f"'{e.primitive}' by {e.rule} at {_place(e.source)} breaks {' and '.join(e.faults)}"
                for e in self.guilty[:3]
            )
            more = f" and {len(self.guilty) - 3} more" if len(self.guilty) > 3 else ""
            return f"{found} NOT CONSERVED: {named}{more}."
        certified = "Conserved" if self.passed else "NOT CONSERVED"
        return f"{found} {certified}: residual {self.residual:.1e}, tolerance {self.tolerance:.1e}."

    def __rich__(self) -> Group:
        with needs_extra("Printing an audit"):
            from rich.console import Group
            from rich.table import Table
        table = Table(title=f"relevance audit, rules: {self.rules}", title_justify="left")
        for column in ("module path", "primitive", "rule", "result", "in your code"):
            table.add_column(column, overflow="fold")
        table.add_column("bias", justify="right")
        table.add_column("breaks")
        styles = {"unsupported": "bold red", "constant": "dim"}
        for entry in self.entries:
            bias = "" if entry.bias is None else f"{entry.bias:+.3g}"
            rule = entry.reason if entry.kind == "unsupported" else entry.rule
            place = _place(entry.source)
            row = (entry.path, entry.primitive, rule or "none", entry.shape, place, bias)
            style = "bold red" if entry.faults else styles.get(entry.kind)
            table.add_row(*row, ", ".join(entry.faults), style=style)
        return Group(table, self.verdict, *(f"hint: {hint}" for hint in self.hints))

    def __str__(self) -> str:
        with needs_extra("Printing an audit"):
            from rich.console import Console
        console = Console(file=io.StringIO(), width=140, color_system=None)
        console.print(self)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue().rstrip()


def audit(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    rules: str | Composite | LayerRule = "lrp0",
    dtype: DTypeLike | None = None,
) -> Callable[..., Audit]:
    """Transform `fun` into a function that checks how its relevance comes about.

    `rfp_jax.relevance` reports as bias what remains, so that its sum is right by construction and
    proves nothing. The audit tests every equation: that its rule keeps `y = push(a) + bias`, is
    linear, and has the transpose that the reverse direction takes, on its activations and on random
    contributions. Then it propagates the bias on its own, every added constant as a contribution of
    one more source; what remains of the output is a residual that can fail. All this is computed in
    at least float32, whatever the model's dtype, so that tolerances are rounding errors.

    Args:
        fun: the function to explain; see `rfp_jax.relevance`.
        argnums: which positional arguments are sources.
        rules: the rules of propagation: a preset's name, a `Composite`, or a rule for layers.
        dtype: a precision above float32 and above that of the model.

    Returns:
        A function of the same arguments that returns an `Audit`. Any array may be given as a
        `jax.ShapeDtypeStruct`: then nothing is run, and the audit tells which equations have rules.

    Raises:
        TypeError, ValueError: at the call, as `rfp_jax.relevance` does. A missing rule is reported,
            not raised.

    Examples:
        >>> import jax, jax.numpy as jnp, rfp_jax
        >>> report = rfp_jax.audit(lambda x: jax.nn.relu(2 * x - 1.0))(jnp.ones(3))
        >>> print(report.verdict)
        3 equations depend on a source: 2 linear, 1 rule. Conserved: residual 0.0e+00, tolerance
        6.6e-06.
        >>> [(entry.primitive, entry.rule, entry.bias) for entry in report.entries]
        [('mul', 'softmax_or_product', None), ('sub', 'affine', -1.0), ('max', 'maximum', None)]
    """
    check(dtype)
    walk(rules)  # a name that is not known is refused before the call

    @functools.wraps(fun)
    def audited(*args: Any, **kwargs: Any) -> Audit:
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = {i: leaf for i, leaf in enumerate(leaves) if hasattr(leaf, "shape")}

        def survey(arrays: dict[int, Any]) -> Survey:
            full = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
            args, kwargs = jax.tree.unflatten(tree, full)
            call = trace(fun, argnums, args, kwargs)
            return Survey.of_call(call, rules, dtype)

        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
            found: list[Survey] = []
            jax.eval_shape(lambda arrays: found.append(survey(arrays)), arrays)
            return found[0].audit()
        return survey(arrays).certified()

    return audited


@dataclass
class Ledger:
    """An observer that writes down every equation.

    Attributes:
        entries: what was written down, by the calls around an equation and the equation. An
            equation inside a loop has one entry, however often it runs.
        executed: for each entry how often it is run.
        measures: whether the laws are tested; the tally then holds the greatest error of each.
        weights: a factor for each entry's bias, all 1; derivatives by it tell biases apart.
        calls: the calls, loops and branches inside which the walk is.
        times: how often they run an equation.
    """

    entries: dict[tuple[int, ...], Entry] = field(default_factory=dict)
    executed: dict[tuple[int, ...], int] = field(default_factory=dict)
    measures: bool = False
    weights: list[jax.Array] | None = None
    calls: tuple[int, ...] = ()
    times: int = 1

    def inside(self, eqn: core.JaxprEqn) -> Ledger:
        """Return the ledger of the bodies of a call, loop or branch, with the same entries."""
        times = self.times * eqn.params.get("length", 1)
        return replace(self, calls=(*self.calls, id(eqn)), times=times)

    def see(self, walk: Interpreter, equation: Equation, rule: Rule | None, tally: Tally) -> State:
        """Freeze an equation, write it down and test it; without a rule it is a constant."""
        reason = ""
        if self.weights is not None:  # constants of products are frozen: origins are linear
            frozen_part = equation.constant_part
            equation = replace(equation, constant_part=lambda v: lax.stop_gradient(frozen_part(v)))
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
        place = list(self.entries).index(key) if self.measures or self.weights else 0
        passes = frozen.push is not None and frozen.inputs != () and frozen.outputs
        if self.measures and passes:
            errors = jnp.maximum(
                lax.index_in_dim(tally, place, 0, keepdims=False),
                certificate.errors(equation, frozen),
            )
            tally = lax.dynamic_update_index_in_dim(tally, errors, place, 0)
        if self.weights is not None and frozen.bias is not None:
            weight, biases = self.weights[place], frozen.bias
            frozen = frozen._replace(bias=lambda: jax.tree.map(lambda b: b * weight, biases()))
        return walk.results(equation, frozen), tally


def _entry(
    equation: Equation, frozen: Frozen, rule: Rule | None, reason: str, dtype: DTypeLike | None
) -> Entry:
    passes = frozen.push is not None and frozen.inputs != ()
    blocks = frozen.skips_absent and len(equation.inputs) == 1  # of joined arrays
    kept = rule is affine or frozen.push is equation or blocks
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
    def of_call(
        cls, call: Trace, rules: str | Composite | LayerRule, dtype: DTypeLike | None
    ) -> Survey:
        """Walk a call by shapes, in at least float32."""
        own = [leaf.real.dtype for leaf in call.leaves]
        wide = jnp.result_type(jnp.float32, *own, *([dtype] if dtype else []))
        call, ledger = call.widened(wide), Ledger()
        interpreter = replace(walk(rules, "propagate", wide), exact=True, observer=ledger)
        found: list[list[Value]] = []

        def run(consts: Sequence[Any], leaves: list[jax.Array]) -> None:
            found.append(_values(interpreter, call, consts, leaves, None)[0])

        jax.eval_shape(run, call.consts, call.leaves)
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
        given = (call.consts, call.leaves)  # as arguments: XLA would fold constants, slowly

        def measure(
            consts: Sequence[Any], leaves: list[jax.Array]
        ) -> tuple[jax.Array, list[jax.Array], list[jax.Array]]:
            ledger = Ledger(dict(self.ledger.entries), measures=True)
            interpreter = replace(self._fresh(), observer=ledger)
            values, tally = _values(interpreter, call, consts, leaves, jnp.zeros((size, 2), float))
            outputs = values[: call.output_tree.num_leaves]
            residuals = [_residual(interpreter, value) for value in outputs]
            return tally, residuals, [jnp.all(jnp.isfinite(activation(v))) for v in outputs]

        errors, residuals, finite = jax.jit(measure)(*given)
        origins = self._origins(*given)
        entries = tuple(
            replace(
                entry,
                bias=bias if entry.adds_bias else None,
                errors=tuple(map(float, row)),
            )
            for entry, bias, row in zip(
                self.ledger.entries.values(), origins, np.asarray(errors), strict=True
            )
        )
        executed = sum(self.ledger.executed.values())
        eps = float(jnp.finfo(self.walk.dtype or jnp.float32).eps)
        return Audit(
            entries=entries,
            rules=self.walk_name,
            residual=max(map(float, residuals)),
            tolerance=32 * eps * math.sqrt(max(executed, 1)),
            finite=all(map(bool, finite)),
            hints=find_hints(call, self.outputs, self.walk.stops, call.leaves),
        )

    def _fresh(self) -> Interpreter:
        return replace(self.walk, bodies=type(self.walk.bodies)(), stops=[])

    def _origins(self, consts: Sequence[Any], leaves: list[jax.Array]) -> list[float | None]:
        """Return which bias of the greatest outputs came from which entry, by derivatives."""
        call, size = self.call, len(self.ledger.entries)
        adds = any(entry.adds_bias for entry in self.ledger.entries.values())
        if has_while(call.jaxpr) or not adds:  # forwards only: biases are not told apart
            return [None] * size

        def explained(
            weights: list[jax.Array], consts: Sequence[Any], leaves: list[jax.Array]
        ) -> jax.Array:
            """The bias of the greatest output of each sample, averaged over samples."""
            ledger = Ledger(dict(self.ledger.entries), weights=weights)
            interpreter = replace(self._fresh(), observer=ledger)
            values, _ = _values(interpreter, call, consts, leaves, None, bias_only=True)
            parts = []
            for value in values[: call.output_tree.num_leaves]:
                bias = value.contributions[-1] if isinstance(value, Tracked) else None
                if bias is None or activation(value).size == 0:
                    continue
                y = jnp.atleast_1d(activation(value))
                bias = jnp.atleast_1d(interpreter.carrier.read(activation(value), bias))
                chosen = jnp.argmax(y.real, axis=-1, keepdims=True)
                parts.append(jnp.mean(jnp.take_along_axis(bias.real, chosen, axis=-1)))
            return jnp.sum(jnp.stack(parts)) if parts else jnp.zeros(())

        ones = [jnp.ones((), leaves[0].real.dtype)] * size
        gradient = jax.jit(jax.grad(explained))(ones, consts, leaves)
        return [float(g) for g in gradient]


def _values(
    interpreter: Interpreter,
    call: Trace,
    consts: Sequence[Any],
    leaves: Sequence[jax.Array],
    tally: Tally,
    *,
    bias_only: bool = False,
) -> State:
    """Walk a call with every source, and in the last slot the bias."""
    count = len(leaves) + 1
    seed = interpreter.carrier.seed
    sources: list[Value] = [
        Tracked(
            leaf,
            tuple(seed(leaf) if slot == i and not bias_only else None for slot in range(count)),
            Facts.of_source(i),
        )
        for i, leaf in enumerate(leaves)
    ]
    return interpreter.run(call.jaxpr, consts, sources, tally)


def _residual(interpreter: Interpreter, value: Value) -> jax.Array:
    """Return the greatest part of an output that neither a source nor a bias accounts for."""
    if not isinstance(value, Tracked):
        return jnp.zeros(())  # no relevance reaches it: all of it is bias
    y = value.activation
    given = [interpreter.carrier.read(y, c) for c in value.contributions if c is not None]
    rest, size = y, jnp.abs(y)
    for c in given:
        rest, size = rest - c, size + jnp.abs(c)
    size = jnp.max(size, axis=-1, keepdims=True) if size.ndim else size
    return jnp.max(jnp.abs(rest) / jnp.where(size == 0, 1, size), initial=0)


def _place(source: str) -> str:
    return source.rsplit("/", 1)[-1].split(" (", maxsplit=1)[0]
