"""Times of several functions, taken in turn, so that whatever the machine does meets all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

TURN = 0.05
"""Seconds that a turn should last at least: quick functions run several times in it."""

FEW = 3
"""Turns of a function of which one takes longer than its share of the budget; one turn if it takes
longer than all of it."""


def interleave(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float,
    tick: Callable[[], object] = lambda: None,
) -> dict[str, np.ndarray]:
    """Run A B C A B C ..., and time each.

    Args:
        runs: the functions, each of which returns when its work is done; run once already.
        rounds: how many turns each gets, if the time suffices.
        seconds: the budget. A function that would use more than its share gets `FEW` turns, and
            one that would use all of it a single turn.
        tick: called after every round.

    Returns:
        For each function its seconds a run, one entry a turn; turn i of all lies in round i.
    """
    repeats: dict[str, int] = {}
    turns: dict[str, int] = {}
    times: dict[str, list[float]] = {}
    for name, run in runs.items():  # the first round, in which it shows who is slow
        once = _time(run, 1)
        repeats[name] = max(1, round(TURN / once))
        times[name] = [once if repeats[name] == 1 else _time(run, repeats[name])]
        affordable = seconds / len(runs) / (once * repeats[name])
        turns[name] = 1 if once > seconds else int(np.clip(affordable, FEW, rounds))
    for turn in range(1, max(turns.values())):
        for name, run in runs.items():
            if turn < turns[name]:
                times[name].append(_time(run, repeats[name]))
        tick()
    return {name: np.array(taken) for name, taken in times.items()}


def ratios(times: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Times as multiples of the unit's in the same round."""
    return times[: len(unit)] / unit[: len(times)]


def _time(run: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats
