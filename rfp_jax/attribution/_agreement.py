"""Agreement of two attributions of the same samples."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import rankdata

from rfp_jax._util import shapes
from rfp_jax._util.trees import Tree


class Agreement(NamedTuple):
    """Agreement of two attributions, sample by sample.

    Attributes:
        rank_correlation: Spearman's rank correlation over all sources and outputs of a sample, [B],
            in [-1, 1]; NaN for a sample one of whose attributions is the same everywhere.
        l1: Mean absolute difference over all sources and outputs of a sample, [B].
    """

    rank_correlation: shapes.Float[jax.Array, " B"]
    l1: shapes.Float[jax.Array, " B"]


def agreement(first: Tree, second: Tree) -> Agreement:
    """Compare two attributions of the same samples.

    Args:
        first: A tree of arrays, each with a leading axis B of samples, such as the `sources` of a
            relevance.
        second: Another one, of the same structure and shapes.

    Returns:
        The agreement of each sample.

    Raises:
        ValueError: If the two differ in structure or shapes, or have no axis of samples.

    References:
        Spearman, "The proof and measurement of association between two things", 1904, with equal
        values sharing the mean of their ranks.

    Examples:
        >>> one, other = jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[1.0, 4.0, 7.0]])
        >>> result = agreement(one, other)
        >>> result.rank_correlation.tolist(), result.l1.tolist()
        ([1.0], [2.0])
    """
    shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(each)] for each in (first, second)]
    if jax.tree.structure(first) != jax.tree.structure(second) or shapes[0] != shapes[1]:
        raise ValueError(f"attributions must be of the same structure and shapes, got {shapes}")
    return _agreement(first, second)


@jax.jit
def _agreement(first: Tree, second: Tree) -> Agreement:
    a, b = _rows(first), _rows(second)
    return Agreement(
        rank_correlation=correlation(rankdata(a, axis=1), rankdata(b, axis=1)),
        l1=jnp.mean(jnp.abs(a - b), axis=1),
    )


def _rows(attribution: Tree) -> shapes.Float[jax.Array, "B values"]:
    """All values of a sample in one row, [B, values]."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(attribution)]
    if not leaves or not all(leaf.ndim for leaf in leaves):
        raise ValueError("an attribution needs at least one array with an axis of samples")
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


def correlation(
    a: shapes.Float[jax.Array, "B values"], b: shapes.Float[jax.Array, "B values"]
) -> shapes.Float[jax.Array, " B"]:
    """Correlate the rows of two arrays after Pearson; NaN where a row is the same everywhere."""
    a = a - jnp.mean(a, axis=1, keepdims=True)
    b = b - jnp.mean(b, axis=1, keepdims=True)
    return jnp.sum(a * b, axis=1) / jnp.sqrt(jnp.sum(a * a, axis=1) * jnp.sum(b * b, axis=1))
