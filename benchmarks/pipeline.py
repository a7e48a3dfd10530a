"""Explain why relevance costs more than its operations: `python -m benchmarks.pipeline`.

XLA compiles a branch of SmallNet (convolution, bias, ReLU, convolution, bias, ReLU, max-pooling) to
one kernel of YNNPACK's that keeps what is between in the caches. Relevance needs what is between:
each activation decides which contributions pass. The table has the times of the parts, taken in
turn, as multiples of the whole branch's, as `jax.jit` compiles them and as `rfp_jax.jit` does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import rfp_jax
from benchmarks.speed import timing
from benchmarks.speed.program import build

Weights = dict[str, jax.Array]


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """An unpadded convolution of NHWC images."""
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def pool(x: jax.Array, start: float, operation: Callable[..., Any]) -> jax.Array:
    """Windows of 2 x 2."""
    return lax.reduce_window(x, start, operation, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def branch(w: Weights, x: jax.Array) -> jax.Array:
    """SmallNet's branch."""
    h = jax.nn.relu(convolve(x, w["kernel1"]) + w["bias1"])
    return pool(jax.nn.relu(convolve(h, w["kernel2"]) + w["bias2"]), -jnp.inf, lax.max)


def parts(batch: int) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Return what is timed: functions with their arguments."""
    keys = jax.random.split(jax.random.key(0), 6)
    shapes = {"kernel1": (3, 3, 1, 32), "kernel2": (3, 3, 32, 64), "bias1": (32,), "bias2": (64,)}
    w = {n: jax.random.normal(k, s) for (n, s), k in zip(shapes.items(), keys[:4], strict=True)}
    x = jax.random.normal(keys[4], (batch, 28, 14, 1))
    h = jax.nn.relu(jax.random.normal(keys[5], (batch, 26, 12, 32)))
    first, second = (h > 0).astype(float), (convolve(h, w["kernel2"]) > 0).astype(float)

    def contributions(w: Weights, x: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
        c = convolve(convolve(x, w["kernel1"]) * first, w["kernel2"])
        return pool(c * second, 0.0, lax.add)

    return {
        "the branch": (branch, (w, x)),
        "its second convolution, written to memory": (
            lambda w, h: convolve(h, w["kernel2"]),
            (w, h),
        ),
        "its second convolution, max-pooled at once": (
            lambda w, h: pool(convolve(h, w["kernel2"]), -jnp.inf, lax.max),
            (w, h),
        ),
        "the contributions alone, if masks were given": (contributions, (w, x, first, second)),
        "relevance of the branch": (rfp_jax.relevance(branch, 1), (w, x)),
    }


def main(batches: tuple[int, ...] = (16, 64, 500), rounds: int = 30) -> None:
    """Time all parts at each batch size and print a table, which is Markdown.

    Args:
        batches: Samples in a batch.
        rounds: How many turns each part gets.
    """
    table = Table(box=MARKDOWN)
    table.add_column("x the branch, jax.jit", no_wrap=True)
    columns: dict[str, list[str]] = {}
    compilers = {"jax.jit": False, "rfp_jax.jit": True}
    for batch in batches:
        programs = {
            (part, name): build(*given, suited=suited)
            for part, given in parts(batch).items()
            for name, suited in compilers.items()
        }
        for program in programs.values():
            program()
        named = {f"{part}/{name}": run for (part, name), run in programs.items()}
        times = timing.interleave(named, rounds=rounds, seconds=30)
        unit = times["the branch/jax.jit"]
        image = np.median(unit) * 1e6 / batch
        table.add_column(f"batch {batch} ({image:.0f} us each)", justify="right", no_wrap=True)
        table.add_column("rfp_jax.jit", justify="right", no_wrap=True)
        for part, name in programs:
            ratio = np.median(timing.ratios(times[f"{part}/{name}"], unit))
            columns.setdefault(part, []).append(f"{ratio:.2f}")
    for part, cells in columns.items():
        table.add_row(part, *cells)
    Console(width=200, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
