"""Measure the growth of relevance's cost: with sources, outputs, batch and image size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

import rfp_jax
from benchmarks.speed import timing, workloads
from benchmarks.speed.program import build
from benchmarks.speed.workloads import Workload

BANDS = 64
"""Channels of the input that is divided into more and more sources."""

SIDE = 64
"""Pixels a side of the image that is divided into more and more squares."""


@dataclass(frozen=True)
class Point:
    """One size.

    Attributes:
        size: how many sources, outputs, samples or pixels a side.
        forward: median seconds of a forward pass, compiled in the faster of both ways.
        relevance: median seconds of a relevance pass.
        ratio: median of relevance over forward in the same round.
        flops: the same ratio in XLA's count of operations; NaN where the program is a loop.
    """

    size: int
    forward: float
    relevance: float
    ratio: float
    flops: float


def sources() -> Iterator[tuple[int, Workload, Any]]:
    """Groups of the bands of one array, pushed through a ResNet-50."""
    shape = (2, 64, 64, BANDS)
    work = workloads.make("ResNet-50 of many bands", workloads.ResNet50(), (shape,))
    count = 1
    while count <= BANDS:
        size = BANDS // count
        groups = {str(i): slice(i * size, (i + 1) * size) for i in range(count)}
        yield count, work, rfp_jax.sources.groups(groups)
        count *= 4


def superpixels() -> Iterator[tuple[int, Workload, Any]]:
    """Squares of one image's pixels, pushed through SmallNet."""
    work = workloads.make("SmallNet of one image", workloads.SmallNet(), ((1, SIDE, SIDE, 1),))
    for across in (4, 8, 16, 32):
        yield across**2, work, rfp_jax.sources.segments(squares(SIDE, across))


def squares(side: int, across: int) -> np.ndarray:
    """Ids of the squares of a square image, so many of them in a row.

    Args:
        side: pixels of the image.
        across: squares in a row; it divides the side.

    Returns:
        Ids from 0, [1, side, side, 1].
    """
    place = np.arange(side) // (side // across)
    return (place[:, None] * across + place)[None, :, :, None]


def whole(points: Iterator[tuple[int, Workload]]) -> Iterator[tuple[int, Workload, Any]]:
    """Workloads whose sources are not divided."""
    return ((size, work, None) for size, work in points)


SCALINGS: Mapping[str, Callable[[], Iterator[tuple[int, Workload, Any]]]] = {
    "sources": sources,
    "superpixels": superpixels,
    "outputs": lambda: whole(workloads.classes()),
    "batch": lambda: whole(workloads.batches()),
    "pixels a side": lambda: whole(workloads.sides()),
}
"""The quantity that is varied."""

SUBJECTS = {
    "sources": "groups of 64 bands, ResNet-50, 2 x 64 x 64",
    "superpixels": f"squares of {SIDE} x {SIDE} pixels, SmallNet, one image",
    "outputs": "ResNet-50, 2 x 128 x 128",
    "batch": "SmallNet",
    "pixels a side": "ResNet-50, one image",
}
"""On what."""


def scale(
    along: str, *, rounds: int, seconds: float, tick: Callable[[], object] = lambda: None
) -> list[Point]:
    """Measure the cost of relevance along one of `SCALINGS`; all sizes take turns."""
    runs, flops = {}, {}
    for size, work, split in SCALINGS[along]():

        def relevance(*arguments: Any, work: Workload = work, split: Any = split) -> Any:
            places = work.argnums if split is None else 1
            rel = rfp_jax.relevance(work.fun, places, split=split)(*arguments)
            return rel.output, jnp.stack([*_leaves(rel.sources)])

        forward, suited = (build(work.fun, work.arguments, suited=s) for s in (False, True))
        explained = build(relevance, work.arguments, suited=True)
        ways = {"forward": forward, "forward, suited": suited, "relevance": explained}
        for name, program in ways.items():
            program()
            runs[f"{name}/{size}"] = program
        flops[size] = explained.cost.flops / forward.cost.flops
    times = timing.interleave(runs, rounds=rounds, seconds=seconds, tick=tick)
    points = []
    for size, counted in flops.items():
        both = (times[f"forward/{size}"], times[f"forward, suited/{size}"])
        unit, taken = min(both, key=np.median), times[f"relevance/{size}"]
        shared = min(len(unit), len(taken))
        ratio = float(np.median(taken[:shared] / unit[:shared]))
        points.append(Point(size, float(np.median(unit)), float(np.median(taken)), ratio, counted))
    return points


def _leaves(found: Any) -> Any:
    return found.values() if isinstance(found, dict) else found
