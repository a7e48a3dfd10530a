"""Measure what half precision costs relevance: `python -m benchmarks.precision`.

Every network has weights and inputs rounded to bfloat16. What it computes in bfloat16 is compared
with what it computes from the same numbers in float64: its output and its sources' relevance,
with contributions in bfloat16 and in float32 beside the bfloat16 activations. Errors are the
greatest, relative to the greatest magnitude.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
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
from benchmarks.speed.workloads import VisionTransformer
from rfp_jax.models import VGG16, DenseNet121, ResNet50, SmallNet

NETWORKS: Mapping[str, tuple[Callable[..., nn.Module], tuple[tuple[int, ...], ...]]] = {
    "SmallNet": (SmallNet, ((8, 28, 14, 1),) * 2),
    "ResNet-50": (ResNet50, ((2, 64, 64, 10), (2, 64, 64, 2))),
    "DenseNet-121": (DenseNet121, ((2, 64, 64, 10), (2, 64, 64, 2))),
    "VGG16": (VGG16, ((2, 32, 32, 10), (2, 32, 32, 2))),
    "ViT": (VisionTransformer, ((2, 64, 64, 10), (2, 64, 64, 2))),
}


def error(found: Any, right: Any) -> float:
    """The greatest difference, relative to the greatest magnitude."""
    found, right = (np.asarray(x, np.float64) for x in (found, right))
    return float(np.abs(found - right).max() / np.abs(right).max())


def compare(name: str) -> list[str]:
    """One network's errors and residuals.

    Args:
        name: of `NETWORKS`.

    Returns:
        Cells of the table.
    """
    make, shapes = NETWORKS[name]
    keys = jax.random.split(jax.random.key(0), len(shapes) + 1)
    sources = tuple(map(jax.random.normal, keys[1:], shapes))
    variables = jax.jit(make().init)(keys[0], *sources)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (variables, *sources))
    fun = make(dtype=jnp.bfloat16, param_dtype=jnp.bfloat16).apply

    def explain(fun: Any, args: Any, dtype: Any = None) -> Any:
        return jax.jit(rfp_jax.relevance(fun, (1, 2), dtype=dtype))(*args)

    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: a.astype(jnp.float64), half)
        exact = explain(make(dtype=jnp.float64, param_dtype=jnp.float64).apply, double)
    cells = [name, f"{error(explain(fun, half).output, exact.output):.1%}"]
    for dtype in (None, jnp.float32):
        found = explain(fun, half, dtype)
        worst = max(map(error, found.sources, exact.sources))
        cells += [f"{worst:.1%}", f"{rfp_jax.audit(fun, (1, 2), dtype=dtype)(*half).residual:.1e}"]
    return cells


def main() -> None:
    """Compare all networks and print a table, which is Markdown."""
    table = Table(box=MARKDOWN)
    table.add_column("", no_wrap=True)
    table.add_column("output", justify="right")
    for contributions in ("bfloat16", "float32"):
        table.add_column(f"relevance, {contributions}", justify="right")
        table.add_column(f"residual, {contributions}", justify="right")
    for name in NETWORKS:
        table.add_row(*compare(name))
    Console(width=110, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
