"""Numbers of a few bits and the scales that they are in units of."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import aligned, on_axis
from rfp_jax.convert._onnx_operations.windows import Ints, conv


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
    zero = spread(zero, x.shape, axis, block_size)
    if not jnp.issubdtype(zero.dtype, jnp.integer):
        raise NotImplementedError(
            f"quantizing to {zero.dtype}; to integers, or the network before it was quantized, is "
            "read"
        )
    return saturated(x / spread(scale, x.shape, axis, block_size).astype(x.dtype), zero)


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


def conv_integer(
    x: ArrayLike,
    w: ArrayLike,
    x_zero_point: ArrayLike | None = None,
    w_zero_point: ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> jax.Array:
    """A convolution of integers, each less its zero point, in 32 bits; padding is that point."""
    x, w = jnp.asarray(x).astype(jnp.int32), jnp.asarray(w).astype(jnp.int32)
    if x_zero_point is not None:
        x = x - jnp.asarray(x_zero_point).astype(jnp.int32).reshape(())
    if w_zero_point is not None:
        w = w - spread(jnp.asarray(w_zero_point).astype(jnp.int32), w.shape, 0, 0)
    return conv(
        x, w, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides
    )


def saturated(units: jax.Array, zero_point: ArrayLike) -> jax.Array:
    """`units` rounded, moved by the zero point, and within the range of its integers."""
    zero = jnp.asarray(zero_point)
    limits = jnp.iinfo(zero.dtype)
    moved = jnp.add(*aligned(jnp.round(units), zero.astype(units.dtype)))
    return jnp.clip(moved, limits.min, limits.max).astype(zero.dtype)


def conv_quantized(  # noqa: PLR0917  (ONNX's order)
    x: ArrayLike,
    x_scale: ArrayLike,
    x_zero_point: ArrayLike,
    w: ArrayLike,
    w_scale: ArrayLike,
    w_zero_point: ArrayLike,
    y_scale: ArrayLike,
    y_zero_point: ArrayLike,
    b: ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> jax.Array:
    """`conv_integer` from scales to a scale; the bias is in units of the product of the scales."""
    total = conv_integer(
        x, w, x_zero_point, w_zero_point, auto_pad=auto_pad, dilations=dilations, group=group,
        pads=pads, strides=strides,
    )  # fmt: skip
    total = total if b is None else total + on_axis(b, total.ndim, 1)
    scale = spread(w_scale, total.shape, 1, 0)
    scale = jnp.asarray(x_scale).reshape(()) * scale / jnp.asarray(y_scale).reshape(())
    return saturated(total.astype(scale.dtype) * scale, jnp.asarray(y_zero_point).reshape(()))


def matmul_quantized(  # noqa: PLR0917  (ONNX's order)
    a: ArrayLike,
    a_scale: ArrayLike,
    a_zero_point: ArrayLike,
    b: ArrayLike,
    b_scale: ArrayLike,
    b_zero_point: ArrayLike,
    y_scale: ArrayLike,
    y_zero_point: ArrayLike,
) -> jax.Array:
    """`matmul_integer` from scales to a scale, each of all, of rows of `a` or of columns of `b`."""
    total = matmul_integer(a, b, a_zero_point, b_zero_point)
    rows, result = (_of_rows(jnp.asarray(s)) for s in (a_scale, y_scale))
    scale = jnp.divide(*aligned(jnp.multiply(*aligned(rows, _single(b_scale))), result))
    scale = scale.astype(jnp.asarray(a_scale).dtype)
    units = jnp.multiply(*aligned(total.astype(scale.dtype), scale))
    return saturated(units, _of_rows(jnp.asarray(y_zero_point)))


def _of_rows(scale: jax.Array) -> jax.Array:
    """A number for all, or one of each row."""
    return scale[:, None] if scale.ndim == 1 and scale.size > 1 else _single(scale)


def _single(scale: ArrayLike) -> jax.Array:
    scale = jnp.asarray(scale)
    return scale.reshape(()) if scale.size == 1 else scale


def matmul_integer(
    a: ArrayLike,
    b: ArrayLike,
    a_zero_point: ArrayLike | None = None,
    b_zero_point: ArrayLike | None = None,
) -> jax.Array:
    """A product of matrices of integers, each less its zero point, in 32 bits."""
    a, b = jnp.asarray(a).astype(jnp.int32), jnp.asarray(b).astype(jnp.int32)
    if a_zero_point is not None:
        a = jnp.subtract(*aligned(a, _of_rows(jnp.asarray(a_zero_point).astype(jnp.int32))))
    if b_zero_point is not None:
        b = jnp.subtract(*aligned(b, _single(b_zero_point).astype(jnp.int32)))
    return jnp.matmul(a, b)


TABLE: dict[str, Callable[..., Tree]] = {
    "DequantizeLinear": dequantize,
    "ConvInteger": conv_integer,
    "MatMulInteger": matmul_integer,
    "QLinearConv": conv_quantized,
    "QLinearMatMul": matmul_quantized,
    "QuantizeLinear": quantize,
}
