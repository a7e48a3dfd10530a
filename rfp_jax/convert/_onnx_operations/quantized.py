"""Numbers of a few bits and the scales that they are in units of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rfp_jax.convert._onnx_operations.operation import aligned, on_axis


def spread(scale: ArrayLike, shape: tuple[int, ...], axis: int, block_size: int) -> jax.Array:
    """A scale for all, per element of an axis, or per block along it."""
    scale = jnp.asarray(scale)
    if scale.ndim <= 1:
        return scale.reshape(()) if scale.size == 1 else on_axis(scale, len(shape), axis)
    repeated = jnp.repeat(scale, block_size, axis) if block_size else scale
    return jax.lax.slice_in_dim(repeated, 0, shape[axis], axis=axis)


def quantize(
    x: jax.Array,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: np.dtype | None = None,
    precision: int = 0,
    saturate: int = 1,
) -> jax.Array:
    """`round(x / scale) + zero_point` within the range of integers of a few bits."""
    zero = jnp.zeros((), output_dtype or jnp.uint8) if zero_point is None else zero_point
    zero = jnp.asarray(zero)
    if not jnp.issubdtype(zero.dtype, jnp.integer):
        raise NotImplementedError(f"quantizing to {zero.dtype}")
    units = jnp.round(x / spread(scale, x.shape, axis, block_size).astype(x.dtype))
    units = units + spread(zero.astype(x.dtype), x.shape, axis, block_size)
    limits = jnp.iinfo(zero.dtype)
    return jnp.clip(units, limits.min, limits.max).astype(zero.dtype)


def dequantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: np.dtype | None = None,
) -> jax.Array:
    """`(x - zero_point) scale`."""
    x, scale = jnp.asarray(x), jnp.asarray(scale)
    units = x.astype(scale.dtype)
    if zero_point is not None:
        zero = jnp.asarray(zero_point).astype(scale.dtype)
        units = units - spread(zero, x.shape, axis, block_size)
    y = units * spread(scale, x.shape, axis, block_size)
    return y if output_dtype is None else y.astype(output_dtype)


def matmul_integer(
    a: ArrayLike,
    b: ArrayLike,
    a_zero_point: ArrayLike | None = None,
    b_zero_point: ArrayLike | None = None,
) -> jax.Array:
    """A product of matrices of integers, each less its zero point, in 32 bits."""
    a, b = jnp.asarray(a).astype(jnp.int32), jnp.asarray(b).astype(jnp.int32)
    if a_zero_point is not None:
        zero = jnp.asarray(a_zero_point).astype(jnp.int32)
        a = a - (zero[:, None] if zero.ndim == 1 and zero.size > 1 else zero.reshape(()))
    if b_zero_point is not None:
        zero = jnp.asarray(b_zero_point).astype(jnp.int32)
        b = jnp.subtract(*aligned(b, zero.reshape(()) if zero.size == 1 else zero))
    return jnp.matmul(a, b)


TABLE: dict[str, Callable[..., Any]] = {
    "DequantizeLinear": dequantize,
    "MatMulInteger": matmul_integer,
    "QuantizeLinear": quantize,
}
