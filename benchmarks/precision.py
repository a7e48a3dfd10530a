"""Measure what half precision costs relevance: `python -m benchmarks.precision`.

Every network has weights and inputs rounded to bfloat16. What it computes in bfloat16 is compared
with what it computes from the same numbers in float64: its output and its sources' relevance,
with contributions in bfloat16 and in float32 beside the bfloat16 activations. Errors are the
greatest, relative to the greatest magnitude.

A second table is of contributions in half precision beside float32: the error that is allowed, how
many of the products of pushes are then in half precision, and the error that they have. On a CPU
that takes no less time; the count is of the program, whatever it runs on.
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
from jax.extend import core
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


def drawn(name: str) -> tuple[Callable[..., nn.Module], tuple[Any, ...]]:
    """A network of `NETWORKS`, with random weights and sources in float32."""
    make, shapes = NETWORKS[name]
    keys = jax.random.split(jax.random.key(0), len(shapes) + 1)
    sources = tuple(map(jax.random.normal, keys[1:], shapes))
    return make, (jax.jit(make().init)(keys[0], *sources), *sources)


def compare(name: str) -> list[str]:
    """One network's errors and residuals.

    Args:
        name: of `NETWORKS`.

    Returns:
        Cells of the table.
    """
    make, arguments = drawn(name)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), arguments)
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


BOUNDS = (0.05, 0.5, 5.0)
"""Errors that may be allowed, relative to what contributions would be if nothing canceled."""


def products(program: Any) -> list[Any]:
    """The dtypes of what a program multiplies, matrices and kernels."""
    found: list[Any] = []
    for eqn in program.jaxpr.eqns:
        if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
            found.append(eqn.invars[0].aval.dtype)
        for inner in core.jaxprs_in_params(eqn.params):
            found += products(core.ClosedJaxpr(inner, ()))
    return found


def allow(name: str, dtype: Any) -> list[str]:
    """One network's errors where an error is allowed.

    Args:
        name: of `NETWORKS`.
        dtype: of contributions, beside float32.

    Returns:
        Cells of the table.
    """
    make, arguments = drawn(name)

    def traced(**options: Any) -> Any:
        return jax.jit(rfp_jax.relevance(make().apply, (1, 2), **options)).trace(*arguments)

    exact = traced().lower().compile()(*arguments)
    plain = jax.make_jaxpr(make().apply)(*arguments)
    every = products(traced(dtype=dtype, max_error=1e6).jaxpr).count(np.dtype(dtype))
    cells = [name, np.dtype(dtype).name, f"{len(products(plain))}"]
    for bound in BOUNDS:
        given = traced(dtype=dtype, max_error=bound)
        half = products(given.jaxpr).count(np.dtype(dtype))
        found = given.lower().compile()(*arguments)
        worst = max(map(error, found.sources, exact.sources))
        cells += [f"{half} of {every}", f"{worst:.2%}"]
    return cells


def main() -> None:
    """Compare all networks and print two tables, which are Markdown."""
    table = Table(box=MARKDOWN)
    table.add_column("", no_wrap=True)
    table.add_column("output", justify="right")
    for contributions in ("bfloat16", "float32"):
        table.add_column(f"relevance, {contributions}", justify="right")
        table.add_column(f"residual, {contributions}", justify="right")
    for name in NETWORKS:
        table.add_row(*compare(name))
    console = Console(width=120, highlight=False)
    console.print(table)

    table = Table(box=MARKDOWN)
    for title in ("", "dtype", "products forward", *(f"allowed {b:g}" for b in BOUNDS)):
        table.add_column(title, justify="right" if title not in ("", "dtype") else "left")
        if title.startswith("allowed"):
            table.add_column("error", justify="right")
    for name in NETWORKS:
        for dtype in (jnp.bfloat16, jnp.float16):
            table.add_row(*allow(name, dtype))
    console.print(table)


if __name__ == "__main__":
    sys.exit(tyro.cli(main, description=__doc__))
