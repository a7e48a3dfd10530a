"""The result of an audit: its entries, and one sentence that says whether to trust the numbers."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rfp_jax._transforms import certificate
from rfp_jax._transforms.hints import Hint
from rfp_jax._util.extras import needs_extra

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
        residual: the greatest `|output - sources - bias|` relative to the greatest sum of
            magnitudes in that output and to the biases that cancel there, with the bias propagated
            on its own; None if the audit saw shapes alone.
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
        with needs_extra("Printing an audit", "tables"):
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
        with needs_extra("Printing an audit", "tables"):
            from rich.console import Console
        console = Console(file=io.StringIO(), width=140, color_system=None)
        console.print(self)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue().rstrip()


def _place(source: str) -> str:
    return source.rsplit("/", 1)[-1].split(" (", maxsplit=1)[0]
