"""Layers that normalize: by what was learned, or by the sample's own mean and variance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import aligned, on_axis


def normalized(x: jax.Array, axes: Sequence[int], epsilon: float) -> jax.Array:
    """`x` less its mean, over its deviation, along axes."""
    centered = x - jnp.mean(x, tuple(axes), keepdims=True)
    variance = jnp.mean(jnp.square(centered), tuple(axes), keepdims=True)
    return centered * lax.rsqrt(variance + epsilon)


def batch_norm(
    x: jax.Array,
    scale: ArrayLike,
    bias: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    n_outputs: int = 1,
) -> jax.Array:
    """By the mean and variance of training, per channel."""
    if training_mode or n_outputs > 1:
        raise NotImplementedError("batch statistics: export the network for inference")
    scale, bias, mean, var = (on_axis(p, x.ndim, 1) for p in (scale, bias, mean, var))
    return ((x - mean) * (scale * lax.rsqrt(var + epsilon)) + bias).astype(x.dtype)


def instance_norm(
    x: jax.Array, scale: ArrayLike, bias: ArrayLike, *, epsilon: float = 1e-5
) -> jax.Array:
    """Per sample and channel."""
    y = normalized(x, range(2, x.ndim), epsilon)
    return y * on_axis(scale, x.ndim, 1) + on_axis(bias, x.ndim, 1)


def layer_norm(
    x: jax.Array,
    scale: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    n_outputs: int = 1,
) -> tuple[jax.Array, ...]:
    """Along the axes from one on; then mean and inverse deviation, if they are asked for."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    axes = tuple(range(axis % x.ndim, x.ndim))
    y, scale = aligned(normalized(wide, axes, epsilon).astype(x.dtype), scale)
    y = y * scale
    if bias is not None:
        y, bias = aligned(y, bias)
        y = y + bias
    if n_outputs == 1:
        return (y,)
    mean = jnp.mean(wide, axes, keepdims=True)
    return (y, mean, lax.rsqrt(jnp.var(wide, axes, keepdims=True) + epsilon))[:n_outputs]


def rms_norm(
    x: jax.Array, scale: ArrayLike, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> jax.Array:
    """By the root of the mean square along the axes from one on."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    axes = tuple(range(axis % x.ndim, x.ndim))
    square = jnp.mean(jnp.square(wide), axes, keepdims=True)
    y, scale = aligned((wide * lax.rsqrt(square + epsilon)).astype(x.dtype), scale)
    return y * scale


def group_norm(per_channel: bool) -> Callable[..., jax.Array]:
    """Per sample and group of channels; scale and bias are per channel or, before, per group."""

    def operation(
        x: jax.Array,
        scale: ArrayLike,
        bias: ArrayLike,
        *,
        num_groups: int,
        epsilon: float = 1e-5,
        stash_type: int = 1,
    ) -> jax.Array:
        groups = x.reshape(x.shape[0], num_groups, -1)
        wide = groups.astype(jnp.promote_types(x.dtype, jnp.float32))
        y = normalized(wide, (2,), epsilon).astype(x.dtype)
        if per_channel:
            y = y.reshape(x.shape)
        y = y * on_axis(scale, y.ndim, 1) + on_axis(bias, y.ndim, 1)
        return y.reshape(x.shape)

    return operation


def lp_norm(x: jax.Array, *, axis: int = -1, p: int = 2) -> jax.Array:
    """By the sum of absolute values, or by the root of the sum of squares; 0 stays 0."""
    size = jnp.abs(x).sum(axis, keepdims=True)
    if p == 2:
        size = jnp.sqrt(jnp.square(x).sum(axis, keepdims=True))
    return x / jnp.where(size == 0, jnp.ones_like(size), size)


def local_response_norm(
    x: jax.Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> jax.Array:
    """By the squares of neighboring channels."""
    window = (1, size) + (1,) * (x.ndim - 2)
    around = [(0, 0)] * x.ndim
    around[1] = (math.floor((size - 1) / 2), math.ceil((size - 1) / 2))
    ones = (1,) * x.ndim
    start = np.zeros((), x.dtype)  # known, or the sum would have no derivative
    total = lax.reduce_window(jnp.square(x), start, lax.add, window, ones, around)
    return x / (bias + alpha / size * total) ** beta


TABLE: dict[str, Callable[..., Tree]] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm(per_channel=True),
    "GroupNormalization-18": group_norm(per_channel=False),
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LpNormalization": lp_norm,
    "LRN": local_response_norm,
    "RMSNormalization": rms_norm,
}
