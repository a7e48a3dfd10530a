"""Layer-wise relevance propagation by output: what forward propagation gets in one go."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rfp_jax._core.argnums import Argnums
from rfp_jax._transforms.heatmaps import heatmap
from rfp_jax._util.compiler import jit
from rfp_jax._util.trees import Given, Tree
from rfp_jax.rules import Composite, LayerRule


def lrp(
    fun: Callable[..., Tree], argnums: Argnums = 0, *, rules: str | Composite | LayerRule = "lrp0"
) -> Callable[..., Tree]:
    """Transform a network into a function that returns LRP, summed by source, for every output.

    Each output is propagated back to the input on its own, and the heatmap of a source is summed
    over its elements. Under the same rules this equals relevance forward propagation, which needs a
    linear pass per source where LRP needs one per output. It costs one pass and K linear ones.

    Args:
        fun: The network; it returns outputs [B, K]. Bind arguments that are not arrays beforehand.
        argnums: Which positional arguments are sources; every array in them is a source with a
            leading axis of B samples.
        rules: The rules of propagation, as for `rfp_jax.heatmap`.

    Returns:
        A compiled function of the same positional arguments; it returns, arranged like what
        `argnums` points to, for each source an array shaped like the output.

    Raises:
        TypeError: At the call, if a source is not a floating-point array.
        ValueError: At the call, if the output is not [B, K] or the arguments do not fit.

    References:
        Bach, Binder, Montavon, Klauschen, Mueller & Samek, "On pixel-wise explanations for
        non-linear classifier decisions by layer-wise relevance propagation", PLOS ONE 2015.

    Examples:
        >>> network = lambda a, b: jnp.concatenate([a + 3 * b, -b], axis=1)
        >>> a, b = jnp.ones((1, 1)), jnp.ones((1, 1))
        >>> [share.tolist() for share in lrp(network, argnums=(0, 1))(a, b)]
        [[[1.0, 0.0]], [[3.0, -1.0]]]
    """

    @jit
    def attribute(*args: Given) -> Tree:
        output = jax.eval_shape(fun, *args)
        if getattr(output, "ndim", None) != 2:
            raise ValueError(f"lrp needs an output of shape [B, K], got {output}")
        maps = heatmap(fun, argnums, outputs="all", rules=rules)(*args)
        return jax.tree.map(lambda each: jnp.sum(each, axis=tuple(range(2, each.ndim))).T, maps)

    return attribute
