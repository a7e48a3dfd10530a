"""ResNet-50 as published for SEN12MS, and a ResNet-18 of two or more branches for late fusion."""

import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from rfp_jax.models._layers import (
    LayerMaker,
    batch_norm,
    check_sources,
    join,
    kaiming_normal,
    max_pool,
    torch_default_bias,
)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: ResNet-18's block (He et al. 2016, figure 5 left).

    Attributes:
        features: channels of the block's output.
        stride: stride of the first convolution and of the shortcut.
        conv: makes a convolution without bias.
        norm: makes a batch normalization.
    """

    features: int
    stride: int
    conv: LayerMaker
    norm: LayerMaker
    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Pass [batch, height, width, channels] on; height and width are divided by the stride."""
        y = self.conv(self.features, (3, 3), strides=self.stride, padding=1, name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y))
        y = self.conv(self.features, (3, 3), padding=1, name="conv2")(y)
        y = self.norm(name="bn2")(y)
        return nn.relu(y + _shortcut(self, x))


class Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3, 1x1 beside a shortcut: ResNet-50's block (ibid., figure 5 right).

    The 3x3 convolution has the stride, as in PyTorch, not the first 1x1 as in the paper.

    Attributes:
        features: channels of the 3x3 convolution; the output has four times as many.
        stride: stride of the 3x3 convolution and of the shortcut.
        conv: makes a convolution without bias.
        norm: makes a batch normalization.
    """

    features: int
    stride: int
    conv: LayerMaker
    norm: LayerMaker
    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Pass [batch, height, width, channels] on; height and width are divided by the stride."""
        y = self.conv(self.features, (1, 1), name="conv1")(x)
        y = nn.relu(self.norm(name="bn1")(y))
        y = self.conv(self.features, (3, 3), strides=self.stride, padding=1, name="conv2")(y)
        y = nn.relu(self.norm(name="bn2")(y))
        y = self.conv(self.expansion * self.features, (1, 1), name="conv3")(y)
        y = self.norm(name="bn3")(y)
        return nn.relu(y + _shortcut(self, x))


def _shortcut(block: BasicBlock | Bottleneck, x: jax.Array) -> jax.Array:
    """The input itself or, where the block changes its shape, a 1x1 convolution of it."""
    features = block.expansion * block.features
    if block.stride == 1 and x.shape[-1] == features:
        return x
    x = block.conv(features, (1, 1), strides=block.stride, name="downsample_conv")(x)
    return block.norm(name="downsample_bn")(x)


class ResNetEncoder(nn.Module):
    """A ResNet up to and with its global average pooling (He et al. 2016, table 1).

    Attributes:
        stages: number of blocks in each of the four stages.
        block: `BasicBlock` or `Bottleneck`.
        width: channels of the first stage's 3x3 convolutions; each stage doubles them.
        dtype: dtype of the computation; None takes what inputs and parameters promote to.
        param_dtype: dtype of the parameters that `init` makes.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from rfp_jax.models._resnet import BasicBlock, ResNetEncoder
        >>> resnet18 = ResNetEncoder((2, 2, 2, 2), BasicBlock)
        >>> features, _ = jax.eval_shape(
        ...     resnet18.init_with_output, jax.random.key(0), jnp.zeros((1, 64, 64, 2))
        ... )
        >>> features.shape
        (1, 512)
    """

    stages: tuple[int, int, int, int]
    block: type[BasicBlock | Bottleneck]
    width: int = 64
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """Features of a batch.

        Args:
            x: array [batch, height, width, channels].
            train: normalize with the batch's statistics and update the running ones.

        Returns:
            Features [batch, 8 * width * block.expansion].
        """
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        conv = functools.partial(nn.Conv, use_bias=False, kernel_init=kaiming_normal, **kinds)
        norm = batch_norm(train=train, dtype=self.dtype, param_dtype=self.param_dtype)
        x = conv(self.width, (7, 7), strides=2, padding=3, name="conv1")(x)
        x = nn.relu(norm(name="bn1")(x))
        x = max_pool(x, 3, 2, padding=1)
        for stage, blocks in enumerate(self.stages):
            for number in range(blocks):
                x = self.block(
                    features=self.width * 2**stage,
                    stride=2 if stage > 0 and number == 0 else 1,
                    conv=conv,
                    norm=norm,
                    name=f"layer{stage + 1}_{number}",
                )(x)
        return x.mean(axis=(1, 2))


