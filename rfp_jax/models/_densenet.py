"""DenseNet-121 as published for SEN12MS."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from rfp_jax.models._layers import (
    LayerMaker,
    batch_norm,
    flatten,
    join,
    kaiming_normal,
    max_pool,
    torch_default_bias,
)

_GROWTH = 32  # channels that each dense layer adds
_BOTTLENECK = 4 * _GROWTH
_BLOCKS = (6, 12, 24, 16)


class _DenseLayer(nn.Module):
    """BN ReLU Conv(1x1) BN ReLU Conv(3x3); its output joins its input on the channel axis."""

    conv: LayerMaker
    norm: LayerMaker

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.relu(self.norm(name="norm1")(x))
        y = self.conv(_BOTTLENECK, (1, 1), name="conv1")(y)
        y = nn.relu(self.norm(name="norm2")(y))
        y = self.conv(_GROWTH, (3, 3), padding=1, name="conv2")(y)
        return jnp.concatenate([x, y], axis=-1)


class _DenseBlock(nn.Module):
    """Dense layers in a row: each sees what all before it made."""

    layers: int
    conv: LayerMaker
    norm: LayerMaker

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for number in range(1, self.layers + 1):
            x = _DenseLayer(self.conv, self.norm, name=f"layer{number}")(x)
        return x


class _Transition(nn.Module):
    """BN ReLU Conv(1x1) AveragePool(2): half the channels, half the height and width."""

    conv: LayerMaker
    norm: LayerMaker

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.relu(self.norm(name="norm")(x))
        y = self.conv(x.shape[-1] // 2, (1, 1), name="conv")(y)
        return nn.avg_pool(y, (2, 2), strides=(2, 2))


class DenseNet121(nn.Module):
    """DenseNet-121 as published for SEN12MS: sources joined on the channel axis, logits.

    Unlike the usual DenseNet, it neither rectifies nor pools its last feature map, but flattens it:
    its classifier fits one size of image (65,536 inputs for 256 x 256 pixels). `pooled` makes the
    usual one, as in torchvision, for images of any size.

    Sources: Huang et al., "Densely connected convolutional networks", CVPR 2017; Schmitt & Wu,
    "Remote sensing image classification with the SEN12MS dataset", ISPRS Annals 2021 (weights drawn
    by `kaiming_normal_`).

    Attributes:
        num_classes: number of outputs: 10 for the simplified IGBP classes, 17 for all.
        pooled: rectify and pool the last feature map, as usual, instead of flattening it.
        dtype: dtype of the computation; None takes what inputs and parameters promote to.
        param_dtype: dtype of the parameters that `init` makes.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from rfp_jax.models import DenseNet121
        >>> optical, sar = jnp.zeros((1, 256, 256, 10)), jnp.zeros((1, 256, 256, 2))
        >>> logits, variables = jax.eval_shape(
        ...     DenseNet121().init_with_output, jax.random.key(0), optical, sar
        ... )
        >>> logits.shape, variables["params"]["classifier"]["kernel"].shape
        ((1, 10), (65536, 10))
    """

    num_classes: int = 10
    pooled: bool = False
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, *sources: jax.Array, train: bool = False) -> jax.Array:
        """Class scores (logits) of a batch.

        Args:
            *sources: arrays [batch, height, width, channels], at least 29 x 29 pixels, equal but
                for their channels; published checkpoints saw 256 x 256, optical first, then radar.
            train: normalize with the batch's statistics and update the running ones; call with
                `mutable=["batch_stats"]`.

        Returns:
            Logits [batch, num_classes].

        Raises:
            TypeError: if there is no source.
            ValueError: if the shapes of the sources do not fit.
        """
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        conv = functools.partial(nn.Conv, use_bias=False, kernel_init=kaiming_normal, **kinds)
        norm = batch_norm(train=train, dtype=self.dtype, param_dtype=self.param_dtype)
        x = join(sources, minimum=29)
        x = conv(64, (7, 7), strides=2, padding=3, name="conv0")(x)
        x = nn.relu(norm(name="norm0")(x))
        x = max_pool(x, 3, 2, padding=1)
        for number, layers in enumerate(_BLOCKS, start=1):
            x = _DenseBlock(layers, conv, norm, name=f"block{number}")(x)
            if number < len(_BLOCKS):
                x = _Transition(conv, norm, name=f"transition{number}")(x)
        x = norm(name="norm5")(x)
        x = nn.relu(x).mean((1, 2)) if self.pooled else flatten(x)
        return nn.Dense(
            self.num_classes,
            kernel_init=kaiming_normal,
            bias_init=torch_default_bias(x.shape[-1]),
            **kinds,
            name="classifier",
        )(x)
