"""Everything to know of one accelerator: `python -m benchmarks.gpu`, or `make bench-gpu`.

The benchmark's workloads, the errors of relevance in each precision, and growing batches, in less
than 25 minutes on one card. What does not fit into the time or the memory, or what the platform
lacks, is named and left out, and loses nothing of the rest: gpu.json and gpu.md are written after
each step. What is right is computed on the CPU beside the card. `--short` tries the command
anywhere, on small networks.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.speed import contestants, report, timing, workloads
from benchmarks.speed.measure import Result, measure
from benchmarks.speed.program import build
from benchmarks.speed.workloads import Workload
from rfp_jax._util.files import atomic_files

TF32 = 0.1
"""The greatest error with which an answer counts as right: cards multiply float32 in TF32, which
has the ten bits of float16."""

Makers = Mapping[str, Callable[[], Workload]]

FULL: Makers = {
    "smallnet": lambda: workloads.smallnet(2048),
    "resnet50": lambda: workloads.resnet50(64, 256),
    "fusion": lambda: workloads.fusion(64, 128),
    "vit": lambda: workloads.vit(256, 64),
    "unet": lambda: workloads.unet(16, 256),
    "tokens": lambda: workloads.tokens(4, 256),
    "bands-13": lambda: workloads.bands(13, 16, 64),
    "lstm": lambda: workloads.lstm(64, 1000),
}
"""The workloads that are timed, in sizes that fill a card."""

SHORT: Makers = {"smallnet": lambda: workloads.smallnet(2)}

PARITY: Makers = {
    "SmallNet": lambda: workloads.smallnet(64),
    "ResNet-50": lambda: workloads.resnet50(4, 128),
    "ViT": lambda: workloads.vit(8, 64),
}
"""The networks whose errors are measured."""

SWEEPS: Mapping[str, Callable[[int], Workload]] = {
    "SmallNet": workloads.smallnet,
    "ResNet-50, 128 px": lambda batch: workloads.resnet50(batch, 128),
}
"""The networks whose batch grows, fourfold each time, until the memory or the time is spent."""


def _as(precision: str) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: jax.default_matmul_precision(precision)


PRECISIONS: Mapping[str, tuple[str, Callable[[], AbstractContextManager[Any]]]] = {
    "float32": ("float32", _as("highest")),
    "TF32": ("float32", _as("tensorfloat32")),
    "bfloat16": ("bfloat16", nullcontext),
}
"""The dtype of weights and inputs, and how products are computed. A CPU knows no TF32."""


@dataclass(frozen=True)
class Parity:
    """Errors of one network in one precision, beside float64 with the same weights and inputs.

    Attributes:
        network: its name.
        precision: of `PRECISIONS`.
        output: error of the output, root mean square relative to that of the output.
        sources: error of the relevance of all sources, likewise.
        residual: the greatest |output - bias - sources|, relative to the greatest |output|.
    """

    network: str
    precision: str
    output: float
    sources: float
    residual: float


@dataclass(frozen=True)
class Step:
    """One size of a growing batch.

    Attributes:
        network: its name.
        batch: samples.
        forward: seconds of the forward pass.
        relevance: seconds of the relevance pass.
        memory: bytes of the relevance pass at its peak, by XLA's account.
    """

    network: str
    batch: int
    forward: float
    relevance: float
    memory: int


@dataclass
class Findings:
    """All that was found, what the time did not suffice for, and what failed, with the error."""

    results: list[Result] = field(default_factory=list)
    parity: list[Parity] = field(default_factory=list)
    sweep: list[Step] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def parity(name: str, work: Workload) -> Iterator[Parity]:
    """Errors of a network in each precision.

    Args:
        name: of the network.
        work: in float32.

    Yields:
        One a precision.
    """
    for precision, (dtype, context) in PRECISIONS.items():
        given = work if dtype == work.dtype else workloads.in_dtype(work, dtype)
        right = contestants.truth(given)
        with context():
            rel = build(given.explain(), given.arguments, suited=True)()
        output, bias, sources = (
            np.asarray(part, np.float64) for part in (rel.output, rel.bias, np.stack(rel.sources))
        )
        rest = np.abs(output - bias - sources.sum(0)).max() / np.abs(output).max()
        of_output = contestants.error(output, right["output"])
        of_sources = contestants.error(sources, right["sources"])
        yield Parity(name, precision, of_output, of_sources, float(rest))


def grow(
    name: str, make: Callable[[int], Workload], batches: Sequence[int], turns: int
) -> Iterator[Step]:
    """Time growing batches until the memory is spent.

    Args:
        name: of the network.
        make: makes a batch of a size.
        batches: sizes, ascending.
        turns: how many each gets.

    Yields:
        One a size that fits.
    """
    for batch in batches:
        try:
            work = make(batch)
            forward = build(work.fun, work.arguments)
            relevance = build(work.explain(), work.arguments, suited=True)
            runs = {"forward": forward, "relevance": relevance}
            for run in runs.values():
                run()
            times = timing.interleave(runs, rounds=turns, seconds=10)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return
        plain, explained = (float(np.median(times[way])) for way in runs)
        yield Step(name, batch, plain, explained, relevance.cost.memory)


@dataclass(frozen=True)
class Options:
    """Measure relevance on one accelerator: speed, errors in each precision, growing batches."""

    short: bool = False
    """Try the command in its shortest form, on any device."""
    minutes: float = 20.0
    """After so many nothing further is begun; the first third of them is for the workloads."""
    out: Path = Path("results/gpu")
    """The folder for gpu.json and gpu.md."""


EXPECTED = ("RESOURCE_EXHAUSTED", "UNIMPLEMENTED")
"""Errors that tell of the card, its memory and what its platform lacks, and of no fault here."""


@dataclass
class Session:
    """One run of the command: what is measured in the time that there is, and kept at once.

    Attributes:
        options: of the command.
        console: for the tables.
        found: so far.
        started: when, by `time.perf_counter`.
    """

    options: Options
    console: Console
    found: Findings = field(default_factory=Findings)
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return time.perf_counter() - self.started

    def is_late(self, what: str, share: float = 1) -> bool:
        """Tell whether this share of the time is spent; then the thing is named as left out."""
        late = self.seconds > 60 * share * self.options.minutes
        if late:
            self.found.left_out.append(what)
        return late

    def attempt(self, what: str, step: Callable[[], object]) -> None:
        """Take a step, name it if it fails, and write what is known so far."""
        try:
            step()
        except RuntimeError as error:  # JAX's own, what a platform lacks, and a wrong unit
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self.found.failed.append(f"{what}: {reason[:200]}")
        write(self.found, self.options.out)
        jax.clear_caches()

    def compare(self, name: str) -> None:
        """Measure the errors of a network."""
        for each in parity(name, PARITY[name]()):
            self.found.parity.append(each)

    def race(self, make: Callable[[], Workload]) -> None:
        """Time a workload."""
        rounds, seconds = (3, 1.0) if self.options.short else (15, 20.0)
        result = measure(make(), rounds=rounds, seconds=seconds, others=False, tolerance=TF32)
        self.found.results.append(result)
        self.console.print(report.table(result))

    def sweep(self, name: str) -> None:
        """Time growing batches of a network."""
        batches = (1, 2) if self.options.short else tuple(4**n for n in range(1, 8))
        for step in grow(name, SWEEPS[name], batches, 3 if self.options.short else 9):
            self.found.sweep.append(step)
            if self.is_late(f"batches of {name} beyond {step.batch}"):
                break


def main(options: Options) -> int:
    """Measure, print, write.

    Args:
        options: see there.

    Returns:
        The exit code: 1 if an answer was wrong or something failed that is not of `EXPECTED`, 2 if
        there is no accelerator.
    """
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    if jax.default_backend() == "cpu" and not options.short:
        console.print(
            "JAX finds no accelerator here: install its build for one, such as jax[cuda13], into "
            "this environment, or try the command with --short."
        )
        return 2
    session = Session(options, console)
    found = session.found
    for name in ("SmallNet",) if options.short else PARITY:  # first: whether the numbers are right
        what = f"parity of {name}"
        if not session.is_late(what):
            session.attempt(what, partial(session.compare, name))
    console.print(parity_table(found.parity))
    for name, make in (SHORT if options.short else FULL).items():
        what = f"benchmark of {name}"
        if not session.is_late(what, 2 / 3):
            session.attempt(what, partial(session.race, make))
    for name in ("SmallNet",) if options.short else SWEEPS:
        session.attempt(f"batches of {name}", partial(session.sweep, name))
    console.print(sweep_table(found.sweep))
    write(found, options.out)
    for sentence in _missing(found):
        console.print(sentence, markup=False)  # errors have brackets
    console.print(f"{session.seconds / 60:.0f} minutes; gpu.json, gpu.md in {options.out}")
    unexpected = [what for what in found.failed if not any(known in what for known in EXPECTED)]
    return int(bool(unexpected) or any(result.failures for result in found.results))


def _missing(found: Findings) -> list[str]:
    """Sentences about what was left out."""
    reasons = {"Left out for want of time": found.left_out, "Not possible here": found.failed}
    return [f"{reason}: {'; '.join(names)}." for reason, names in reasons.items() if names]


def parity_table(found: Sequence[Parity]) -> Table:
    """Errors, by network and precision."""
    shown = Table(title="parity: errors beside float64", title_justify="left", box=MARKDOWN)
    for column in ("network", "precision", "output", "sources", "residual"):
        shown.add_column(column, justify="left" if column in {"network", "precision"} else "right")
    for each in found:
        numbers = (each.output, each.sources, each.residual)
        shown.add_row(each.network, each.precision, *(f"{number:.0e}" for number in numbers))
    return shown


def sweep_table(found: Sequence[Step]) -> Table:
    """Growing batches."""
    shown = Table(title="growing batches", title_justify="left", box=MARKDOWN)
    for column in (
        "network",
        "batch",
        "forward ms",
        "relevance ms",
        "x forward",
        "samples/s",
        "MiB",
    ):
        shown.add_column(column, justify="left" if column == "network" else "right")
    for each in found:
        shown.add_row(
            each.network,
            str(each.batch),
            f"{each.forward * 1e3:.2f}",
            f"{each.relevance * 1e3:.2f}",
            f"{each.relevance / each.forward:.2f}",
            f"{each.batch / each.relevance:,.0f}",
            f"{each.memory / 2**20:,.0f}",
        )
    return shown


def write(found: Findings, out: Path) -> None:
    """Write gpu.json and gpu.md, both or none.

    Args:
        found: what to write.
        out: the folder, made if missing.
    """
    tables = [parity_table(found.parity), *map(report.table, found.results)]
    text = report.markdown([*tables, sweep_table(found.sweep)])
    text += "".join(f"\n{sentence}\n" for sentence in _missing(found))
    record = {"machine": report.machine(), **dataclasses.asdict(found)}
    with atomic_files(out) as folder:
        (folder / "gpu.md").write_text(text)
        (folder / "gpu.json").write_text(json.dumps(report.without_nan(record), indent=1))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m benchmarks.gpu", description=__doc__)))
