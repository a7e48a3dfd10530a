"""Can these numbers be trusted? Every equation with its rule, and a certificate that can fail."""

from __future__ import annotations

import functools
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.typing import DTypeLike
from rich.console import Console, Group
from rich.table import Table

from rfp_jax.argnums import Argnums
from rfp_jax.equation import Equation
from rfp_jax.errors import MissingRuleError
from rfp_jax.pair import Pair, Value, activation
from rfp_jax.precision import check
from rfp_jax.propagate import Propagation
from rfp_jax.rules import Affine, Named, Rules, affine, constant, resolve
from rfp_jax.shares import Shares
from rfp_jax.trace import Trace, has_while, trace


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
        bias_is: what the rule of a layer does with the bias's part of relevance: the bias
            `absorbs` it, or the rule `drops` it in favour of the inputs.
        adds_bias: whether something that came from no source is added here.
        bias: how much of the explained outputs' bias came from here, if it was measured.
        reason: why it is unsupported.
    """

    primitive: str
    rule: str
    kind: str
    path: str
    source: str
    shape: str
    bias_is: str = ""
    adds_bias: bool = False
    bias: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Audit:
    """What `rfp_jax.audit` found; `print` shows it as a table.

    Attributes:
        entries: every equation that depends on a source, in the order of the program.
        rules: the name of the rules.
        residual: the greatest `|output - sources - bias|` relative to the sum of magnitudes (the
            greatest of the sample's outputs), with the bias propagated on its own; None if the
            audit saw shapes alone.
        tolerance: what rounding may leave: the coarsest dtype's epsilon times the number of
            equations that were executed.
        finite: whether all outputs are numbers; None if the audit saw shapes alone.
    """

    entries: tuple[Entry, ...]
    rules: str
    residual: float | None = None
    tolerance: float | None = None
    finite: bool | None = None

    @property
    def unsupported(self) -> tuple[Entry, ...]:
        """The equations that have no rule."""
        return tuple(entry for entry in self.entries if entry.kind == "unsupported")

    @property
    def passed(self) -> bool:
        """Whether every equation has a rule and, if it was measured, relevance is conserved."""
        if self.unsupported:
            return False
        if self.residual is None or self.tolerance is None:
            return True
        return bool(self.finite) and self.residual <= self.tolerance

    @property
    def counts(self) -> dict[str, int]:
        """How many equations there are of each kind."""
        return dict(Counter(entry.kind for entry in self.entries))

    @property
    def bias_by_path(self) -> dict[str, float]:
        """How much of the explained outputs' bias came from each module path."""
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
        certified = "Conserved" if self.passed else "NOT CONSERVED"
        return f"{found} {certified}: residual {self.residual:.1e}, tolerance {self.tolerance:.1e}."

    def __rich__(self) -> Group:
        table = Table(title=f"relevance audit, rules: {self.rules}", title_justify="left")
        for column in ("module path", "primitive", "rule", "result", "in your code"):
            table.add_column(column, overflow="fold")
        table.add_column("bias", justify="right")
        styles = {"unsupported": "bold red", "constant": "dim"}
        for entry in self.entries:
            bias = "" if entry.bias is None else f"{entry.bias:+.3g}"
            rule = entry.reason if entry.kind == "unsupported" else entry.rule
            rule += f", bias {entry.bias_is}" if entry.bias_is else ""
            place = entry.source.rsplit("/", 1)[-1].split(" (")[0]
            row = (entry.path, entry.primitive, rule or "none", entry.shape, place, bias)
            table.add_row(*row, style=styles.get(entry.kind))
        return Group(table, self.verdict)

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=140, color_system=None)
        console.print(self)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue().rstrip()


