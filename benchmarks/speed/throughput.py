"""Samples, pixels and images a second: from disk to disk, beside relevance in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rfp_jax
from benchmarks.speed import workloads
from benchmarks.speed.timing import interleave
from benchmarks.speed.unet import CLASSES, kernels, unet
from benchmarks.speed.workloads import Workload
from rfp_jax.tables import Places, RunOptions, evaluate

SOURCES = ("optical", "radar")


@dataclass(frozen=True)
class Rate:
    """One way from disk to disk.

    Attributes:
        name: what is done to what.
        unit: what is counted.
        memory: of them a second, if relevance is computed in memory and thrown away.
        disk: of them a second, read, explained, committed; without starting and compiling.
    """

    name: str
    unit: str
    memory: float
    disk: float


def further(
    fun: Callable[..., Any],
    params: Any,
    samples: Sequence[Mapping[str, np.ndarray]],
    *,
    classes: int,
    batch: int,
    rounds: int,
    tables: Mapping[str, Places | None],
) -> dict[str, float]:
    """Time all samples but the first batch: relevance in memory, and tables of `evaluate`.

    Tracing, compiling and hashing are in a table of few samples as in one of all; the difference of
    both is the time of further samples.

    Args:
        fun: a network of two sources.
        params: its parameters.
        samples: each has `SOURCES` and a label.
        classes: how many outputs there are.
        batch: samples in a batch.
        rounds: how many turns each gets; the quickest counts.
        tables: by a name, how outputs lie; None if there is one for each class.

    Returns:
        Seconds, by the names of the tables and under "memory".
    """
    explain = rfp_jax.jit(rfp_jax.relevance(fun, argnums=(1, 2)))
    batches = [samples[i : i + batch] for i in range(batch, len(samples), batch)]
    stacked = [[jnp.stack([s[name] for s in each]) for name in SOURCES] for each in batches]
    device = jax.devices()[:1]

    def memory() -> None:
        for inputs in stacked:
            jax.block_until_ready(explain(params, *inputs))

    def table(data: Sequence[Mapping[str, np.ndarray]], places: Places | None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            evaluate(
                fun,
                data,
                f"{folder}/table.zarr",
                params=params,
                sources=SOURCES,
                classes=[str(k) for k in range(classes)],
                places=places,
                run=RunOptions(batch=batch, devices=device, progress=False),
            )

    runs: dict[str, Callable[[], None]] = {"memory": memory}
    for name, places in tables.items():
        runs[f"few, {name}"] = lambda places=places: table(samples[:batch], places)
        runs[f"many, {name}"] = lambda places=places: table(samples, places)
    memory()
    times = interleave(runs, rounds=rounds, seconds=1.0)
    best = {name: float(np.min(taken)) for name, taken in times.items()}
    taken = {name: best[f"many, {name}"] - best[f"few, {name}"] for name in tables}
    return {"memory": best["memory"], **taken}


def rates(
    *, rounds: int, samples: int = 2048, images: int = 24, side: int = 256, scene: int = 1024
) -> list[Rate]:
    """Measure `evaluate` on samples and on images with an output a pixel, and a scene.

    Args:
        rounds: how many turns each gets.
        samples: how many samples of SmallNet; several batches.
        images: how many images of the U-Net.
        side: their pixels a side, and those of a scene's tiles.
        scene: pixels a side of the scene.

    Returns:
        The rates.
    """
    from benchmarks.maps import tiles

    batch = 32
    work = workloads.smallnet(samples)
    of_classes = _labeled(work, np.arange(samples) % 10)
    found = []
    few = min(batch, samples // 2)
    options: dict[str, Any] = {"rounds": rounds, "tables": {"table": None}}
    taken = further(work.fun, work.variables, of_classes, classes=10, batch=few, **options)
    name = "evaluate, SmallNet"
    found.append(_rate(name, "samples", samples - few, taken["memory"], taken["table"]))
    work = workloads.unet(images, side)
    labels = np.zeros((images, side, side), np.uint8)
    options["tables"] = {"table": Places()}
    every = _labeled(work, labels)
    taken = further(unet, kernels(12), every, classes=CLASSES, batch=2, **options)
    name = f"evaluate, U-Net, {side} x {side}"
    found.append(_rate(name, "images", images - 2, taken["memory"], taken["table"]))
    both = tiles(scene, side, rounds)
    pixels = scene**2 * (both.count - 1) / both.count
    memory = both.further * both.speed  # of as many windows
    found.append(_rate(f"maps, U-Net, tiles of {side}", "pixels", pixels, memory, both.further))
    return found


def _rate(name: str, unit: str, count: float, memory: float, disk: float) -> Rate:
    return Rate(name, unit, count / memory, count / disk)


def _labeled(work: Workload, labels: np.ndarray) -> list[dict[str, np.ndarray]]:
    """The workload's batch as samples with labels."""
    columns = [np.asarray(x) for x in work.sources]
    return [
        {**dict(zip(SOURCES, parts, strict=True)), "label": label}
        for *parts, label in zip(*columns, labels, strict=True)
    ]
