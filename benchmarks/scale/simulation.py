"""Simulate many processes on one table or map, which fail now and then.

The plan is the library's own: the chunks of a table or the tiles of a map that are not committed,
dealt by `processes.chunks_of_process`. A chunk is committed as a whole or not at all. When a
process dies, the others go on until JAX ends them; then the job is started again and looks what is
missing. At the end one process looks at all chunks once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rfp_jax._runs import processes


@dataclass(frozen=True)
class Assumptions:
    """The world in which the processes run.

    Attributes:
        processes: how many.
        seconds: mean time of a chunk.
        spread: its standard deviation, relative to the mean: small, for a chunk is a thousand
            samples of one shape. A machine that is slower than the others makes all wait for it.
        mtbf: mean hours between two failures of one process. Meta reports 419 interruptions in 54
            days of 16,384 GPUs (Llama 3, arXiv 2407.21783, section 3.3.4): one in 50,000 hours.
        detect: seconds until JAX has ended the processes that are left.
        start: seconds until all compute (again): queue, imports, compilation.
        look: seconds that a process looks at one chunk, whether it is committed. All look at all.
        read: seconds to read a committed chunk again. When a job goes on each reads its part, and
            the first one reads all before the end.
    """

    processes: int = 1000
    seconds: float = 60.0
    spread: float = 0.05
    mtbf: float = 50_000.0
    detect: float = 100.0
    start: float = 120.0
    look: float = 1e-4
    read: float = 3e-4


@dataclass(frozen=True)
class Outcome:
    """The end of a simulated job.

    Attributes:
        commits: how often each chunk was committed.
        failures: how many processes died.
        hours: from the first start to the end.
        useful: hours of all processes in chunks that were committed.
        overhead: what all processes took beyond that, relative to it.
    """

    commits: np.ndarray
    failures: int
    hours: float
    useful: float
    overhead: float

    @property
    def lost(self) -> int:
        """Chunks that nobody has committed."""
        return int((self.commits == 0).sum())

    @property
    def repeated(self) -> int:
        """Chunks that were committed more than once."""
        return int((self.commits > 1).sum())


def simulate(chunks: Sequence[int], world: Assumptions, seed: int = 0) -> Outcome:
    """Run a job to its end.

    Args:
        chunks: all chunks of a table, or tiles of a map.
        world: what is assumed.
        seed: of the durations and the failures.

    Returns:
        The outcome.
    """
    draw = np.random.default_rng(seed)
    commits = np.zeros(len(chunks), int)
    clock, failures, useful = 0.0, 0, 0.0
    while not commits.all():
        todo = np.flatnonzero(commits == 0).tolist()
        clock += world.start + world.look * len(chunks)
        clock += world.read * (len(chunks) - len(todo)) / world.processes
        dies = draw.exponential(world.mtbf * 3600 / world.processes)
        victim = int(draw.integers(world.processes))
        ends, mine_of = [], []
        for process in range(world.processes):
            mine = np.array(processes.chunks_of_process(todo, process, world.processes), int)
            taken = world.seconds * np.maximum(draw.normal(1, world.spread, len(mine)), 0.1)
            ends.append(np.cumsum(taken))
            mine_of.append(mine)
        last = max((float(end[-1]) for end in ends if len(end)), default=0.0)
        has_failed = dies < last
        for process, (mine, end) in enumerate(zip(mine_of, ends, strict=True)):
            until = last if not has_failed else dies + world.detect * (process != victim)
            done = end <= until
            commits[mine[done]] += 1
            useful += float(end[done][-1]) if done.any() else 0.0
        clock += min(last, dies + world.detect) if has_failed else last
        failures += has_failed
    clock += (world.look + world.read) * len(chunks)
    overhead = clock * world.processes / useful - 1
    return Outcome(commits, failures, clock / 3600, useful / 3600, overhead)
