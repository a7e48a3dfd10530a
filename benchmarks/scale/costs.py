"""Costs of relevance on large jobs: measured on something small, and multiplied."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import numpy as np

from benchmarks.compile import transformer
from benchmarks.speed import timing, workloads
from benchmarks.speed.program import build

DEVICES = (1, 8, 256)


@dataclass(frozen=True)
class Measured:
    """One relevance pass on this machine, of a batch.

    Attributes:
        items: patches, pixels or tokens in it.
        seconds: that it takes.
        flops: operations, counted by XLA.
        times_forward: operations relative to the forward pass.
        memory: bytes at its peak, weights included.
        read: bytes of its inputs.
        written: bytes of what is kept of it, an output, the bias and a part for each source.
    """

    items: int
    seconds: float
    flops: float
    times_forward: float
    memory: int
    read: int
    written: int


@dataclass(frozen=True)
class Job:
    """A large job.

    Attributes:
        name: what it is called.
        unit: what is counted.
        items: how many there are.
        measure: measures a batch of it.
        parameters: of the network that is meant, if it is not the one that is measured; its
            operations are 2 a parameter and token, and its weights are split among devices.
        width: of an activation of that network.
        batch: items that a device computes at once, if not as many as are measured.
    """

    name: str
    unit: str
    items: int
    measure: Callable[[], Measured]
    parameters: float = 0
    width: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Estimate:
    """A job on a number of devices like this machine.

    Attributes:
        devices: how many.
        memory: bytes of each device.
        moved: bytes that each device reads, writes and exchanges.
        hours: that it takes.
    """

    devices: int
    memory: float
    moved: float
    hours: float


def measured(work: workloads.Workload, items: int, turns: int = 5) -> Measured:
    """Measure a batch of a workload.

    Args:
        work: the workload.
        items: how many it counts for.
        turns: how often it is timed.

    Returns:
        The measurement.
    """
    program = build(work.explain(), work.arguments, suited=True)
    forward = build(work.fun, work.arguments)
    rel = program()
    taken = timing.interleave({"relevance": program}, rounds=turns, seconds=20)["relevance"]
    return Measured(
        items,
        float(np.median(taken)),
        program.cost.flops,
        program.cost.flops / forward.cost.flops,
        program.cost.memory,
        sum(x.nbytes for x in work.sources),
        sum(leaf.nbytes for leaf in jax.tree.leaves(rel)),
    )


def patches(batch: int = 4, side: int = 256) -> Measured:
    """ResNet-50 on patches of SEN12MS: ten optical and two SAR bands."""
    return measured(workloads.resnet50(batch, side), batch)


def pixels(side: int = 256) -> Measured:
    """A U-Net, both sources of every pixel, all classes."""
    return measured(workloads.unet(1, side), side * side)


def tokens(layers: int = 4, width: int = 256, length: int = 128) -> Measured:
    """A transformer on two sequences of tokens, two sources."""
    case = transformer(layers, as_scan=False, width=width, tokens=length)
    keys = iter(jax.random.split(jax.random.key(0), 8))
    weights, *sources = jax.tree.map(
        lambda s: jax.random.normal(next(keys), s.shape) / np.sqrt(width), case.arguments
    )
    work = workloads.Workload("transformer", case.fun, weights, tuple(sources))
    return measured(work, sum(x.shape[0] * x.shape[1] for x in sources))


JOBS: Mapping[str, Job] = {
    "sen12ms": Job("SEN12MS, ResNet-50", "patches", 180_662, patches),
    "mosaic": Job("national Sentinel mosaic, U-Net", "pixels", 10**11, pixels),
    "llm": Job("transformer of 7e9 parameters", "tokens", 10**9, tokens, 7e9, 4096, 16_384),
}


def estimate(job: Job, found: Measured, devices: int, flops: float | None = None) -> Estimate:
    """Multiply what was measured.

    Args:
        job: the job.
        found: a batch of it, measured.
        devices: how many.
        flops: operations a second that a device sustains; by default those measured here.

    Returns:
        The estimate. Data are split evenly, nothing waits. Weights that are split are gathered by
        each device once a batch, as for a forward pass (`tests/transforms/test_accelerators.py`
        counts it).
    """
    share = math.ceil(job.items / devices)
    sustained = found.flops / found.seconds if flops is None else flops
    if not job.parameters:
        seconds = share / found.items * found.flops / sustained
        moved = share / found.items * (found.read + found.written)
        return Estimate(devices, found.memory, moved, seconds / 3600)
    half = 2  # bytes of a bfloat16
    weights = half * job.parameters
    batch = job.batch or found.items
    activations = half * batch * job.width * (1 + 2) * 8  # itself, two sources; some alive
    seconds = share * 2 * job.parameters * found.times_forward / sustained
    exchanged = share / batch * weights * (devices - 1) / devices
    moved = share * half * job.width + exchanged
    return Estimate(devices, weights / devices + activations, moved, seconds / 3600)