def audit(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    rules: str | Rules | Named = "lrp0",
    dtype: DTypeLike | None = None,
) -> Callable[..., Audit]:
    """Transform `fun` into a function that checks how its relevance comes about.

    `rfp_jax.relevance` reports as bias what remains, so that its sum is right by construction and
    proves nothing. The audit propagates the bias on its own, every added constant as a contribution
    of one more source; what then remains is a residual that can fail, and does if a rule is wrong.

    Args:
        fun: the function to explain; see `rfp_jax.relevance`.
        argnums: which positional arguments are sources.
        rules: the rules of propagation, a preset's name, `Rules`, or a rule for layers.
        dtype: the precision of contributions; see `rfp_jax.relevance`.

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
        3.6e-07.
        >>> [(entry.primitive, entry.rule, entry.bias) for entry in report.entries]
        [('mul', 'product', None), ('sub', 'affine', -1.0), ('max', 'maximum', None)]
    """
    check(dtype)
    chosen = resolve(rules)

    @functools.wraps(fun)
    def audited(*args: Any, **kwargs: Any) -> Audit:
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = {i: leaf for i, leaf in enumerate(leaves) if hasattr(leaf, "shape")}
        kind = SharesLedger if chosen.needs_shares else Ledger
        ledger = kind(chosen, dtype=dtype)

        def coverage(arrays: dict[int, Any]) -> None:
            full = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
            args, kwargs = jax.tree.unflatten(tree, full)
            call = trace(fun, argnums, args, kwargs).widened(dtype)
            propagate(ledger, call.jaxpr, call.consts, call.leaves)

        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
            jax.eval_shape(coverage, arrays)
            return Audit(tuple(ledger.entries.values()), chosen.name)
        return certify(ledger, trace(fun, argnums, args, kwargs).widened(dtype))

    return audited


@dataclass(frozen=True)
class Ledger(Propagation):
    """A walk that writes down every equation, and carries the bias in the last slot.

    Attributes:
        entries: what was written down. An equation inside a loop is walked several times, and has
            one entry all the same.
        weights: a factor for each entry's bias, all 1; derivatives by it tell biases apart.
        calls: the calls, loops and branches inside which the walk is.
        times: how often they run the equation.
        executed: for each entry how often it is run.
    """

    entries: dict[tuple[int, ...], Entry] = field(default_factory=dict)
    weights: jax.Array | None = None
    calls: tuple[int, ...] = ()
    times: int = 1
    executed: dict[tuple[int, ...], int] = field(default_factory=dict)

    def inside(self, eqn: core.JaxprEqn, path: str, source: str) -> Ledger:
        """The walk through the bodies of a call, loop or branch."""
        times = self.times * eqn.params.get("length", 1)
        calls = (*self.calls, id(eqn))
        return replace(self, path=path, source=source, calls=calls, times=times)

    def freeze(self, equation: Equation) -> Affine:
        """Evaluate an equation by its rule and write it down; without a rule, as a constant."""
        rule, reason = constant if equation.is_discrete else self.rules(equation), ""
        try:
            step = super().freeze(equation)
            kept = rule is affine or step.sums or step.push is equation
            kind = "constant" if step.push is None else "linear" if kept else "rule"
        except MissingRuleError as error:
            step = constant(equation, *(pair.activation for pair in equation.pairs))
            kind, reason = "unsupported", error.reason or "no rule"
        self.executed[self._key(equation)] = self.times
        self.entries[self._key(equation)] = Entry(
            primitive=equation.name,
            rule=step.layer.rule.name if step.layer else getattr(rule, "__name__", ""),
            kind=kind,
            path=equation.path,
            source=equation.source,
            shape=equation.eqn.outvars[0].aval.str_short(),
            bias_is=step.layer.rule.bias if step.layer else "",
            adds_bias=step.bias is not None and step.push is not None,
            reason=reason,
        )
        return step

    def pairs(self, equation: Equation, step: Affine) -> list[Value]:
        """Push the contributions; what the equation adds itself goes to the last slot."""
        results = super().pairs(equation, step)
        if step.bias is None or step.push is None:
            return results
        given = step.bias()
        biases = given if equation.eqn.primitive.multiple_results else [given]
        weight = 1 if self.weights is None else self.weights[self._place(equation)]
        return [
            self._add(value, b * weight, step.shares)
            for value, b in zip(results, biases, strict=True)
        ]

    def _add(self, value: Value, bias: jax.Array, is_share: bool) -> Value:
        if not isinstance(value, Pair):
            return value
        y = value.activation
        bias = jnp.where(jnp.isfinite(bias), bias, 0)  # a mask's -inf: the next rule drops it
        bias = (bias if is_share else self.carry(y, bias)).astype(y.dtype)
        *carried, before = value.contributions
        total = bias if before is None else before + bias
        return replace(value, contributions=(*carried, total))

    def contributions(self, value: Value) -> Value:
        """A result with contributions, whatever the walk carried."""
        if not isinstance(value, Pair):
            return value
        y = value.activation
        read = (None if c is None else self.read(y, c) for c in value.contributions)
        return Pair(y, tuple(read))

    def _key(self, equation: Equation) -> tuple[int, ...]:
        return (*self.calls, id(equation.eqn))

    def _place(self, equation: Equation) -> int:
        return list(self.entries).index(self._key(equation))


