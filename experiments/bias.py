"""What becomes of the bias: propagated on its own, or shared among the sources."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import rfp_jax

ADDED = ("bias", "mean")
"""What layers of Linen add: biases, and (subtracted) the means of batch normalisation."""


def biases_as_source(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Make the strength of what layers add an argument, so that it can be a source itself.

    `rfp_jax.relevance` reports as bias what remains of the output beside the sources, so its parts
    add up by construction. With the biases as one more source nothing may remain, and that can
    fail.

    Args:
        apply: of a Linen module at inference, `apply(variables, *sources)`.

    Returns:
        A function `(variables, strength, *sources)`: the same network at strength 1.
    """

    def scaled_apply(variables: Any, strength: jax.Array, *sources: jax.Array) -> Any:
        scaled = jax.tree_util.tree_map_with_path(
            lambda path, leaf: strength * leaf if path[-1].key in ADDED else leaf, variables
        )
        return apply(scaled, *sources)

    return scaled_apply


def with_propagated_bias(
    fun: Callable[..., Any], argnums: tuple[int, ...], rules: Any = "lrp0"
) -> Callable[..., rfp_jax.Relevance]:
    """Make a relevance whose bias is propagated like a source, not what remains of the output.

    So the sum of a sample's relevances is a result of its own, to be compared with the output.

    Args:
        fun: `apply` of a Linen module at inference.
        argnums: which arguments are sources; the variables come first.
        rules: as for `rfp_jax.relevance`.

    Returns:
        A function that returns a `Relevance`, as that of `rfp_jax.relevance` does; a `method` for
        `rfp_jax.evaluate`.
    """
    explain = rfp_jax.relevance(
        biases_as_source(fun), argnums=(1, *(place + 1 for place in argnums)), rules=rules
    )

    def explained(variables: Any, *sources: jax.Array) -> rfp_jax.Relevance:
        found = explain(variables, jnp.ones((), sources[0].dtype), *sources)
        return found._replace(sources=found.sources[1:], bias=found.sources[0])

    return explained


def with_shared_bias(
    fun: Callable[..., Any], argnums: tuple[int, ...], rules: Any = "lrp0"
) -> Callable[..., rfp_jax.Relevance]:
    """Make a relevance of the sources alone: each layer's bias is shared among them.

    Without it, what a source contributed and what biases did to it stand side by side, each of them
    large, and of opposite sign. The bias that is still reported is what no source could be given;
    the parts add up by construction.

    Args:
        fun: `apply` of a Linen module at inference.
        argnums: which arguments are sources; the variables come first.
        rules: as for `rfp_jax.relevance`.

    Returns:
        A function that returns a `Relevance`; a `method` for `rfp_jax.evaluate`.
    """
    return rfp_jax.relevance(fun, argnums, bias="share", rules=rules)
