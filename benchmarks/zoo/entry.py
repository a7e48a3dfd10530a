"""Entries of the zoo, and the random numbers from which they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.zoo.original import Original


class Entry(NamedTuple):
    """A model and what it is called with.

    Attributes:
        fun: the model as a function; returns one array [batch, ...].
        args: its arguments: weights, if it takes them, and sources [batch, ...].
        argnums: which of the arguments are the sources.
        original: the network of another framework that it was taken over from, if any.
    """

    fun: Callable[..., Any]
    args: tuple[Any, ...]
    argnums: tuple[int, ...]
    original: Original | None = None


Builder = Callable[[int], Entry]
"""`builder(seed)` draws a model's weights and sources, in float32."""


def draw(seed: int, *shapes: tuple[int, ...]) -> list[jax.Array]:
    """One array of N(0, 1) numbers for each shape."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes]


def randomize(tree: Any, seed: int) -> Any:
    """Draw what initializers leave at 0 or 1, so that a wrong rule for it cannot hide.

    Scales and variances are multiplied by U(0.5, 1.5), biases and means get N(0, 0.1²) added; in a
    layer that has settled on its statistics these stay near. Weights are random already.
    """
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: _randomized(leaf, rng), tree)


def _randomized(leaf: Any, rng: np.random.Generator) -> Any:
    if not (isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)):
        return leaf
    values = np.asarray(leaf)
    is_constant = values.size > 0 and bool(np.all(values == values.flat[0]))
    if values.ndim > 1 and not is_constant:
        return leaf
    factor = rng.uniform(0.5, 1.5, values.shape)
    if np.all(values > 0):
        return jnp.asarray(factor if is_constant else values * factor, leaf.dtype)
    return jnp.asarray(values + rng.normal(0, 0.1, values.shape), leaf.dtype)
