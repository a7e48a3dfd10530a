"""The results as tables to look at, as Markdown, as JSON and as a figure."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.speed.measure import Line, Result
from benchmarks.speed.scaling import SUBJECTS, Point
from benchmarks.speed.throughput import Rate
from rfp_jax._util.files import atomic_files

_PACKAGES = ("jax", "jaxlib", "flax", "torch", "captum", "zennit")


def machine() -> dict[str, str]:
    """Return what it ran on."""
    found = {name: _version(name) for name in _PACKAGES}
    processor = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), ""
    )
    cores = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "")
    return {
        "device": jax.devices()[0].device_kind,
        "processor": processor,
        "cores": cores,
        "python": platform.python_version(),
        **found,
    }


def table(result: Result) -> Table:
    """One workload's contestants."""
    unit = result.line(result.best)
    shown = Table(title=result.workload, title_justify="left", box=MARKDOWN)
    shown.add_column("", no_wrap=True)
    plain = result.lines[0].name
    ratios = (f"x best {plain}", "quartiles", f"x {plain}")
    for column in ("ms", *ratios, "flops x", "bytes x", "memory x", "compile s"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("error", justify="right", no_wrap=True)
    for line in result.lines:
        shown.add_row(*_cells(line, unit))
    for name, why in result.failures.items():
        shown.add_row(name, *[""] * 8, why, style="bold red")
    return shown


def growth(along: str, points: Sequence[Point]) -> Table:
    """One scaling."""
    shown = Table(title=f"{along}: {SUBJECTS[along]}", title_justify="left", box=MARKDOWN)
    for column in (along, "forward ms", "relevance ms", "x forward", "flops x"):
        shown.add_column(column, justify="right")
    for p in points:
        numbers = (f"{p.forward * 1e3:.1f}", f"{p.relevance * 1e3:.1f}", f"{p.ratio:.2f}")
        shown.add_row(str(p.size), *numbers, _known(p.flops, ".2f"))
    return shown


def throughput(counted: Sequence[Rate]) -> Table:
    """Rates, from disk to disk and in memory."""
    shown = Table(title="throughput: disk to disk", title_justify="left", box=MARKDOWN)
    shown.add_column("", no_wrap=True)
    for column in ("counted", "a second in memory", "a second, disk to disk", "of the speed"):
        shown.add_column(column, justify="right")
    for rate in counted:
        speed = f"{rate.disk / rate.memory:.2f}"
        shown.add_row(rate.name, rate.unit, f"{rate.memory:,.4g}", f"{rate.disk:,.4g}", speed)
    return shown


def save(
    results: Mapping[str, Result],
    growths: Mapping[str, Sequence[Point]],
    counted: Sequence[Rate],
    out: Path,
) -> None:
    """Write speed.json, speed.md and speed.png into a folder, all of them or none.

    Args:
        results: by the workload's name on the command line.
        growths: by what was varied.
        counted: rates, from disk to disk.
        out: the folder, made if missing.
    """
    in_order = list(results.values())
    tables = [*map(table, in_order), *(growth(*each) for each in growths.items())]
    if counted:
        tables.append(throughput(counted))
    with atomic_files(out) as folder:
        (folder / "speed.json").write_text(record(in_order, growths, counted))
        (folder / "speed.md").write_text(markdown(tables))
        draw(in_order, growths, folder / "speed.png")


def markdown(tables: Iterable[Table]) -> str:
    """All tables, with what they were measured on."""
    described = ", ".join(f"{name} {value}" for name, value in machine().items() if value)
    parts = [f"Measured on: {described}.\n"]
    for shown in tables:
        title, shown.title = shown.title, None
        console = Console(width=200, color_system=None)
        with console.capture() as captured:
            console.print(shown)
        shown.title = title
        lines = (line.rstrip() for line in captured.get().splitlines() if line.strip())
        parts.append(f"### {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def record(
    results: Sequence[Result],
    growths: Mapping[str, Sequence[Point]],
    counted: Sequence[Rate] = (),
) -> str:
    """Everything, as JSON."""
    found: dict[str, Any] = {
        "machine": machine(),
        "workloads": list(map(dataclasses.asdict, results)),
        "scaling": {k: list(map(dataclasses.asdict, v)) for k, v in growths.items()},
        "throughput": list(map(dataclasses.asdict, counted)),
    }
    return json.dumps(without_nan(found), indent=1)


def without_nan(found: Any) -> Any:
    """The same with None for NaN, which JSON does not know."""
    return jax.tree.map(lambda x: None if isinstance(x, float) and np.isnan(x) else x, found)


def draw(results: Sequence[Result], growths: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Ratios to the unit as bars, one panel a workload, and the scalings as curves."""
    from matplotlib.figure import Figure

    panels = [*results, *growths.items()]
    if not panels:
        return
    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(11, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for ax, panel in zip(axes, panels, strict=False):
        if isinstance(panel, Result):
            _bars(ax, panel)
        else:
            _curve(ax, *panel)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    figure.savefig(path, dpi=80)


def _bars(ax: Any, result: Result) -> None:
    names = [line.name for line in result.lines][::-1]
    values = [float(np.median(line.ratios)) for line in result.lines][::-1]
    colors = ["#c44e52" if name in result.ours else "#8c9bb0" for name in names]
    ax.barh(names, values, color=colors)
    for place, value in enumerate(values):
        ax.annotate(f" {value:.3g}", (value, place), va="center", fontsize=8, annotation_clip=False)
    ax.set_xscale("log")
    ax.set_xlim(min(0.7, min(values) / 2), max(values) * 2.5)
    ax.set_title(result.workload, fontsize=9)
    ax.set_xlabel(f"time, in the best {result.lines[0].name}", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def _curve(ax: Any, along: str, points: Sequence[Point]) -> None:
    sizes = [p.size for p in points]
    ax.plot(sizes, [p.ratio for p in points], "o-", color="#c44e52", label="relevance, measured")
    if along in ("sources", "superpixels"):
        floor = [1 + size for size in sizes]
        ax.plot(sizes, floor, ":", color="#555555", label="1 + S forward passes")
        ax.set_yscale("log", base=2)
    else:
        counted = [p.flops for p in points]
        ax.plot(sizes, counted, ":", color="#555555", label="operations, counted by XLA")
        ax.set_ylim(bottom=0)
    ax.set_xscale("log", base=2 if along != "outputs" else 10)
    ax.set_xticks(sizes, list(map(str, sizes)))
    ax.minorticks_off()
    ax.set_title(f"{along}: {SUBJECTS[along]}", fontsize=9)
    ax.set_ylabel("forward passes", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)


def _cells(line: Line, unit: Line) -> list[str]:
    low, high = np.percentile(line.ratios, [25, 75])
    cells = [
        line.name,
        f"{np.median(line.seconds) * 1e3:.1f}",
        f"{np.median(line.ratios):.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{np.median(line.plain):.2f}",
    ]
    if line.cost and unit.cost:
        cells += [
            _known(line.cost.flops / unit.cost.flops, ".2f"),
            _known(line.cost.bytes / unit.cost.bytes, ".2f"),
            f"{line.cost.memory / unit.cost.memory:.2f}",
            f"{line.cost.compile_seconds:.1f}",
        ]
    else:
        cells += [""] * 4
    return [*cells, _known(line.error, ".0e")]


def _known(number: float, form: str) -> str:
    """A number as text; nothing if it is NaN."""
    return "" if np.isnan(number) else format(number, form)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
