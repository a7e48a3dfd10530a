"""VGG-16 as published for SEN12MS."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from rfp_jax.models._layers import (
    flatten,
    join,
    kaiming_normal,
    max_pool,
    torch_default_bias,
)

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions


class VGG16(nn.Module):
    """VGG-16 as published for SEN12MS: sources joined on the channel axis, logits.

    It flattens its last feature map, so its first dense layer fits one size of image (32,768 inputs
    for 256 x 256 pixels).

    Sources: Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
    recognition", ICLR 2015, configuration D; Schmitt & Wu, "Remote sensing image classification
    with the SEN12MS dataset", ISPRS Annals 2021 (weights drawn by `kaiming_normal_`).

    Attributes:
        num_classes: number of outputs: 10 for the simplified IGBP classes, 17 for all.
        dtype: dtype of the computation; None takes what inputs and parameters promote to.
        param_dtype: dtype of the parameters that `init` makes.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from rfp_jax.models import VGG16
        >>> optical, sar = jnp.zeros((1, 256, 256, 10)), jnp.zeros((1, 256, 256, 2))
        >>> logits, variables = jax.eval_shape(
        ...     VGG16().init_with_output, jax.random.key(0), optical, sar
        ... )
        >>> logits.shape, variables["params"]["fc1"]["kernel"].shape
        ((1, 10), (32768, 4096))
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, *sources: jax.Array, train: bool = False) -> jax.Array:
        """Class scores (logits) of a batch.

        Args:
            *sources: arrays [batch, height, width, channels], at least 32 x 32 pixels, equal but
                for their channels; published networks saw 256 x 256, optical first, then radar.
            train: let dropout (rate 0.5) act on the dense layers; pass `rngs={"dropout": key}`.

        Returns:
            Logits [batch, num_classes].

        Raises:
            TypeError: if there is no source.
            ValueError: if the shapes of the sources do not fit.
        """
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        conv = functools.partial(nn.Conv, padding=1, kernel_init=kaiming_normal, **kinds)
        dense = functools.partial(nn.Dense, kernel_init=kaiming_normal, **kinds)
        dropout = functools.partial(nn.Dropout, 0.5, deterministic=not train)

        x = join(sources, minimum=32)
        for block, (features, convolutions) in enumerate(_BLOCKS, start=1):
            for number in range(1, convolutions + 1):
                first = block == number == 1
                x = conv(
                    features,
                    (3, 3),
                    # Published: torchvision sets biases to 0; the first layer is a fresh Conv2d.
                    bias_init=torch_default_bias(9 * x.shape[-1])
                    if first
                    else nn.initializers.zeros,
                    name=f"conv{block}_{number}",
                )(x)
                x = nn.relu(x)
            x = max_pool(x, 2, 2)
        x = flatten(x)
        for name in ("fc1", "fc2"):
            x = nn.relu(dense(4096, bias_init=torch_default_bias(x.shape[-1]), name=name)(x))
            x = dropout()(x)
        return dense(self.num_classes, bias_init=torch_default_bias(4096), name="fc3")(x)
