"""A compiled batch: one on every device, parameters on all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from rfp_jax._util.compiler import options_for
from rfp_jax._util.trees import Device, Devices, Tree
from rfp_jax.tables._evaluate.samples import Schema

LARGEST_BATCH = {"cpu": 32, "gpu": 256, "tpu": 256}
"""No larger batch is chosen by itself, by platform.

On a CPU small batches stay in its caches (`python -m benchmarks --only batch`): relevance of
SmallNet took 0.26 ms an image in batches of 16, 0.21 in batches of 64, and 0.29 in batches of 256.
"""

CPU_MEMORY = 1 << 30
"""The memory budget in bytes where the device does not say how much it has."""

IN_FLIGHT = 2
"""So many batches are on a device at once: one is computed while the next is transferred."""


@dataclass(frozen=True)
class CompiledBatch:
    """Computes relevance and output of one batch a device.

    Attributes:
        run: the compiled function of (parameters, inputs).
        params: the parameters, on every device.
        sharding: where a batch goes: cut along its first axis, one piece a device.
        batch: samples that one device computes at once.
        bytes: memory that one device needs, by XLA's analysis.
    """

    run: Callable[..., Tree]
    params: Tree
    sharding: NamedSharding
    batch: int
    bytes: int

    @property
    def samples(self) -> int:
        """Return how many samples all devices compute at once."""
        return self.batch * self.sharding.mesh.size

    def __call__(self, inputs: Sequence[np.ndarray]) -> Tree:
        """Start a batch; the result is there when it is read.

        The arrays go to the compiled function as they are: it puts them where they belong in half
        the time that `jax.device_put` takes, which a small network would notice.
        """
        return self.run(self.params, *inputs)


def compile_batch(
    fun: Callable[..., Tree],
    params: Tree,
    schema: Schema,
    batch: int,
    devices: Devices,
) -> CompiledBatch:
    """Compile `fun(params, *inputs)` for a batch on each device.

    Every device runs the program of one batch (`shard_map`), so a sample's result does not depend
    on how many devices there are.

    Args:
        fun: maps parameters and a batch of inputs to arrays with the batch as first axis.
        params: a tree of arrays.
        schema: shapes and dtypes of one sample's inputs.
        batch: samples per device.
        devices: devices of this process.

    Returns:
        The compiled batch, with the parameters already in place.
    """
    mesh = jax.make_mesh((len(devices),), ("batch",), (AxisType.Auto,), devices=tuple(devices))
    everywhere, pieces = NamedSharding(mesh, P()), NamedSharding(mesh, P("batch"))
    specs = (P(), *(P("batch") for _ in schema.arrays))
    # a model may start a scan from zeros, which the check would take for a mistake
    mapped = jax.shard_map(fun, mesh=mesh, in_specs=specs, out_specs=P("batch"), check_vma=False)
    shapes = batched(schema, batch * mesh.size)
    run = jax.jit(mapped, in_shardings=(everywhere, *(pieces for _ in shapes)))
    traced = run.trace(params, *shapes)
    compiled = traced.lower().compile(options_for(traced.jaxpr, devices[0].platform))
    placed = jax.device_put(params, everywhere)
    return CompiledBatch(compiled, placed, pieces, batch, _bytes(compiled, params))


def compile_largest(
    fun: Callable[..., Tree],
    params: Tree,
    schema: Schema,
    devices: Devices,
    *,
    max_bytes: int | None,
    largest: int,
) -> CompiledBatch:
    """Compile for the largest batch, a power of two, that a memory budget allows.

    XLA tells for a compiled batch what it needs; all but the parameters grows with the batch.

    Args:
        fun: see `compile_batch`.
        params: see `compile_batch`.
        schema: see `compile_batch`.
        devices: see `compile_batch`.
        max_bytes: memory of each device to use; None for three quarters of what the device has
            free, or 1 GiB where it does not say.
        largest: the largest batch of use.

    Returns:
        The compiled batch.

    Raises:
        ValueError: if not even one sample fits.
    """
    budget = _free(devices[0]) if max_bytes is None else max_bytes
    compiled = compile_batch(fun, params, schema, min(8, largest), devices)
    fixed = _size(params)
    per_sample = max((compiled.bytes - fixed) / compiled.batch, 1)
    batch = 1 << max(int(math.log2(max((budget - fixed) / per_sample, 1))), 0)
    while True:
        batch = min(batch, largest)
        if compiled.batch != batch:
            compiled = compile_batch(fun, params, schema, batch, devices)
        if compiled.bytes <= budget:
            return compiled
        if batch == 1:
            raise ValueError(
                f"one sample needs {compiled.bytes / 2**20:.0f} MiB on a device, the memory budget "
                f"is {budget / 2**20:.0f} MiB: give a larger one (max_bytes=...)"
            )
        batch //= 2


def batched(schema: Schema, batch: int) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of a batch of inputs."""
    return tuple(jax.ShapeDtypeStruct((batch, *x.shape), x.dtype) for x in schema.arrays)


def _bytes(compiled: jax.stages.Compiled, params: Tree) -> int:
    need, fixed = compiled.memory_analysis(), _size(params)
    if need is None:  # some back ends do not tell
        return fixed
    moving = need.argument_size_in_bytes - fixed + need.output_size_in_bytes
    return fixed + need.temp_size_in_bytes + IN_FLIGHT * moving


def _size(params: Tree) -> int:
    return sum(np.dtype(x.dtype).itemsize * math.prod(x.shape) for x in jax.tree.leaves(params))


def _free(device: Device) -> int:
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return CPU_MEMORY
    return (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) * 3 // 4
