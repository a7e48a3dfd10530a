"""SmallNet, the paper's network for multi-source MNIST."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from rfp_jax.models._layers import (
    check_sources,
    flatten,
    max_pool,
    torch_default,
    torch_default_bias,
)


class _Branch(nn.Module):
    """Conv(32, 3x3) ReLU Conv(64, 3x3) ReLU MaxPool(2): what one source passes alone."""

    dtype: DTypeLike | None
    param_dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for name, features in (("conv1", 32), ("conv2", 64)):
            x = nn.Conv(
                features,
                (3, 3),
                padding="VALID",
                kernel_init=torch_default,
                bias_init=torch_default_bias(9 * x.shape[-1]),
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )(x)
            x = nn.relu(x)
        return max_pool(x, 2, 2)


class SmallNet(nn.Module):
    """The paper's network for multi-source MNIST: one branch a source, then two dense layers.

    Each source passes Conv(32, 3x3), ReLU, Conv(64, 3x3), ReLU and MaxPool(2), all unpadded; the
    branches are joined on the channel axis, flattened, and pass Dense(128), ReLU,
    Dense(num_classes).

    Source: Gawlikowski & Gottschling, BMVC 2024, the experiments on multi-source MNIST.

    Attributes:
        num_classes: number of outputs.
        dtype: dtype of the computation; None takes what inputs and parameters promote to.
        param_dtype: dtype of the parameters that `init` makes.

    Examples:
        Left and right halves of MNIST images.

        >>> import jax, jax.numpy as jnp
        >>> from rfp_jax.models import SmallNet
        >>> left = right = jnp.zeros((4, 28, 14, 1))
        >>> variables = SmallNet().init(jax.random.key(0), left, right)
        >>> SmallNet().apply(variables, left, right).shape
        (4, 10)
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, *sources: jax.Array, train: bool = False) -> jax.Array:
        """Class scores (logits) of a batch.

        Args:
            *sources: arrays [batch, height, width, channels], at least 6 x 6 pixels, equal in
                batch, height and width; one branch each. MNIST: 28 x 14 or 28 x 28, 1 channel.
            train: as of the other models; nothing here behaves differently in training.

        Returns:
            Logits [batch, num_classes].

        Raises:
            TypeError: if there is no source.
            ValueError: if the shapes of the sources do not fit.
        """
        del train
        check_sources(sources, minimum=6)
        branches = [
            _Branch(self.dtype, self.param_dtype, name=f"branch{number}")(source)
            for number, source in enumerate(sources, start=1)
        ]
        x = flatten(jnp.concatenate(branches, axis=-1))
        dense = functools.partial(
            nn.Dense, kernel_init=torch_default, dtype=self.dtype, param_dtype=self.param_dtype
        )
        x = nn.relu(dense(128, bias_init=torch_default_bias(x.shape[-1]), name="fc1")(x))
        return dense(self.num_classes, bias_init=torch_default_bias(128), name="fc2")(x)
