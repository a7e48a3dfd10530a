"""The progress bar and the summary of a run."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rfp_jax.tables._evaluate.journal import Counts


class Progress:
    """A bar with samples per second, time left and failures; nothing where it is not wanted.

    Args:
        total: samples that this process is responsible for.
        done: what an earlier run has counted in chunks that need not be done again.
        shown: whether to show anything.
    """

    def __init__(self, total: int, done: Counts, *, shown: bool):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.console = Console(stderr=True, quiet=not shown)
        self._counts = dict(done)
        self._bar = Bar(
            TextColumn("relevance"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[trouble]}"),
            console=self.console,
            disable=not shown,
        )
        self._start = done["samples"]
        self._task = self._bar.add_task("", total=total, completed=self._start, rate="", trouble="")
        self.advance(nothing())

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def failures(self) -> int:
        """Return how many samples have failed."""
        return self._counts["failures"]

    def advance(self, counts: Counts) -> None:
        """Count what has just been computed."""
        self._counts = add(self._counts, counts)
        samples, seconds = self._counts["samples"], self._bar.tasks[0].elapsed
        rate = f"{(samples - self._start) / seconds:.1f} samples/s" if seconds else ""
        trouble = [
            f"{self._counts[what]} {words}"
            for what, words in (("failures", "failed"), ("nonfinite", "not finite"))
            if self._counts[what]
        ]
        text = f"[red]{', '.join(trouble)}[/red]" if trouble else ""
        self._bar.update(self._task, completed=samples, rate=rate, trouble=text)


def say(damaged: Sequence[str], *, shown: bool) -> None:
    """Say which files of a table are damaged and computed anew."""
    from rich.console import Console
    from rich.text import Text

    for file in damaged if shown else ():
        Console(stderr=True).print(Text(f"{file}: computed anew", style="yellow"))


def nothing() -> Counts:
    """The counts before anything is done."""
    return {"samples": 0, "failures": 0, "nonfinite": 0}


def add(counts: Counts, more: Counts) -> Counts:
    """Add what was counted in two places."""
    return {key: counts[key] + more[key] for key in counts}