@dataclass(frozen=True)
class SharesLedger(Ledger, Shares):
    """A ledger of a walk that carries shares."""


def propagate(
    ledger: Ledger, jaxpr: core.Jaxpr, consts: Sequence[Any], leaves: Sequence[jax.Array]
) -> list[Value]:
    """Push every source, and in the last slot the bias, through a program."""
    count = len(leaves) + 1
    pairs = [
        Pair(leaf, tuple(ledger.seed(leaf) if slot == i else None for slot in range(count)))
        for i, leaf in enumerate(leaves)
    ]
    values = ledger.run(jaxpr, consts, pairs)
    return [ledger.contributions(value) for value in values]


def certify(ledger: Ledger, call: Trace) -> Audit:
    """Run a call with its bias on its own: what does not add up, and which bias came from where."""
    count = call.output_tree.num_leaves

    def survey(consts: Sequence[Any], leaves: list[jax.Array]) -> None:
        propagate(ledger, call.jaxpr, consts, leaves)

    jax.eval_shape(survey, call.consts, call.leaves)

    def explained(values: list[Value]) -> jax.Array:
        """The bias of the greatest output of each sample, averaged over samples."""
        parts = []
        for value in values:
            y = activation(value)
            bias = value.contributions[-1] if isinstance(value, Pair) else None
            if bias is None or y.size == 0:
                continue
            chosen = jnp.argmax(jnp.atleast_1d(y), axis=-1, keepdims=True)
            picked = jnp.take_along_axis(jnp.atleast_1d(bias), chosen, axis=-1)
            parts.append(jnp.mean(picked))
        return jnp.sum(jnp.stack(parts)) if parts else jnp.zeros(())

    def run(
        weights: jax.Array, consts: Sequence[Any], leaves: list[jax.Array]
    ) -> tuple[jax.Array, tuple[list[jax.Array], list[jax.Array]]]:
        weighed = replace(ledger, weights=weights)
        values = propagate(weighed, call.jaxpr, consts, leaves)[:count]
        return explained(values), (list(map(_residual, values)), list(map(_is_finite, values)))

    ones = jnp.ones(len(ledger.entries), jnp.result_type(*call.leaves).type(0).real.dtype)
    given = (ones, call.consts, call.leaves)  # weights as constants would be folded, slowly
    if has_while(call.jaxpr):  # forwards only: the biases are not told apart
        _, (residuals, finite) = jax.jit(run)(*given)
        origin = [None] * len(ledger.entries)
    else:
        (_, (residuals, finite)), gradient = jax.jit(jax.value_and_grad(run, has_aux=True))(*given)
        origin = np.asarray(gradient, np.float64).tolist()
    entries = tuple(
        replace(entry, bias=bias if entry.adds_bias else None)
        for entry, bias in zip(ledger.entries.values(), origin, strict=True)
    )
    executed = sum(ledger.executed.values())
    coarsest = max((_eps(aval) for aval in _avals(call.jaxpr)), default=0.0)
    return Audit(
        entries=entries,
        rules=ledger.rules.name,
        residual=max(map(float, residuals)),
        tolerance=executed * coarsest,
        finite=all(map(bool, finite)),
    )


def _residual(value: Value) -> jax.Array:
    """The greatest part of an output that neither a source nor a bias accounts for."""
    if not isinstance(value, Pair):
        return jnp.zeros(())  # depends on no source: all of it is bias
    given = [c for c in value.contributions if c is not None]
    rest, size = value.activation, jnp.abs(value.activation)
    for c in given:
        rest, size = rest - c, size + jnp.abs(c)
    size = jnp.max(size, axis=-1, keepdims=True) if size.ndim else size
    return jnp.max(jnp.abs(rest) / jnp.where(size == 0, 1, size), initial=0)


def _is_finite(value: Value) -> jax.Array:
    return jnp.all(jnp.isfinite(activation(value)))


def _avals(jaxpr: core.Jaxpr) -> list[Any]:
    """The types of all values of a program."""
    own = [var.aval for eqn in jaxpr.eqns for var in eqn.outvars] + [v.aval for v in jaxpr.invars]
    inner = [a for e in jaxpr.eqns for sub in core.jaxprs_in_params(e.params) for a in _avals(sub)]
    return own + inner


def _eps(aval: Any) -> float:
    if not hasattr(aval, "dtype") or not jnp.issubdtype(aval.dtype, jnp.inexact):
        return 0.0
    return float(jnp.finfo(aval.dtype).eps)
