"""`python -m benchmarks`: how fast is relevance, beside the forward pass and its peers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jax
import tyro
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from benchmarks.names import unknown
from benchmarks.speed import report
from benchmarks.speed.measure import measure
from benchmarks.speed.scaling import SCALINGS, scale
from benchmarks.speed.throughput import rates
from benchmarks.speed.training import TRAININGS, train
from benchmarks.speed.workloads import WORKLOADS

THROUGHPUT = "throughput"
"""The name of what is counted from disk to disk."""


@dataclass(frozen=True)
class Benchmark:
    """Time relevance beside the forward pass, JAX's own derivatives, and other tools.

    The other tools: Captum, zennit where it is installed, LMD's scheme, occlusion, Shapley values,
    and the authors' code.

    Everything takes turns in one run (A B C A B C ...), so that only ratios of the same round are
    compared; medians and quartiles are printed. Answers are checked before they are timed. Run it
    on a machine that does nothing else. `make bench` runs this.
    """

    only: tuple[str, ...] = ()
    """Workloads (smallnet-64, smallnet-500, resnet50, fusion, vit, unet, torch-resnet50, torch-vit,
    lstm, tokens, bands-3, bands-13, and smallnet or resnet50 in -float64 or -bfloat16), training
    steps (training-smallnet, training-resnet50), scalings (sources, superpixels, outputs,
    batch, "pixels a side"), or throughput; all if not given."""
    reference: Path | None = None
    """A clone of the authors' repository (github.com/JakobCode/RFP), to be timed as well."""
    others: bool = True
    """Let others than this project's own transformations take part."""
    rounds: int = 15
    """The turns of each contestant, if the time suffices; never fewer than three."""
    seconds: float = 120.0
    """About how long a workload or scaling may take. Slow contestants get three turns even so."""
    out: Path = field(default=Path("results/benchmarks"))
    """The folder for speed.json, speed.md and speed.png."""


def main(options: Benchmark) -> int:
    """Run the benchmark and print its tables.

    Args:
        options: what to run, and where results go.

    Returns:
        The exit code: 1 if an answer was wrong, 2 if an option was.
    """
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    known = (*WORKLOADS, *TRAININGS, *SCALINGS, THROUGHPUT)
    if wrong := unknown(options.only, sorted(known)):
        console.print(wrong)
        return 2
    if options.reference and not Path(options.reference, "code", "models").is_dir():
        console.print(
            f"{options.reference} is not a clone of the authors' code: it has no code/models."
        )
        return 2
    chosen = options.only or known
    started = time.perf_counter()
    results, growths, counted = {}, {}, []
    for name in chosen:
        with _progress(console, name, options.rounds) as tick:
            if name in WORKLOADS:
                results[name] = measure(
                    WORKLOADS[name](),
                    rounds=options.rounds,
                    seconds=options.seconds,
                    reference=options.reference,
                    others=options.others,
                    tick=tick,
                )
                console.print(report.table(results[name]))
            elif name in TRAININGS:
                results[name] = train(
                    TRAININGS[name](), rounds=options.rounds, seconds=options.seconds, tick=tick
                )
                console.print(report.table(results[name]))
            elif name == THROUGHPUT:
                counted = rates(rounds=min(options.rounds, 3))
                console.print(report.throughput(counted))
            else:
                growths[name] = scale(
                    name, rounds=options.rounds, seconds=options.seconds, tick=tick
                )
                console.print(report.growth(name, growths[name]))
        report.save(results, growths, counted, options.out)  # after each: it takes long
        jax.clear_caches()
    if not options.reference:
        console.print("The authors' code was not timed: no --reference was given.")
    wrong = [f"{r.workload}: {', '.join(r.failures)}" for r in results.values() if r.failures]
    if wrong:
        console.print(f"WRONG ANSWERS, not timed: {'; '.join(wrong)}", style="bold red")
    minutes = (time.perf_counter() - started) / 60
    console.print(f"{minutes:.0f} minutes; speed.json, speed.md, speed.png in {options.out}")
    return bool(wrong)


@contextmanager
def _progress(console: Console, name: str, rounds: int) -> Iterator[Callable[[], object]]:
    """A bar over the rounds of one workload."""
    columns = (*Progress.get_default_columns()[:3], TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=rounds)
        yield lambda: bar.advance(task)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Benchmark, prog="python -m benchmarks")))
