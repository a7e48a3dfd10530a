"""One workload: all contestants are checked, then timed in turn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.speed import contestants, peers, timing
from benchmarks.speed.program import Cost
from benchmarks.speed.workloads import Workload

LIMIT = 1e-3
"""The greatest error, in float32, with which an answer counts as right."""


@dataclass(frozen=True)
class Line:
    """Measurements of one contestant.

    Attributes:
        name: the contestant's.
        error: of its answer, see `contestants.error`; NaN if it answers another question.
        seconds: a run, in each round.
        ratios: the same, as multiples of the best forward pass in the same round.
        plain: the same, as multiples of the forward pass that `jax.jit` compiles.
        cost: what XLA says of it.
    """

    name: str
    error: float
    seconds: list[float]
    ratios: list[float]
    plain: list[float]
    cost: Cost | None = None


@dataclass(frozen=True)
class Result:
    """Measurements of one workload.

    Attributes:
        workload: its name.
        batch: samples in a batch.
        best: the name of the forward pass that is the unit, the faster of both compilations.
        lines: one a contestant; the first is the forward pass that `jax.jit` compiles.
        failures: contestants that failed or were wrong, and why; they were not timed.
    """

    workload: str
    batch: int
    best: str
    lines: list[Line]
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> list[str]:
        """The names of `relevance`, however it is compiled and called."""
        return [line.name for line in self.lines if line.name.startswith("relevance")]

    def line(self, name: str) -> Line:
        """Return what was measured of a contestant."""
        (found,) = (line for line in self.lines if line.name == name)
        return found

    def ratio(self, name: str) -> float:
        """A contestant's median time in forward passes, the best ones."""
        return float(np.median(self.line(name).ratios))


def measure(
    work: Workload,
    *,
    rounds: int,
    seconds: float,
    reference: Path | None = None,
    others: bool = True,
    tick: Callable[[], object] = lambda: None,
) -> Result:
    """Check and time all ways to explain a workload.

    Args:
        work: the workload.
        rounds: how many turns each gets.
        seconds: about how long that may take.
        reference: a clone of the authors' repository.
        others: whether others than this project's own transformations take part.
        tick: called after each round.

    Returns:
        What was measured.
    """
    right = contestants.truth(work)
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        taking_part = list(contestants.ours(work))
        if others:
            for group in (contestants.of_jax, peers.captum, contestants.of_baselines):
                taking_part += group(work)
        if reference and work.arch in peers.KNOWN:
            taking_part.append(stack.enter_context(peers.authors(work, reference)))
        errors = {}
        for contestant in taking_part:
            found = contestant.run()
            if not contestant.answers:
                errors[contestant.name] = np.nan
                continue
            errors[contestant.name] = contestants.error(found, right[contestant.answers])
            if not errors[contestant.name] <= LIMIT:
                failures[contestant.name] = f"off by {errors[contestant.name]:.1e}"
        runs = {c.name: c.run for c in taking_part if c.name not in failures}
        times = timing.interleave(runs, rounds=rounds, seconds=seconds, tick=tick)
    plain = times["forward"]
    ways = [name for name in ("forward", "forward, rfp_jax.jit") if name in times]
    best = min(ways, key=lambda name: float(np.median(times[name])))
    costs = {c.name: c.cost for c in taking_part}
    lines = [
        Line(
            name,
            errors[name],
            taken.tolist(),
            timing.ratios(taken, times[best]).tolist(),
            timing.ratios(taken, plain).tolist(),
            costs[name],
        )
        for name, taken in times.items()
    ]
    return Result(work.name, work.batch, best, lines, failures)
