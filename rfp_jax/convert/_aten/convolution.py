"""Convolutions, transposed ones, and windows as columns; channels first, as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax.convert._aten.broadcast import Operation, along

Sizes = int | Sequence[int]


def sizes(value: Sizes, count: int) -> tuple[int, ...]:
    """One size per spatial axis; a single one stands for all."""
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * count if len(given) == 1 else given


def convolution(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> jax.Array:
    """Cross-correlation of x [batch, in, ...] with weight [out, in / groups, ...]."""
    count = weight.ndim - 2
    kernel, dilations = weight.shape[2:], sizes(dilation, count)
    if padding == "same":  # the greater half behind, as PyTorch does
        total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        pads = [(n // 2, n - n // 2) for n in total]
    else:
        pads = [(p, p) for p in sizes(0 if isinstance(padding, str) else padding, count)]
    return _biased(
        lax.conv_general_dilated(
            _batched(x, count),
            weight,
            sizes(stride, count),
            pads,
            rhs_dilation=dilations,
            dimension_numbers=_channels_first(count),
            feature_group_count=groups,
        ),
        bias,
        x.ndim == count + 2,
    )


def transposed(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> jax.Array:
    """The transpose of a convolution; weight [in, out / groups, ...]."""
    count = weight.ndim - 2
    inputs, outputs, *kernel = weight.shape
    weight = weight.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
    weight = weight.reshape(groups * outputs, inputs // groups, *kernel)
    pads = [
        (d * (k - 1) - p, d * (k - 1) - p + extra)
        for d, k, p, extra in zip(
            sizes(dilation, count),
            kernel,
            sizes(padding, count),
            sizes(output_padding, count),
            strict=True,
        )
    ]
    return _biased(
        lax.conv_general_dilated(
            _batched(x, count),
            jnp.flip(weight, range(2, count + 2)),
            (1,) * count,
            pads,
            lhs_dilation=sizes(stride, count),
            rhs_dilation=sizes(dilation, count),
            dimension_numbers=_channels_first(count),
            feature_group_count=groups,
        ),
        bias,
        x.ndim == count + 2,
    )


def any_convolution(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    is_transposed: bool,
    output_padding: Sizes,
    groups: int,
    *_: bool,
) -> jax.Array:
    """`aten.convolution`: either kind."""
    if is_transposed:
        return transposed(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return convolution(x, weight, bias, stride, padding, dilation, groups)


def _channels_first(count: int) -> tuple[str, str, str]:
    axes = "DHW"[-count:]
    return f"NC{axes}", f"OI{axes}", f"NC{axes}"


def _batched(x: jax.Array, count: int) -> jax.Array:
    return x if x.ndim == count + 2 else x[None]


def _biased(y: jax.Array, bias: jax.Array | None, batched: bool) -> jax.Array:
    y = y if bias is None else y + along(1, bias, y.ndim)
    return y if batched else y[0]


def window_places(
    shape: Sequence[int], kernel: Sizes, dilation: Sizes, stride: Sizes
) -> list[np.ndarray]:
    """Per axis, [windows, kernel]: which entries each window sees."""
    count = len(shape)
    return [
        np.arange(0, n - d * (k - 1), s)[:, None] + d * np.arange(k)
        for n, k, d, s in zip(
            shape, sizes(kernel, count), sizes(dilation, count), sizes(stride, count), strict=True
        )
    ]


def im2col(
    x: jax.Array, kernel: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> jax.Array:
    """Windows of [batch, channels, height, width] as columns [batch, channels k k, windows]."""
    batched, x = x.ndim == 4, _batched(x, 2)
    low, left = sizes(padding, 2)
    x = jnp.pad(x, ((0, 0), (0, 0), (low, low), (left, left)))
    rows, columns = window_places(x.shape[2:], kernel, dilation, stride)
    windows = x[:, :, rows.T[:, None, :, None], columns.T[None, :, None, :]]  # n c k k h w
    y = windows.reshape(x.shape[0], x.shape[1] * rows.shape[1] * columns.shape[1], -1)
    return y if batched else y[0]


def col2im(
    x: jax.Array,
    output_size: Sizes,
    kernel: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> jax.Array:
    """The transpose of `im2col`: columns are added up where they overlap."""
    batched, x = x.ndim == 3, x if x.ndim == 3 else x[None]
    (height, width), (low, left), (kh, kw) = (
        sizes(value, 2) for value in (output_size, padding, kernel)
    )
    padded = (height + 2 * low, width + 2 * left)
    rows, columns = window_places(padded, kernel, dilation, stride)
    channels = x.shape[1] // (kh * kw)
    windows = x.reshape(x.shape[0], channels, kh, kw, len(rows), len(columns))
    y = jnp.zeros((x.shape[0], channels, *padded), x.dtype)
    y = y.at[:, :, rows.T[:, None, :, None], columns.T[None, :, None, :]].add(windows)
    y = y[:, :, low : low + height, left : left + width]
    return y if batched else y[0]


TABLE: dict[str, Operation] = {
    **dict.fromkeys("conv1d conv2d conv3d".split(), convolution),
    **dict.fromkeys("conv_transpose1d conv_transpose2d conv_transpose3d".split(), transposed),
    **dict.fromkeys("convolution _convolution".split(), any_convolution),
    "im2col": im2col,
    "col2im": col2im,
}
