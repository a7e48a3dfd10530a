"""The networks of the experiments on digits, and their biases as a source."""

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
