"""Normalization. Scales are weights: a signal is multiplied by `rsqrt(variance + eps)`."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from rfp_jax._util.trees import Given
from rfp_jax.convert._aten.broadcast import Operation, align, along

Optional = jax.Array | None


def _scaled(x: jax.Array, weight: Optional, bias: Optional) -> jax.Array:
    """`x weight + bias`, each optional, of x's rank."""
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _over(x: jax.Array, axes: tuple[int, ...], eps: float) -> tuple[jax.Array, ...]:
    """Normalize over axes; also the mean and the reciprocal standard deviation."""
    mean = x.mean(axes, keepdims=True)
    scale = lax.rsqrt(jnp.square(x - mean).mean(axes, keepdims=True) + eps)
    return (x - mean) * scale, mean, scale


def native_layer_norm(
    x: jax.Array, shape: Sequence[int], weight: Optional = None, bias: Optional = None, eps=1e-5
) -> tuple[jax.Array, ...]:
    """Normalize over the last axes; also the mean and the scale."""
    y, mean, scale = _over(x, tuple(range(x.ndim - len(shape), x.ndim)), eps)
    weight, bias = (v if v is None else align(v, x)[0] for v in (weight, bias))
    return _scaled(y, weight, bias), mean, scale


def layer_norm(
    x: jax.Array,
    shape: Sequence[int],
    weight: Optional = None,
    bias: Optional = None,
    eps: float = 1e-5,
    _: bool = True,
) -> jax.Array:
    """Normalize over the last axes."""
    return native_layer_norm(x, shape, weight, bias, eps)[0]


def rms_norm(
    x: jax.Array, shape: Sequence[int], weight: Optional = None, eps: float | None = None
) -> jax.Array:
    """Divide by the root of the mean square over the last axes."""
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    eps = float(jnp.finfo(x.dtype).eps) if eps is None else eps
    y = x * lax.rsqrt(jnp.square(x).mean(axes, keepdims=True) + eps)
    return y if weight is None else y * align(weight, x)[0]


def batch_norm(
    x: jax.Array,
    weight: Optional,
    bias: Optional,
    mean: Optional,
    variance: Optional,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    _: bool = True,
) -> jax.Array:
    """Normalize each channel, by running statistics, or by the batch's if there are none."""
    weight, bias = (v if v is None else along(1, v, x.ndim) for v in (weight, bias))
    if training or mean is None or variance is None:
        others = tuple(axis for axis in range(x.ndim) if axis != 1)
        return _scaled(_over(x, others, eps)[0], weight, bias)
    mean, scale = along(1, mean, x.ndim), along(1, lax.rsqrt(variance + eps), x.ndim)
    return _scaled(x - mean, scale if weight is None else scale * weight, bias)


def without_training(
    x: jax.Array, weight: Optional, bias: Optional, mean: Optional, variance: Optional, *rest: Given
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`batch_norm` by running statistics, with the empty statistics that PyTorch returns."""
    empty = jnp.zeros(0, x.dtype)
    return batch_norm(x, weight, bias, mean, variance, False, *rest), empty, empty


def without_statistics(
    x: jax.Array, weight: Optional, bias: Optional, training: bool, momentum: float, eps: float
) -> tuple[jax.Array, ...]:
    """`batch_norm` by the batch's statistics; also its mean and scale."""
    others = tuple(axis for axis in range(x.ndim) if axis != 1)
    _, mean, scale = _over(x, others, eps)
    y = batch_norm(x, weight, bias, None, None, training, momentum, eps)
    return y, mean.reshape(-1), scale.reshape(-1)


def native_group_norm(
    x: jax.Array,
    weight: Optional,
    bias: Optional,
    samples: int,
    channels: int,
    pixels: int,
    groups: int,
    eps: float,
) -> tuple[jax.Array, ...]:
    """Normalize each group of channels of each sample; also the means and the scales."""
    y, mean, scale = _over(x.reshape(samples, groups, -1), (2,), eps)
    weight, bias = (v if v is None else along(1, v, x.ndim) for v in (weight, bias))
    return _scaled(y.reshape(x.shape), weight, bias), mean[..., 0], scale[..., 0]


def group_norm(
    x: jax.Array,
    groups: int,
    weight: Optional = None,
    bias: Optional = None,
    eps: float = 1e-5,
    _: bool = True,
) -> jax.Array:
    """Normalize each group of channels of each sample."""
    return native_group_norm(x, weight, bias, x.shape[0], x.shape[1], 0, groups, eps)[0]


def instance_norm(
    x: jax.Array,
    weight: Optional,
    bias: Optional,
    mean: Optional,
    variance: Optional,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    _: bool,
) -> jax.Array:
    """Normalize each channel of each sample, or by running statistics."""
    if use_input_stats:
        return group_norm(x, x.shape[1], weight, bias, eps)
    return batch_norm(x, weight, bias, mean, variance, False, momentum, eps)


def renorm(x: jax.Array, p: float, dim: int, maxnorm: float) -> jax.Array:
    """Shrink slices along an axis whose p-norm exceeds a bound."""
    others = tuple(axis for axis in range(x.ndim) if axis != dim % x.ndim)
    norm = jnp.sum(jnp.abs(x) ** p, axis=others, keepdims=True) ** (1 / p)
    return x * jnp.where(norm > maxnorm, maxnorm / (norm + 1e-7), 1.0)


TABLE: dict[str, Operation] = {
    "layer_norm": layer_norm,
    "native_layer_norm": native_layer_norm,
    "rms_norm": rms_norm,
    "batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": without_training,
    "_native_batch_norm_legit.no_stats": without_statistics,
    "group_norm": group_norm,
    "native_group_norm": native_group_norm,
    "instance_norm": instance_norm,
    "renorm": renorm,
}
