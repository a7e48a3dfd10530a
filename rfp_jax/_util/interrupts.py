"""Moments in which Ctrl-C must wait: a folder is there, nobody knows yet that it must go again."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back in a block, until it is let through.

    In another thread than the main one, which Ctrl-C does not reach, nothing is held back.

    Yields:
        A function that lets Ctrl-C through from then on, and raises what came meanwhile. What came
        and was not let through is raised at the end of the block.

    Examples:
        >>> with held_back() as let_through:
        ...     made = "a folder, and what removes it"
        ...     let_through()
        >>> made
        'a folder, and what removes it'
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))

    def let_through() -> None:
        signal.signal(signal.SIGINT, before)
        if came:
            came.clear()
            signal.raise_signal(signal.SIGINT)

    try:
        yield let_through
    finally:
        let_through()
