"""Sanity check by randomization: an explanation must change when the weights are randomized."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.compiler import jit
from rfp_jax._util.trees import Tree
from rfp_jax.attribution._agreement import agreement


class Randomization(NamedTuple):
    """Measure how far the explanation still agrees with the original one after each step.

    Attributes:
        layers: What was randomized in each step; `("all",)` for everything at once.
        rank_correlation: Mean rank correlation with the original explanation, [steps]; samples for
            which it is not defined are left out.
        l1: Mean absolute difference from the original explanation, [steps].
    """

    layers: tuple[str, ...]
    rank_correlation: np.ndarray
    l1: np.ndarray


def randomization(
    explain: Callable[[Tree], Tree],
    variables: Tree,
    random_variables: Tree,
    layers: Sequence[str] | None = None,
    *,
    cascading: bool = True,
) -> Randomization:
    """Randomize the weights of a network and compare its explanation with the original one.

    An explanation that stays the same does not depend on what the network has learned. The check is
    passed if the rank correlation falls to about zero.

    Args:
        explain: Makes an explanation of variables: a tree of arrays, each with a leading axis of
            samples. For instance
            `lambda variables: rfp_jax.relevance(fun, (1, 2))(variables, x1, x2).sources`.
        variables: The trained variables, a tree of arrays.
        random_variables: Random ones of the same structure and shapes: another initialization of
            the network, as in the paper, or `permute_parameters` of the trained ones.
        layers: Paths of parts of `variables`, such as `"params/Dense_1"`, randomized one step at a
            time; in the paper from the output to the input. Everything at once if None.
        cascading: Whether what was randomized stays randomized in the steps that follow
            (cascading randomization), or goes back to the trained values (independent).

    Returns:
        The agreement with the original explanation after each step.

    Raises:
        ValueError: If the two sets of variables differ in structure or shapes, or there is no
            variable at a path.

    References:
        Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim, "Sanity checks for saliency maps",
        NeurIPS 2018, section 3.

    Examples:
        >>> x = jnp.array([[1.0, 2.0, 3.0]])
        >>> trained, random = {"w": jnp.array([[1.0, 1, 1]])}, {"w": jnp.array([[9.0, 2, 0]])}
        >>> result = randomization(lambda variables: x * variables["w"], trained, random)
        >>> result.layers, result.rank_correlation.tolist()
        (('all',), [-1.0])
    """
    paths = _paths(variables)
    if jax.tree.map(jnp.shape, variables) != jax.tree.map(jnp.shape, random_variables):
        raise ValueError("random_variables must have the structure and the shapes of variables")
    steps = [_below(layer, paths) for layer in layers] if layers is not None else [set(paths)]
    compiled = jit(explain)
    original = compiled(variables)
    results = []
    randomized: set[str] = set()
    for step in steps:
        randomized = randomized | step if cascading else step
        mixed = _mix(variables, random_variables, paths, randomized)
        results.append(agreement(original, compiled(mixed)))
    return Randomization(
        layers=tuple(layers) if layers is not None else ("all",),
        rank_correlation=np.array([jnp.nanmean(each.rank_correlation) for each in results]),
        l1=np.array([jnp.mean(each.l1) for each in results]),
    )


def permute_parameters(key: jax.Array, variables: Tree) -> Tree:
    """Permute the entries of every array at random.

    Each array keeps its values, and so their mean and spread, and loses what it has learned. An
    array with a single value (zero biases, say) stays as it is.

    Args:
        key: Random key.
        variables: A tree of arrays.

    Returns:
        The same tree with permuted arrays.

    Examples:
        >>> permuted = permute_parameters(jax.random.key(0), {"weight": jnp.arange(5)})
        >>> sorted(permuted["weight"].tolist())
        [0, 1, 2, 3, 4]
    """
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        tree,
        [
            jax.random.permutation(each, jnp.ravel(leaf)).reshape(jnp.shape(leaf))
            for each, leaf in zip(keys, leaves, strict=True)
        ],
    )


def _paths(variables: Tree) -> list[str]:
    found, _ = jax.tree_util.tree_flatten_with_path(variables)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in found]


def _below(layer: str, paths: list[str]) -> set[str]:
    below = {path for path in paths if path == layer or path.startswith(layer + "/")}
    if not below:
        raise ValueError(f"no variable at {layer!r}; there are: {', '.join(paths)}")
    return below


def _mix(variables: Tree, random_variables: Tree, paths: list[str], randomized: set[str]) -> Tree:
    trained, tree = jax.tree.flatten(variables)
    random = jax.tree.leaves(random_variables)
    choices = zip(paths, trained, random, strict=True)
    return jax.tree.unflatten(tree, [b if path in randomized else a for path, a, b in choices])
