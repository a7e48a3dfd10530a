"""Captum, zennit and LXT beside rfp_jax: `python -m benchmarks.comparison`.

Networks of two sensors with random weights, PyTorch modules that nobody rewrites. All elements of
the heatmaps of all outputs are compared in float64 with gradient x input of the frozen PyTorch
program (`benchmarks/zoo/frozen.py`, which uses none of the tools); differences are relative to the
greatest element. Times are of float32: relevance or heatmaps of all outputs, medians of turns
(A B C A B C ...), with the ratio to rfp_jax's relevance in the same round. Compilation is left out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
import torch
import tyro
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.comparison import tools
from benchmarks.comparison.composites import pairs
from benchmarks.comparison.networks import NETWORKS
from benchmarks.names import unknown
from benchmarks.speed.timing import interleave, ratios

LIMIT = 1e-6
"""Differences below count as the same numbers: what is left is the tools' own stabilizers."""


@dataclass(frozen=True)
class Comparison:
    """Compare the tools with one another, in numbers and in time."""

    only: tuple[str, ...] = ()
    """Networks (modules, functions, tokens); all if not given."""
    batch: int = 4
    """Samples."""
    rounds: int = 15
    """Turns of each tool, if the time suffices; never fewer than three."""
    seconds: float = 60.0
    """About how long the turns of one network may take."""
    composites: bool = True
    """Also compare zennit's composites with ours."""


class Row(NamedTuple):
    """A tool on a network.

    Attributes:
        tool: its name.
        difference: from the oracle, float64; None if it refuses.
        refusal: its own words if it refuses.
        times: seconds of each turn, float32; empty if it refuses.
    """

    tool: str
    difference: float | None
    refusal: str
    times: np.ndarray


def compare(name: str, batch: int, *, rounds: int, seconds: float) -> list[Row]:
    """Run all tools on a network.

    Args:
        name: of `NETWORKS`.
        batch: samples.
        rounds: turns of each tool.
        seconds: about how long all turns may take.
    """
    module, sources = NETWORKS[name].build(batch)
    with jax.enable_x64(True):
        found = differences(module.double(), [source.double() for source in sources])
    module = module.float()
    runs = {
        tool: explain(module, sources)
        for tool, explain in tools.TOOLS.items()
        if isinstance(found[tool], float)
    }
    for run in runs.values():
        run()  # compiles
    times = interleave(runs, rounds=rounds, seconds=seconds)
    return [
        Row(tool, value, "", times[tool])
        if isinstance(value, float)
        else Row(tool, None, str(value), np.empty(0))
        for tool, value in found.items()
    ]


def differences(module: nn.Module, sources: Sequence[Tensor]) -> dict[str, float | str]:
    """Return each tool's greatest difference from the oracle, or its words where it refuses."""
    expected = tools.oracle(module, sources)
    found: dict[str, float | str] = {}
    for name, tool in tools.TOOLS.items():
        try:
            found[name] = gap(tool(module, sources)(), expected)
        except tools.RefusedError as error:
            found[name] = str(error)
    return found


def gap(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The greatest difference, relative to the greatest element.

    Where a number for each source was found, what is expected is summed over the source.
    """
    rank = found[0].ndim
    sums = [heat.sum(tuple(range(rank, heat.ndim))) for heat in expected]
    greatest = max(np.abs(right).max() for right in sums)
    worst = max(np.abs(a - b).max() for a, b in zip(found, sums, strict=True))
    return float(worst / greatest)


def table(rows: Sequence[Row]) -> Table:
    """Put the tools on one network in a Markdown table."""
    shown = Table(box=MARKDOWN)
    shown.add_column("tool", no_wrap=True)
    for column in ("difference", "all outputs, ms", "x relevance"):
        shown.add_column(column, justify="right")
    unit = rows[0].times
    for row in rows:
        if row.difference is None:
            shown.add_row(row.tool, f"refuses: {row.refusal[:60]}", "", "")
            continue
        milliseconds, ratio = 1e3 * np.median(row.times), np.median(ratios(row.times, unit))
        shown.add_row(row.tool, f"{row.difference:.0e}", f"{milliseconds:.1f}", f"{ratio:.1f}")
    return shown


def composites(batch: int) -> Table:
    """Compare zennit's composites with ours on the network of modules, in float64."""
    shown = Table(box=MARKDOWN)
    shown.add_column("composite", no_wrap=True)
    shown.add_column("difference", justify="right")
    shown.add_column("both first layers named", justify="right")
    with jax.enable_x64(True):
        module, sources = NETWORKS["modules"].build(batch)
        module, sources = module.double(), [source.double() for source in sources]
        for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.eps = 0.0  # zennit merges it, and then divides by sqrt(1 + eps) once more
        for name, pair in pairs().items():
            ours = tools.heatmap(module, sources, pair.ours)()
            theirs = tools.zennit(module, sources, pair.theirs)()
            named = pair.named and tools.zennit(module, sources, pair.named)()
            cells = [f"{gap(ours, heats):.0e}" if heats else "" for heats in (theirs, named)]
            shown.add_row(name, *cells)
    return shown


def main(options: Comparison) -> int:
    """Compare, and print the tables.

    Args:
        options: what can be set.

    Returns:
        The exit code: 1 if rfp_jax's numbers are not the oracle's, 2 if an option is wrong.
    """
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    if wrong := unknown(options.only, NETWORKS):
        console.print(wrong)
        return 2
    console.print(
        f"torch {torch.__version__}, jax {jax.__version__}, {options.batch} samples, "
        f"{os.cpu_count()} cores, load average at the start {os.getloadavg()[0]:.1f}"
    )
    wrong = []
    for name in options.only or NETWORKS:
        rows = compare(name, options.batch, rounds=options.rounds, seconds=options.seconds)
        wrong += [f"{name}: {r.tool}" for r in rows[:2] if (r.difference or 0) > LIMIT]
        console.print(f"\n{name}")
        console.print(table(rows))
    if options.composites:
        console.print("\nzennit's composites and ours")
        console.print(composites(options.batch))
    if wrong:
        console.print(f"WRONG: {', '.join(wrong)}", style="bold red")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Comparison, prog="python -m benchmarks.comparison")))
