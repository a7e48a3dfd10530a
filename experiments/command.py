"""Parts common to the experiments' commands: how they end, and how they write files."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rfp_jax._util.files import atomic_files
from rfp_jax._util.programs import keep_programs as keep_programs  # noqa: PLC0414

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended: 128 and the number of the signal."""


@contextmanager
def lazy_imports(extra: str = "experiments") -> Iterator[None]:
    """Put an experiment's imports into this: they take seconds, and Ctrl-C may come even then.

    Args:
        extra: the extra of this project that brings the packages.

    Yields:
        Nothing.

    Raises:
        SystemExit: with one line that names the extra, if a package is not installed; with code
            130, on Ctrl-C.

    Examples:
        >>> with lazy_imports():
        ...     import optax
    """
    try:
        from rfp_jax._util.extras import MissingExtraError, needs_extra

        try:
            with needs_extra("This experiment", extra):
                yield
        except MissingExtraError as error:
            raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        _say_interrupted()
        raise SystemExit(INTERRUPTED) from None


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Put an experiment's work into this: Ctrl-C ends the process with one line and code 130.

    Yields:
        Nothing.

    Examples:
        >>> with exit_on_interrupt():
        ...     print("work")
        work
    """
    try:
        yield
    except KeyboardInterrupt:
        _say_interrupted()
        # At once: XLA's threads may be computing still, and crash if Python cleans up around them.
        os._exit(INTERRUPTED)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Put into this what fails where the input is bad: the error is printed without a traceback.

    Yields:
        Nothing.

    Raises:
        SystemExit: with code 1 and the message of a `ValueError` or an `OSError`, or one that names
            the extra, if a package that is imported here is not installed.

    Examples:
        >>> with exit_on_error():
        ...     raise ValueError("fractions lie in [0, 1]")
        Traceback (most recent call last):
        SystemExit: error: fractions lie in [0, 1]
    """
    from rfp_jax._util.extras import MissingExtraError, needs_extra

    try:
        with needs_extra("This experiment", "experiments"):
            yield
    except (ValueError, OSError, MissingExtraError) as error:
        raise SystemExit(f"error: {error}") from error


def bar(console: "Console") -> "Progress":
    """Make a bar that counts batches.

    Args:
        console: where it is shown.

    Returns:
        The bar, a context.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("batches"),
        TimeElapsedColumn(),
        console=console,
    )


def _say_interrupted() -> None:
    sys.stdout.flush()
    print("\nInterrupted: nothing half written is left behind.", file=sys.stderr, flush=True)


@contextmanager
def atomic_outputs(folder: Path) -> Iterator[Path]:
    """Collect files out of sight and move them to their folder when all of them are complete.

    Args:
        folder: where the files shall be in the end; made if missing. Files of other names stay.

    Yields:
        An empty folder to write files into. If the block fails it is removed, with all in it.

    Raises:
        SystemExit: with code 1 if the folder cannot be written to.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "results")
        >>> with atomic_outputs(folder) as temporary:
        ...     _ = (temporary / "summary.json").write_text("{}")
        >>> [path.name for path in folder.iterdir()]
        ['summary.json']
    """
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(atomic_files(folder))
        except OSError as error:
            raise SystemExit(
                f"Cannot write to the folder {str(folder)!r}: {error.strerror}. "
                "Choose another: --out"
            ) from error
        yield temporary
