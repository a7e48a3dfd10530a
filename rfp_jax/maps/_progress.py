"""Progress of a run, shown on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(
    total: int, done: int, announcement: str, *, shown: bool
) -> Iterator[Callable[[float], None]]:
    """Show what will be written, then a bar of pixels; yields a function that counts pixels.

    Args:
        total: pixels of the map that this process computes, and those that are done.
        done: pixels that an earlier run has committed.
        announcement: what will be written.
        shown: whether to show anything.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=not shown)
    console.print(announcement, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("relevance"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} pixels"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not shown) as bar:
        task = bar.add_task("", total=total, completed=done, rate="")
        start = done

        def advance(pixels: float) -> None:
            seconds, counted = bar.tasks[0].elapsed or 0.0, bar.tasks[0].completed + pixels - start
            rate = f"{counted / seconds:,.0f} pixels/s" if seconds else ""
            bar.update(task, advance=pixels, rate=rate)

        yield advance
