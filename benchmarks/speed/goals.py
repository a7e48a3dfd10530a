"""Goals, and whether they were reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.speed.measure import Result
from benchmarks.speed.scaling import Point


@dataclass(frozen=True)
class Goal:
    """One number.

    Attributes:
        what: what is measured.
        limit: what it should be.
        found: what it is.
        at_least: whether it should be at least the limit, rather than at most.
    """

    what: str
    limit: float
    found: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Return whether the number is on the right side of its limit."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"

    @property
    def verdict(self) -> str:
        """Return whether it is reached, in words."""
        return "reached" if self.reached else "NOT reached"


def goals(results: Mapping[str, Result], growths: Mapping[str, Sequence[Point]]) -> Iterator[Goal]:
    """All goals that the results tell something about.

    Args:
        results: by the workload's name on the command line.
        growths: by what was varied.
    """
    results = {name: result for name, result in results.items() if not result.failures}
    for name, limit in (("smallnet-64", 2.2), ("smallnet-500", 2.2), ("resnet50", 2.6)):
        if result := results.get(name):
            ours = _way(result, "relevance")
            for forward in dict.fromkeys(("forward", _way(result, "forward"))):
                ratio = result.ratio(ours) / result.ratio(forward)
                yield Goal(f"{result.workload}: {ours} / {forward}", limit, ratio)
    if {"smallnet-64", "smallnet-500"} <= results.keys():
        small, large = results["smallnet-64"], results["smallnet-500"]
        forward = _way(large, "forward")
        ratio = _seconds(large, forward) / large.batch / (_seconds(small, "forward") / small.batch)
        yield Goal(f"SmallNet: {forward}, an image, batch 500 / batch 64", 1.0, ratio)
    for peer, name, limit in (
        ("Captum LRP of all outputs", "smallnet-64", 12),
        ("Captum LRP of all outputs", "resnet50", 8),
        ("authors' RFP in PyTorch", "smallnet-64", 2),
        ("authors' RFP in PyTorch", "resnet50", 2),
        ("vmap of jax.jvp", "smallnet-64", 2),
    ):
        if (result := results.get(name)) and peer in {line.name for line in result.lines}:
            faster = result.ratio(peer) / result.ratio("relevance")
            yield Goal(f"{result.workload}: {peer} / relevance", limit, faster, at_least=True)
    if result := results.get("resnet50"):
        unit, ours = result.line("forward").cost, result.line("relevance").cost
        assert unit
        assert ours
        compilation = ours.compile_seconds / unit.compile_seconds
        yield Goal(f"{result.workload}: compilation / the forward's", 3, compilation)
        yield Goal(f"{result.workload}: memory / the forward's", 3, ours.memory / unit.memory)
    if points := growths.get("sources"):
        first, last = points[0], points[-1]
        slope = (last.ratio - first.ratio) / (last.size - first.size)
        yield Goal("ResNet-50: forward passes for each further source", 1.0, slope)
    if points := growths.get("outputs"):
        first, last = points[0], points[-1]
        what = f"ResNet-50: {last.size} outputs / {first.size} outputs"
        yield Goal(what, 1.02, last.relevance / first.relevance)


def _way(result: Result, name: str) -> str:
    """The way to go that the documentation tells: in pieces, where that was measured."""
    pieces = (line.name for line in result.lines if line.name.startswith(f"{name}, in pieces"))
    return next(pieces, name)


def _seconds(result: Result, name: str) -> float:
    return float(np.median(result.line(name).seconds))
