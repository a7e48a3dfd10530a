"""`python -m benchmarks.scale`: large jobs, from measured costs; and the plan, simulated."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.names import unknown
from benchmarks.scale.costs import DEVICES, JOBS, Job, Measured, estimate
from benchmarks.scale.simulation import Assumptions, Outcome, simulate
from rfp_jax._runs import sealed
from rfp_jax.maps._tiles import Plan, trimmed
from rfp_jax.tables._evaluate.plan import Chunks

ASSUMED = """\
Measured, on this machine: seconds, operations and memory of one batch. Derived: everything in the
table. Assumed: devices like this one, data that arrive in time, an even share for each device;
SEN12MS is patches of 256 x 256 pixels; the mosaic keeps all classes of both sources, not
compressed; the transformer computes 2 operations a parameter and token, times what relevance of two
sources takes beside the forward pass here, in bfloat16 on a thousand million tokens, its weights
split over all devices and gathered once for 16,384 tokens, eight layers' activations alive."""


@dataclass(frozen=True)
class Scale:
    """Estimate large jobs from measured costs, and simulate the plan of many failing processes."""

    only: tuple[str, ...] = ()
    """Jobs (sen12ms, mosaic, llm) or simulation; all if not given."""
    flops: float | None = None
    """Operations a second that a device sustains, for a device that is not at hand; by default what
    this machine does."""
    chunks: int = 1_000_000
    """About so many has the simulated table, and as many the simulated map."""
    processes: int = 1000
    """In the simulation."""


SIMULATION = "simulation"


def main(options: Scale) -> int:
    """Measure, derive, simulate, print.

    Args:
        options: see there.

    Returns:
        The exit code: 1 if a chunk was lost or done twice, 2 if an option was wrong.
    """
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    known = (*JOBS, SIMULATION)
    if wrong := unknown(options.only, known):
        console.print(wrong)
        return 2
    chosen = options.only or known
    jobs = [job for name, job in JOBS.items() if name in chosen]
    if jobs:
        console.print(costs(jobs, options.flops))
        console.print(ASSUMED)
    if SIMULATION not in chosen:
        return 0
    look = looking()
    world = Assumptions(processes=options.processes, look=look)
    worlds = (world, replace(world, mtbf=world.mtbf / 5))
    console.print(f"Measured: {look * 1e6:.0f} us to see whether a chunk is committed.")
    outcomes = [
        (name, each, simulate(range(len(plan)), each))
        for name, plan in plans(options.chunks).items()
        for each in worlds
    ]
    console.print(simulated(outcomes))
    console.print(
        f"Assumed: {world.seconds:.0f} s a chunk, give or take {world.spread:.0%}; "
        f"{world.start:.0f} s to start all processes, {world.detect:.0f} s until JAX ends them, "
        f"{world.read * 1e6:.0f} us to read a committed chunk again."
    )
    return int(any(outcome.lost or outcome.repeated for _, _, outcome in outcomes))


def plans(chunks: int) -> dict[str, Chunks | Plan]:
    """The plan of a table, and that of a square map, of about so many chunks."""
    side = int(np.ceil(np.sqrt(chunks)))
    axis = trimmed(side * 256 - 100, 256, 32, 32, 16)
    return {"evaluate": Chunks(chunks * 1024 - 100, 1024), "maps": Plan(axis, axis)}


def looking(count: int = 2000) -> float:
    """Seconds to look for the marker of a chunk, read it and check its seal, on this disk."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{i:06d}.json") for i in range(count)]
        marker = sealed.seal({"attributes": {"chunk": 0, "record": {"files": {}}}})
        for path in paths[::2]:  # half of them are committed
            sealed.write(path, marker)
        start = time.perf_counter()
        for path in paths:
            sealed.read_intact(path)
        return (time.perf_counter() - start) / count


def costs(jobs: list[Job], flops: float | None) -> Table:
    """All jobs on all numbers of devices."""
    shown = Table(title="large jobs", title_justify="left", box=MARKDOWN)
    shown.add_column("", no_wrap=True)
    columns = ("measured", "devices", "memory a device", "moved a device", "hours")
    for column in columns:
        shown.add_column(column, justify="right")
    for job in jobs:
        found = job.measure()
        for devices in DEVICES:
            each = estimate(job, found, devices, flops)
            first = devices == DEVICES[0]
            shown.add_row(
                f"{job.name}, {job.items:,} {job.unit}" if first else "",
                _measured(job, found) if first else "",
                str(devices),
                f"{each.memory / 2**30:,.2f} GiB",
                f"{each.moved / 2**30:,.1f} GiB",
                f"{each.hours:,.2f}",
            )
    return shown


def simulated(outcomes: Sequence[tuple[str, Assumptions, Outcome]]) -> Table:
    """All simulated jobs."""
    shown = Table(title="simulated: the plan", title_justify="left", box=MARKDOWN)
    columns = ("processes", "hours between failures of one", "chunks", "failures (expected)")
    for column in ("", *columns, "hours", "lost", "done twice", "overhead"):
        shown.add_column(column, justify="right" if column else "left")
    for name, world, found in outcomes:
        shown.add_row(
            name,
            f"{world.processes:,}",
            f"{world.mtbf:,.0f}",
            f"{len(found.commits):,}",
            f"{found.failures} ({found.hours * world.processes / world.mtbf:.1f})",
            f"{found.hours:.1f}",
            str(found.lost),
            str(found.repeated),
            f"{found.overhead:.2%}",
        )
    return shown


def _measured(job: Job, found: Measured) -> str:
    speed = found.flops / found.seconds / 1e9
    return f"{found.items / found.seconds:,.4g} {job.unit}/s, {speed:.0f} Gflop/s"


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Scale, prog="python -m benchmarks.scale", description=__doc__)))
