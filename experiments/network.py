"""The networks of the experiments on digits, and their biases as a source."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from rfp_jax.models import SmallNet


class TwoBranchNet(nn.Module):
    """The paper's SmallNet, padded so that it fits images as small as 8 x 4 pixels."""

    @nn.compact
    def __call__(self, *sources: jax.Array) -> jax.Array:
        """Class scores (logits) [batch, 10] of sources [batch, height, width, channels]."""

        def branch(x: jax.Array) -> jax.Array:
            for features in (32, 64):
                x = nn.relu(nn.Conv(features, (3, 3), padding="SAME")(x))
            return nn.max_pool(x, (2, 2), strides=(2, 2))

        x = jnp.concatenate([branch(source) for source in sources], axis=-1)
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


NETWORKS: dict[str, nn.Module] = {"digits": TwoBranchNet(), "mnist": SmallNet()}
"""Name of the set of images to the network that fits it."""


def biases_as_source(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Make the strength of a network's biases an argument, so that they can be a source themselves.

    `relevance` reports as bias what remains of the output beside the sources, so its parts add up
    by construction. With the biases as one more source nothing may remain, and that can fail.

    Args:
        apply: of a Linen module, `apply(variables, *sources)`.

    Returns:
        A function `(variables, strength, *sources)`: the same network at strength 1.
    """

    def scaled_apply(variables: Any, strength: jax.Array, *sources: jax.Array) -> Any:
        scaled = jax.tree_util.tree_map_with_path(
            lambda path, leaf: strength * leaf if path[-1].key == "bias" else leaf, variables
        )
        return apply(scaled, *sources)

    return scaled_apply
