"""What the zoo measures, and the random numbers that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Entry(NamedTuple):
    """A model and what it is called with.

    Attributes:
        fun: the model as a function; returns one array [batch, ...].
        args: its arguments: weights, if it takes them, and sources [batch, ...].
        argnums: which of the arguments are the sources.
    """

    fun: Callable[..., jax.Array]
    args: tuple[Any, ...]
    argnums: tuple[int, ...]


Builder = Callable[[jax.Array], Entry]
"""`builder(key)` draws a model's weights and sources, in float32."""


def draw(key: jax.Array, *shapes: tuple[int, ...]) -> list[jax.Array]:
    """One array of N(0, 1) numbers for each shape."""
    keys = jax.random.split(key, len(shapes))
    return [jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True)]


def randomize(tree: Any, key: jax.Array) -> Any:
    """Draw what initialisers leave at 0 or 1, so that a wrong rule for it cannot hide.

    Scales and variances are multiplied by U(0.5, 1.5), biases and means get N(0, 0.1²) added; in a
    layer that has settled on its statistics these stay near. Weights are random already.
    """
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, max(1, len(leaves)))
    return structure.unflatten(map(_randomized, leaves, keys))


def _randomized(leaf: Any, key: jax.Array) -> Any:
    if not _is_floating(leaf) or not leaf.size:
        return leaf
    is_constant = bool((leaf == leaf.ravel()[0]).all())
    if leaf.ndim > 1 and not is_constant:
        return leaf
    if (leaf > 0).all():
        factor = jax.random.uniform(key, leaf.shape, leaf.dtype, 0.5, 1.5)
        return factor if is_constant else leaf * factor
    return leaf + 0.1 * jax.random.normal(key, leaf.shape, leaf.dtype)


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)
