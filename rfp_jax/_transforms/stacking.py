"""One array of a decomposition: its sources in the order of their names, and the bias last."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from rfp_jax._util.trees import Tree


def stack_sources(relevance: Tree, names: Sequence[str], shape: tuple[int, ...]) -> jax.Array:
    """Stack the relevance of all sources, and the bias.

    Args:
        relevance: a `Relevance` or what another method returns in its place. Each leaf of its
            `sources` is one source, shaped as the output, or a stack of several, [n, *output].
        names: names of the sources; where the leaves have names (a dict), the same ones.
        shape: what the output's shape must be; of [batch, 1] it may also be [batch].

    Returns:
        An array [sources + 1, *shape].

    Raises:
        ValueError: the output has another shape, or there is another number of sources; says both.
    """
    found = jax.tree.map(lambda leaf: leaf.shape, relevance.output)
    single = shape[1:] == (1,) and found == shape[:1]
    if found != shape and not single:
        raise ValueError(
            f"the model must return one array of shape {shape}, but it returns {found}: name as "
            "many classes as it has outputs"
        )
    leaves = _in_order(relevance.sources, names)
    stacked = jnp.concatenate([jnp.reshape(x, (-1, *shape)) for x in (*leaves, relevance.bias)])
    if (count := stacked.shape[0] - 1) != len(names):
        raise ValueError(f"{len(names)} sources are named, but the function has {count}")
    return stacked


def _in_order(tree: Tree, names: Sequence[str]) -> list[jax.Array]:
    """The leaves of a tree, those of a dict by their names: JAX would sort them."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    keys = [p[-1].key for p, _ in leaves if p and isinstance(p[-1], jax.tree_util.DictKey)]
    if not keys:
        return [leaf for _, leaf in leaves]
    if sorted(map(str, keys)) != sorted(names):
        raise ValueError(f"the sources are {', '.join(map(repr, keys))}; named are {tuple(names)}")
    found = {str(path[-1].key): leaf for path, leaf in leaves}
    return [found[name] for name in names]
