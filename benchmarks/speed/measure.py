"""One workload: all contestants are checked, then timed in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np

from benchmarks.speed import contestants, peers, timing
from benchmarks.speed.contestants import Contestant
from benchmarks.speed.program import Cost
from benchmarks.speed.workloads import Workload


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


@dataclass(frozen=True)
class Turns:
    """The turns of each contestant.

    Attributes:
        rounds: how many each gets, if the time suffices.
        seconds: about how long all may take.
        tick: called after each round.
    """

    rounds: int
    seconds: float
    tick: Callable[[], object] = lambda: None


def measure(
    work: Workload,
    *,
    rounds: int,
    seconds: float,
    reference: Path | None = None,
    others: bool = True,
    tolerance: float | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Result:
    """Check and time all ways to explain a workload.

    Args:
        work: the workload.
        rounds: how many turns each gets.
        seconds: about how long that may take.
        reference: a clone of the authors' repository.
        others: whether others than this project's own transformations take part.
        tolerance: the greatest error with which an answer counts as right; by default the
            workload's.
        tick: called after each round.

    Returns:
        What was measured.
    """
    right = contestants.truth(work)
    with ExitStack() as stack:
        stack.enter_context(jax.enable_x64(work.dtype == "float64"))
        taking_part = list(contestants.ours(work))
        if others:
            for group in (
                contestants.of_jax,
                contestants.of_decomposition,
                peers.torch_forward,
                peers.captum,
                peers.zennit,
                contestants.of_baselines,
            ):
                taking_part += group(work)
        if reference and work.arch in peers.KNOWN:
            taking_part.append(stack.enter_context(peers.authors(work, reference)))
        turns = Turns(rounds, seconds, tick)
        limit = work.tolerance if tolerance is None else tolerance
        return race(work.name, work.batch, taking_part, right, tolerance=limit, turns=turns)


def race(
    name: str,
    batch: int,
    taking_part: Sequence[Contestant],
    right: Mapping[str, np.ndarray],
    *,
    tolerance: float,
    turns: Turns,
) -> Result:
    """Check all contestants, and time those that are right.

    Args:
        name: of the workload.
        batch: samples in a batch.
        taking_part: the contestants; the first is the plain work that `jax.jit` compiles.
        right: the right answers, by the contestants' `answers`.
        tolerance: the greatest error with which an answer counts as right.
        turns: how often and how long.

    Returns:
        What was measured.
    """
    errors, failures = {}, {}
    for contestant in taking_part:
        found = contestant.run()
        if not contestant.answers:
            errors[contestant.name] = np.nan
            continue
        errors[contestant.name] = contestants.error(found, right[contestant.answers])
        if not errors[contestant.name] <= tolerance:
            failures[contestant.name] = f"off by {errors[contestant.name]:.1e}"
    timed = {c.name: c for c in taking_part if c.name not in failures}
    units = [c.name for c in timed.values() if c.is_unit]
    if not units:
        raise RuntimeError(f"{name}: the plain computation is wrong itself, {failures}")
    times = timing.interleave(
        {c.name: c.run for c in timed.values()},
        rounds=turns.rounds,
        seconds=turns.seconds,
        tick=turns.tick,
    )
    best = min(units, key=lambda unit: float(np.median(times[unit])))
    lines = [
        Line(
            each,
            errors[each],
            taken.tolist(),
            timing.ratios(taken, times[best]).tolist(),
            timing.ratios(taken, times[units[0]]).tolist(),
            timed[each].cost,
        )
        for each, taken in times.items()
    ]
    return Result(name, batch, best, lines, failures)
