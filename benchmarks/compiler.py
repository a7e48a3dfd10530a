"""`rfp_jax.jit` and the step of `tables.evaluate` beside plain `jax.jit`, in every dtype.

    python -m benchmarks.compiler

All take turns; the quickest turn of each, which other work on the machine disturbs least, is given
as a multiple of plain `jax.jit`'s.
"""

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import linen as nn

import rfp_jax
from benchmarks.speed import timing
from rfp_jax.models import ResNet50, SmallNet
from rfp_jax.tables._evaluate import devices
from rfp_jax.tables._evaluate.samples import Schema


class Dense(nn.Module):
    """Two sources, three dense layers, no convolution."""

    width: int = 512

    @nn.compact
    def __call__(self, left: jax.Array, right: jax.Array) -> jax.Array:
        """Logits [batch, 10]."""
        x = jnp.concatenate([nn.Dense(self.width)(left), nn.Dense(self.width)(right)], -1)
        return nn.Dense(10)(nn.relu(nn.Dense(self.width)(nn.relu(x))))


NETWORKS: dict[str, tuple[nn.Module, tuple[tuple[int, ...], ...]]] = {
    "SmallNet": (SmallNet(), ((16, 28, 14, 1), (16, 28, 14, 1))),
    "dense, 512 wide": (Dense(), ((64, 784), (64, 784))),
    "dense, 16 wide": (Dense(16), ((32, 8), (32, 8))),  # what it costs to start anything
    "ResNet-50, 64 px": (ResNet50(), ((2, 64, 64, 10), (2, 64, 64, 2))),
}


def contestants(name: str, dtype: str) -> dict[str, Callable[[], Any]]:
    """Relevance of a network in a dtype, compiled in three ways."""
    network, shapes = NETWORKS[name]
    rng = np.random.default_rng(0)
    inputs = [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    variables = jax.tree.map(
        lambda leaf: leaf.astype(dtype), network.init(jax.random.key(0), *inputs)
    )

    def explain(variables: Any, *inputs: Any) -> Any:
        return rfp_jax.relevance(network.apply, (1, 2))(variables, *inputs)

    samples = tuple(jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in inputs)
    batch = shapes[0][0]
    step = devices.compile_batch(
        explain, variables, Schema(samples, None, {}), batch, jax.devices()[:1]
    )
    arrays = [np.asarray(x) for x in inputs]
    plain, ours = jax.jit(explain), rfp_jax.jit(explain)
    return {
        "jax.jit": lambda: jax.block_until_ready(plain(variables, *arrays)),
        "rfp_jax.jit": lambda: jax.block_until_ready(ours(variables, *arrays)),
        "evaluate": lambda: jax.block_until_ready(step(arrays)),
    }


def main(rounds: int = 20, networks: tuple[str, ...] = tuple(NETWORKS)) -> None:
    """Time all three in float64, float32, bfloat16 and float16 and print a table.

    Args:
        rounds: How many turns each gets.
        networks: Which ones.
    """
    _say("network", "dtype", "jax.jit, ms", "rfp_jax.jit", "evaluate")
    _say("---", "---", "---:", "---:", "---:")
    for name in networks:
        for dtype in ("float64", "float32", "bfloat16", "float16"):
            with jax.enable_x64(dtype == "float64"):
                programs = contestants(name, dtype)
                for program in programs.values():
                    program()
                times = timing.interleave(programs, rounds=rounds, seconds=6)
            quickest = {each: taken.min() for each, taken in times.items()}
            unit = quickest.pop("jax.jit")
            ratios = [f"{taken / unit:.2f}" for taken in quickest.values()]
            _say(name, dtype, f"{1e3 * unit:.2f}", *ratios)


def _say(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
