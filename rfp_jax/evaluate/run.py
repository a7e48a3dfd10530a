"""The work itself: compute the chunks that are missing, and commit each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rfp_jax.evaluate import processes
from rfp_jax.evaluate.devices import Step
from rfp_jax.evaluate.errors import BadSampleError
from rfp_jax.evaluate.job import Job
from rfp_jax.evaluate.journal import Counts, Journal
from rfp_jax.evaluate.plan import Slots
from rfp_jax.evaluate.progress import Progress, add, nothing
from rfp_jax.evaluate.rows import compute
from rfp_jax.evaluate.table import Row


@dataclass(frozen=True)
class Run:
    """Everything that the work needs.

    Attributes:
        journal: where the table is written.
        job: what is computed.
        step: computes a batch.
        threads: how many threads read.
        strict: whether to stop at the first bad sample.
        shown: whether to show progress.
    """

    journal: Journal
    job: Job
    step: Step
    threads: int
    strict: bool
    shown: bool

    def __call__(self) -> None:
        """Compute and commit this process's share of what is missing."""
        with processes.phase():  # all have looked before one commits
            committed = [self.journal.committed(chunk) for chunk in range(len(self.job.chunks))]
        done, todo = nothing(), []
        for chunk, counts in enumerate(committed):
            if counts is None:
                todo.append(chunk)
            else:
                done = add(done, counts)
        with processes.long_phase(self.journal.arrived):
            self._work(processes.share(todo), done)

    def _work(self, mine: Sequence[int], done: Counts) -> None:
        chunks = self.job.chunks
        total = done["samples"] + sum(map(chunks.length, mine))
        slots = Slots(chunks, mine, self.step.batch)
        batches = compute(slots, self.job.reader, self.step, threads=self.threads)
        todo, rows = list(mine), []
        try:
            shown = self.shown and processes.is_first()
            with Progress(total, done, shown=shown) as progress:
                for batch in batches:
                    progress.advance(_count(batch))
                    for row in batch:
                        if self.strict and not row.finite:
                            raise BadSampleError(_reason(row))
                        rows.append(row)
                        if len(rows) == chunks.length(todo[0]):
                            self._commit(todo.pop(0), rows)
                            rows = []
        except BaseException as error:
            error.add_note(
                f"What is committed stays in {self.journal.folder}; the same call goes on there."
            )
            raise

    def _commit(self, chunk: int, rows: Sequence[Row]) -> None:
        columns = self.job.table.columns(rows)
        self.journal.commit(chunk, self.job.chunks.bounds(chunk), columns, _count(rows))


def _count(rows: Sequence[Row]) -> Counts:
    failures = sum(bool(row.sample.failure) for row in rows)
    odd = sum(not row.finite for row in rows) - failures
    return {"samples": len(rows), "failures": failures, "nonfinite": odd}


def _reason(row: Row) -> str:
    sample = row.sample
    why = sample.failure or "output or relevance is not finite"
    return f"sample {sample.number} ({sample.id}): {why}"
