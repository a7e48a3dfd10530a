"""Parts that the architectures share: sources, and layers that start out as PyTorch's do.

The initializers are PyTorch's. `torch.nn.Conv2d` and `torch.nn.Linear` draw weights *and* biases
from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), `kaiming_uniform_` with a = sqrt(5). The networks published
for SEN12MS then redraw every weight with `kaiming_normal_`, N(0, 2 / fan_in), and leave the biases.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

LayerMaker = Callable[..., nn.Module]
"""Makes a layer: a Linen module class with some of its attributes bound."""

torch_default = jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
kaiming_normal = jax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def torch_default_bias(fan_in: int) -> Callable[..., jax.Array]:
    """PyTorch's initializer of a bias, U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Args:
        fan_in: number of inputs that one output of the layer sees; a bias does not know it itself.

    Returns:
        An initializer `(key, shape, dtype) -> array`.
    """
    bound = 1 / math.sqrt(fan_in)

    def init(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, tuple(shape), dtype, -bound, bound)

    return init


def batch_norm(*, train: bool, dtype: DTypeLike | None, param_dtype: DTypeLike) -> LayerMaker:
    """Batch normalization with PyTorch's numbers: epsilon 1e-5, a tenth of each batch's statistics.

    Args:
        train: use the batch's statistics and update the running ones; if not, use the running ones.
        dtype: dtype of the computation; None takes what inputs and parameters promote to.
        param_dtype: dtype of the parameters that `init` makes.

    Returns:
        `flax.linen.BatchNorm` with these attributes bound.
    """
    return functools.partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=0.9,  # of the old statistics; PyTorch's momentum 0.1 is the share of the new ones
        epsilon=1e-5,
        dtype=dtype,
        param_dtype=param_dtype,
    )


def check_sources(sources: Sequence[jax.Array], *, minimum: int) -> None:
    """Say what is wrong with a model's sources before a layer stumbles over it.

    Args:
        sources: the arrays a model was called with.
        minimum: smallest height and width that the network can take.

    Raises:
        TypeError: if there is no source.
        ValueError: if a source is not [batch, height, width, channels], is smaller than `minimum`,
            or differs from the others in anything but its channels.
    """
    if not sources:
        raise TypeError(
            "no source was given: pass one or more arrays [batch, height, width, channels]"
        )
    shapes = [jnp.shape(source) for source in sources]
    for number, shape in enumerate(shapes, start=1):
        if len(shape) != 4:
            raise ValueError(
                f"source {number} has shape {shape}: expected [batch, height, width, channels]"
            )
        if min(shape[1:3]) < minimum:
            raise ValueError(
                f"source {number} has shape {shape}: this network needs images of at least "
                f"{minimum} x {minimum} pixels, channels last"
            )
    if len({shape[:3] for shape in shapes}) > 1:
        raise ValueError(
            f"the sources have shapes {shapes}: they must agree in batch, height and width"
        )


def join(sources: Sequence[jax.Array], *, minimum: int) -> jax.Array:
    """Join sources on the channel axis.

    Args:
        sources: one or more arrays [batch, height, width, channels], equal but for their channels.
        minimum: smallest height and width that the network can take.

    Returns:
        One array [batch, height, width, sum of channels].

    Raises:
        TypeError: if there is no source.
        ValueError: if the shapes do not fit (see `check_sources`).
    """
    check_sources(sources, minimum=minimum)
    return jnp.concatenate(sources, axis=-1)


def max_pool(x: jax.Array, window: int, stride: int, padding: int = 0) -> jax.Array:
    """Maximum over square windows; padding counts as -inf, as PyTorch's does.

    Args:
        x: array [batch, height, width, channels].
        window: height and width of the windows.
        stride: rows and columns from a window to the next; what is left over is dropped.
        padding: rows and columns added on every side.

    Returns:
        Array [batch, rows, columns, channels].
    """
    pads: Any = ((padding, padding), (padding, padding))  # Flax declares text alone
    return nn.max_pool(x, (window, window), strides=(stride, stride), padding=pads)


def flatten(features: jax.Array) -> jax.Array:
    """Flatten [batch, height, width, channels] to [batch, height * width * channels]."""
    return features.reshape(features.shape[0], -1)
