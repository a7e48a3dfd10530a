"""The work itself: compute the chunks that are missing, and commit each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from rfp_jax._runs import processes
from rfp_jax.tables._evaluate.devices import CompiledBatch
from rfp_jax.tables._evaluate.errors import BadSampleError
from rfp_jax.tables._evaluate.job import Job
from rfp_jax.tables._evaluate.journal import Counts, Journal
from rfp_jax.tables._evaluate.options import RunOptions
from rfp_jax.tables._evaluate.plan import Slots
from rfp_jax.tables._evaluate.progress import Progress, add, nothing
from rfp_jax.tables._evaluate.rows import compute
from rfp_jax.tables._evaluate.table import Row

SHOWN = 10
"""So many failures are named where there are too many."""


@dataclass(frozen=True)
class Run:
    """Everything that the work needs.

    Attributes:
        journal: where the table is written.
        job: what is computed.
        compiled: computes a batch.
        options: how the run works.
    """

    journal: Journal
    job: Job
    compiled: CompiledBatch
    options: RunOptions

    def __call__(self) -> None:
        """Compute and commit this process's share of what is missing."""
        chunks = self.job.chunks
        with processes.phase():
            self.journal.forget_damaged(processes.chunks_of_process(range(len(chunks))))
        with processes.phase():  # all have looked before one commits
            committed = self.journal.committed(chunks, thorough=False)
        done = reduce(add, (record["counts"] for record in committed if record), nothing())
        todo = [chunk for chunk, record in enumerate(committed) if record is None]
        with processes.long_phase(self.journal.partial.arrived):
            self._work(processes.chunks_of_process(todo), done)

    def _work(self, mine: Sequence[int], done: Counts) -> None:
        job, chunks, threads = self.job, self.job.chunks, self.options.threads
        total = done["samples"] + sum(map(chunks.length, mine))
        slots = Slots(chunks, mine, self.compiled.batch)
        batches = compute(slots, job.reader, job.schema, self.compiled, threads=threads)
        todo, rows = list(mine), []
        try:
            shown = self.options.progress and processes.is_first()
            with Progress(total, done, shown=shown) as progress:
                for batch in batches:
                    progress.advance(count(batch))
                    for row in batch:
                        if self.options.strict and not row.finite:
                            raise BadSampleError(_reason(row))
                        rows.append(row)
                        if len(rows) == chunks.length(todo[0]):
                            self._commit(todo.pop(0), rows)
                            rows = []
                    self._check(progress.failures, batch)
        except BaseException as error:
            error.add_note(
                f"What is committed stays in {self.journal.partial.folder}; the same call goes on "
                "there."
            )
            raise

    def _check(self, failures: int, batch: Sequence[Row]) -> None:
        most = self.options.max_failures
        if most is not None and failures > most:
            shown = [f"  {_reason(row)}" for row in batch if row.sample.failure]
            message = f"{failures} samples have failed, max_failures is {most}:"
            raise BadSampleError("\n".join([message, *shown[:SHOWN]]))

    def _commit(self, chunk: int, rows: Sequence[Row]) -> None:
        self.journal.commit(chunk, self.job.table.columns(rows), count(rows))


def count(rows: Sequence[Row]) -> Counts:
    """Count rows, and what is wrong with them."""
    failures = sum(bool(row.sample.failure) for row in rows)
    odd = sum(not row.finite for row in rows) - failures
    return {"samples": len(rows), "failures": failures, "nonfinite": odd}


def _reason(row: Row) -> str:
    sample = row.sample
    why = sample.failure or "output or relevance is not finite"
    return f"sample {sample.number} ({sample.id}): {why}"
