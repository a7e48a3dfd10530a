"""Find where going back is cheaper than going forward: `python -m benchmarks.direction`.

Forward costs a pass per source, for all outputs; back costs a pass per output, for all sources. A
ResNet-50 on groups of the bands of one image, and a causal transformer whose tokens are in groups.
All ways take turns; times in the best forward pass.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import linen as nn
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import rfp_jax
from benchmarks.names import unknown
from benchmarks.speed import timing, workloads
from benchmarks.speed.program import build
from rfp_jax.models import ResNet50

Maker = Callable[[int, int], tuple[workloads.Workload, int]]
"""Makes a network of so many sources and outputs, and tells the axis of the sources."""

EXTENT = 64
"""Bands of the image, and tokens of the sequence: the most sources."""


@dataclass(frozen=True)
class Crossing:
    """Times of both directions, in forward passes.

    Attributes:
        sources: how many.
        outputs: how many are explained.
        forward: of relevance going forward.
        back: of as many passes back as there are outputs.
    """

    sources: int
    outputs: int
    forward: float
    back: float


def bands(sources: int, classes: int) -> tuple[workloads.Workload, int]:
    """ResNet-50 on 64 bands."""
    name, shape = f"ResNet-50, {classes} classes", (2, 64, 64, EXTENT)
    return workloads.make(name, ResNet50(classes), (shape,)), -1


def tokens(sources: int, classes: int) -> tuple[workloads.Workload, int]:
    """A causal transformer on 64 tokens."""
    network: nn.Module = workloads.CausalTransformer(classes=classes)
    name, shape = f"causal transformer, {classes} classes", (2, EXTENT, 64)
    return workloads.make(name, network, (shape,), piecewise_linear=False), 1


NETWORKS: dict[str, Maker] = {"ResNet-50": bands, "causal transformer": tokens}


def directions(
    work: workloads.Workload, axis: int, sources: int
) -> dict[str, Callable[[], object]]:
    """Programs of the forward pass, and of the relevance of all outputs in both directions.

    Args:
        work: a network of one source.
        axis: of it, cut into groups.
        sources: how many groups.

    Returns:
        By "unit", "unit, suited", "forward" and "back".
    """
    length = work.sources[0].shape[axis] // sources
    slices = {str(i): slice(i * length, (i + 1) * length) for i in range(sources)}
    split = rfp_jax.sources.groups(slices, axis)

    def forward(*arguments: Any) -> jax.Array:
        found = rfp_jax.relevance(work.fun, 1, split=split)(*arguments).sources
        return jnp.stack([found[name] for name in slices])

    def back(*arguments: Any) -> jax.Array:
        (heats,) = rfp_jax.heatmap(work.fun, (1,), outputs="all")(*arguments)
        by_group = jnp.moveaxis(heats, axis % (heats.ndim - 1) + 1, 0)
        summed = by_group.reshape(sources, length, *by_group.shape[1:])
        return jnp.moveaxis(summed.sum((1, *range(4, summed.ndim))), 1, -1)

    ways = {"unit": work.fun, "forward": forward, "back": back}
    programs = {n: build(f, work.arguments, suited=n != "unit") for n, f in ways.items()}
    programs["unit, suited"] = build(work.fun, work.arguments, suited=True)
    found = {name: np.asarray(programs[name]()) for name in ("forward", "back")}
    scale = np.abs(found["back"]).max()
    np.testing.assert_allclose(found["forward"] / scale, found["back"] / scale, atol=1e-3)
    return dict(programs)


def crossings(
    make: Maker, sources: tuple[int, ...], outputs: tuple[int, ...], rounds: int
) -> Iterator[Crossing]:
    """Time both directions for each number of sources and outputs."""
    for count in sources:
        for classes in outputs:
            work, axis = make(count, classes)
            programs = directions(work, axis, count)
            for program in programs.values():
                program()
            times = timing.interleave(programs, rounds=rounds, seconds=20)
            unit = min((times["unit"], times["unit, suited"]), key=np.median)
            ratios = [float(np.median(timing.ratios(times[w], unit))) for w in ("forward", "back")]
            yield Crossing(count, classes, *ratios)


def main(
    sources: tuple[int, ...] = (2, 4, 16, 64),
    outputs: tuple[int, ...] = (1, 4, 16, 64),
    only: tuple[str, ...] = tuple(NETWORKS),
    rounds: int = 7,
) -> int:
    """Print a table for each network: forward passes that each direction takes.

    Args:
        sources: numbers of sources; each divides 64.
        outputs: numbers of outputs.
        only: which networks.
        rounds: turns of each way.

    Returns:
        The exit code: 2 if there is no such network.
    """
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if wrong := unknown(only, NETWORKS):
        console.print(wrong)
        return 2
    for name in only:
        table = Table(title=f"{name}: forwards / back", title_justify="left", box=MARKDOWN)
        table.add_column("sources", justify="right")
        for count in outputs:
            table.add_column(f"{count} outputs", justify="right")
        cells: dict[int, list[str]] = {}
        for each in crossings(NETWORKS[name], sources, outputs, rounds):
            cells.setdefault(each.sources, []).append(f"{each.forward:.2f} / {each.back:.2f}")
        for count, row in cells.items():
            table.add_row(str(count), *row)
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
