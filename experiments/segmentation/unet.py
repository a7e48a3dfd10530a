"""A U-Net with a branch for each source."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

LEVELS = 3
MULTIPLE = 2 ** (LEVELS - 1)
"""Height and width must be multiples of this, as each level halves them."""


class UNet(nn.Module):
    """Scores of every pixel's classes; sources meet where each level is passed across.

    Attributes:
        num_classes: how many classes.
        width: channels of each branch at the first level; each level below has twice as many.

    References:
        Ronneberger, Fischer & Brox, "U-Net", MICCAI 2015; padded, with three levels.
    """

    num_classes: int
    width: int = 8

    @nn.compact
    def __call__(self, *sources: jax.Array) -> jax.Array:
        """Logits [batch, y, x, classes] of sources [batch, y, x, channels]."""
        branches = [self._encode(source) for source in sources]
        *across, x = [jnp.concatenate(level, -1) for level in zip(*branches, strict=True)]
        for level in reversed(range(LEVELS - 1)):
            width = self.width * 2**level
            x = nn.ConvTranspose(width, (2, 2), strides=(2, 2))(x)
            x = self._convolve(jnp.concatenate([across[level], x], -1), width)
        return nn.Conv(self.num_classes, (1, 1))(x)

    def _encode(self, x: jax.Array) -> Sequence[jax.Array]:
        """Return the features of a branch at each level, the finest first."""
        seen = []
        for level in range(LEVELS):
            if level:
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            x = self._convolve(x, self.width * 2**level)
            seen.append(x)
        return seen

    def _convolve(self, x: jax.Array, width: int) -> jax.Array:
        for _ in range(2):
            x = nn.relu(nn.Conv(width, (3, 3), kernel_init=nn.initializers.he_normal())(x))
        return x