class ResNet50(nn.Module):
    """ResNet-50 as published for SEN12MS: sources joined on the channel axis, 50 layers, logits.

    Sources: He et al., "Deep residual learning for image recognition", CVPR 2016; Schmitt & Wu,
    "Remote sensing image classification with the SEN12MS dataset", ISPRS Annals 2021 (weights drawn
    by `kaiming_normal_`).

    Attributes:
        num_classes: number of outputs: 10 for the simplified IGBP classes, 17 for all.
        dtype: dtype of the computation; None takes what inputs and parameters promote to.
        param_dtype: dtype of the parameters that `init` makes.

    Examples:
        Ten optical bands and two of radar.

        >>> import jax, jax.numpy as jnp
        >>> from rfp_jax.models import ResNet50
        >>> optical, sar = jnp.zeros((1, 64, 64, 10)), jnp.zeros((1, 64, 64, 2))
        >>> logits, variables = jax.eval_shape(
        ...     ResNet50().init_with_output, jax.random.key(0), optical, sar
        ... )
        >>> logits.shape, variables["params"]["encoder"]["conv1"]["kernel"].shape
        ((1, 10), (7, 7, 12, 64))
    """

    num_classes: int = 10
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, *sources: jax.Array, train: bool = False) -> jax.Array:
        """Class scores (logits) of a batch.

        Args:
            *sources: arrays [batch, height, width, channels] of any height and width, equal but for
                their channels; published checkpoints saw optical bands first, then radar.
            train: normalize with the batch's statistics and update the running ones; call with
                `mutable=["batch_stats"]`.

        Returns:
            Logits [batch, num_classes].

        Raises:
            TypeError: if there is no source.
            ValueError: if the shapes of the sources do not fit.
        """
        x = join(sources, minimum=1)
        encoder = ResNetEncoder(
            (3, 4, 6, 3),
            Bottleneck,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="encoder",
        )
        return _classifier(self, encoder(x, train=train))


class FusionResNet18(nn.Module):
    """Late fusion: a ResNet-18 for each source, joined after pooling, before one dense classifier.

    Sources: He et al., "Deep residual learning for image recognition", CVPR 2016; weights drawn as
    in the networks published for SEN12MS (Schmitt & Wu, ISPRS Annals 2021).

    Attributes:
        num_classes: number of outputs: 10 for the simplified IGBP classes, 17 for all.
        width: channels of each branch's first stage; 64 is ResNet-18's.
        dtype: dtype of the computation; None takes what inputs and parameters promote to.
        param_dtype: dtype of the parameters that `init` makes.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from rfp_jax.models import FusionResNet18
        >>> optical, sar = jnp.zeros((1, 64, 64, 10)), jnp.zeros((1, 64, 64, 2))
        >>> logits, variables = jax.eval_shape(
        ...     FusionResNet18().init_with_output, jax.random.key(0), optical, sar
        ... )
        >>> logits.shape, sorted(variables["params"])
        ((1, 10), ['branch1', 'branch2', 'fc'])
    """

    num_classes: int = 10
    width: int = 64
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, *sources: jax.Array, train: bool = False) -> jax.Array:
        """Class scores (logits) of a batch.

        Args:
            *sources: arrays [batch, height, width, channels] of any height and width, equal but for
                their channels; one branch each.
            train: normalize with the batch's statistics and update the running ones; call with
                `mutable=["batch_stats"]`.

        Returns:
            Logits [batch, num_classes].

        Raises:
            TypeError: if there is no source.
            ValueError: if the shapes of the sources do not fit.
        """
        check_sources(sources, minimum=1)
        branches = [
            ResNetEncoder(
                (2, 2, 2, 2),
                BasicBlock,
                self.width,
                self.dtype,
                self.param_dtype,
                name=f"branch{number}",
            )(source, train=train)
            for number, source in enumerate(sources, start=1)
        ]
        return _classifier(self, jnp.concatenate(branches, axis=-1))


def _classifier(model: ResNet50 | FusionResNet18, features: jax.Array) -> jax.Array:
    """The last layer, from pooled features to logits."""
    return nn.Dense(
        model.num_classes,
        kernel_init=kaiming_normal,
        bias_init=torch_default_bias(features.shape[-1]),
        dtype=model.dtype,
        param_dtype=model.param_dtype,
        name="fc",
    )(features)
