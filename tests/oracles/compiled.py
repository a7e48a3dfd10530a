"""`relevance` and `heatmap` compiled in one piece, for tests of numbers.

Operation by operation, a test compiles hundreds of programs; that numbers are the same is tested in
tests/transforms/test_transformations.py.
"""

from collections.abc import Callable
from typing import Any

import jax

import rfp_jax


def relevance(fun: Callable[..., Any], argnums: Any = 0, **options: Any) -> Callable[..., Any]:
    """`rfp_jax.relevance` within `jax.jit`."""
    return jax.jit(rfp_jax.relevance(fun, argnums, **options))


def heatmap(fun: Callable[..., Any], argnums: Any = 0, **options: Any) -> Callable[..., Any]:
    """`rfp_jax.heatmap` within `jax.jit`."""
    return jax.jit(rfp_jax.heatmap(fun, argnums, **options))
