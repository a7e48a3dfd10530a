"""Pooling: maxima and means of windows, fixed or adaptive."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax._util.trees import Given
from rfp_jax.convert._aten.broadcast import Operation
from rfp_jax.convert._aten.convolution import Sizes, sizes, window_places


def _pads(
    shape: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> list[tuple[int, int]]:
    """Padding per axis; with `ceil_mode` enough for a last window that starts on the input."""

    def behind(n: int, k: int, s: int, p: int, d: int) -> int:
        free = n + 2 * p - d * (k - 1) - 1
        last = -(-free // s) if ceil_mode else free // s
        if last * s >= n + p:
            last -= 1
        return max(p, last * s + d * (k - 1) + 1 - n - p)

    axes = zip(shape, kernel, stride, padding, dilation, strict=True)
    return [(axis[3], behind(*axis)) for axis in axes]


def max_pool(count: int) -> Operation:
    """Maxima of windows over the last `count` axes."""

    def operation(
        x: jax.Array,
        kernel: Sizes,
        stride: Sizes = (),
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> jax.Array:
        kernel, padding, dilation = (sizes(v, count) for v in (kernel, padding, dilation))
        stride = sizes(stride, count) or kernel
        pads = _pads(x.shape[-count:], kernel, stride, padding, dilation, ceil_mode)
        ones = (1,) * (x.ndim - count)
        pads = [(0, 0)] * len(ones) + pads
        lowest = _lowest(x.dtype)
        if set(dilation) == {1}:
            return lax.reduce_window(x, lowest, lax.max, ones + kernel, ones + stride, pads)
        # JAX cannot differentiate a reduce_window with dilation: the windows one by one.
        x = lax.pad(x, jnp.asarray(lowest, x.dtype), [(low, high, 0) for low, high in pads])
        places = window_places(x.shape[x.ndim - count :], kernel, dilation, stride)
        for axis, at in enumerate(places, start=len(ones)):
            x = jnp.take(x, at, axis=axis).max(axis + 1)
        return x

    return operation


def max_pool_with_indices(count: int) -> Operation:
    """Maxima of windows, and where each stands in the flattened input."""

    def operation(
        x: jax.Array,
        kernel: Sizes,
        stride: Sizes = (),
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> tuple[jax.Array, jax.Array]:
        kernel, padding, dilation = (sizes(v, count) for v in (kernel, padding, dilation))
        stride = sizes(stride, count) or kernel
        shape = x.shape[-count:]
        pads = _pads(shape, kernel, stride, padding, dilation, ceil_mode)
        padded = [n + low + high for n, (low, high) in zip(shape, pads, strict=True)]
        places = window_places(padded, kernel, dilation, stride)
        places = [at - low for at, (low, _) in zip(places, pads, strict=True)]
        values = max_pool(count)(x, kernel, stride, padding, dilation, ceil_mode)
        return values, _winners(x, places)

    return operation


def _winners(x: jax.Array, places: Sequence[np.ndarray]) -> jax.Array:
    """Return the place of the greatest entry of each window in the flattened last axes.

    Args:
        x: [..., sizes].
        places: per axis [windows, kernel]; what lies outside of x never wins.
    """
    count = len(places)
    shape = x.shape[x.ndim - count :]
    flat = np.zeros((1,) * (2 * count), np.int64)
    inside = np.ones((1,) * (2 * count), bool)
    for axis, of_axis in enumerate(places):  # windows of all axes first, then kernels of all
        view = [1] * (2 * count)
        view[axis], view[count + axis] = of_axis.shape
        at = of_axis.reshape(view)
        flat = flat * shape[axis] + at.clip(0, shape[axis] - 1)
        inside = inside & (at >= 0) & (at < shape[axis])
    windows = flat.shape[:count]
    flat, inside = (a.reshape(*windows, -1) for a in np.broadcast_arrays(flat, inside))
    seen = x.reshape(*x.shape[: x.ndim - count], -1)[..., flat]
    seen = jnp.where(inside.reshape((1,) * (x.ndim - count) + inside.shape), seen, _lowest(x.dtype))
    winner = jnp.argmax(seen, axis=-1, keepdims=True)
    flat = jnp.broadcast_to(flat, seen.shape)
    return jnp.take_along_axis(flat, winner, axis=-1)[..., 0]


def _lowest(dtype: Given) -> Given:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).min


def average_pool(count: int) -> Operation:
    """Means of windows over the last `count` axes."""

    def operation(
        x: jax.Array,
        kernel: Sizes,
        stride: Sizes = (),
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> jax.Array:
        kernel, padding = sizes(kernel, count), sizes(padding, count)
        stride = sizes(stride, count) or kernel
        shape = x.shape[-count:]
        pads = _pads(shape, kernel, stride, padding, (1,) * count, ceil_mode)
        ones = (1,) * (x.ndim - count)
        total = lax.reduce_window(
            x, 0.0, lax.add, ones + kernel, ones + stride, [(0, 0)] * len(ones) + pads
        )
        if divisor_override is not None:
            return total / divisor_override
        counted = [p if count_include_pad else 0 for p in padding]
        axes = zip(shape, kernel, stride, padding, counted, total.shape[-count:], strict=True)
        members = [_members(*axis) for axis in axes]
        grid = np.array(np.prod(np.meshgrid(*members, indexing="ij"), axis=0), total.dtype)
        return total / grid.reshape(ones + grid.shape)

    return operation


def _members(size: int, kernel: int, stride: int, pad: int, counted: int, windows: int):
    """Count the entries of each window along an axis, padding up to `counted` among them."""
    start = np.arange(windows) * stride - pad
    return np.minimum(start + kernel, size + counted) - np.maximum(start, -counted)


def adaptive_average_pool(count: int) -> Operation:
    """Means of so many windows per axis as wanted, one axis after the other."""

    def operation(x: jax.Array, output_size: Sequence[int | None]) -> jax.Array:
        for place, wanted in enumerate(output_size):
            axis = x.ndim - count + place
            size = x.shape[axis]
            windows = size if wanted is None else wanted
            if size % windows == 0:
                split = x.reshape(*x.shape[:axis], windows, size // windows, *x.shape[axis + 1 :])
                x = split.mean(axis + 1)
            else:
                weights = np.zeros((windows, size))
                for row, (start, end) in zip(weights, _bounds(size, windows), strict=True):
                    row[start:end] = 1 / (end - start)
                pooled = jnp.tensordot(x, jnp.asarray(weights, x.dtype), ((axis,), (1,)))
                x = jnp.moveaxis(pooled, -1, axis)
        return x

    return operation


def adaptive_max_pool(count: int) -> Operation:
    """Maxima of so many windows per axis as wanted, and where they stand."""

    def operation(x: jax.Array, output_size: Sequence[int | None]) -> tuple[jax.Array, jax.Array]:
        shape, values = x.shape[x.ndim - count :], x
        places = []
        for place, (size, wanted) in enumerate(zip(shape, output_size, strict=True)):
            windows = _bounds(size, size if wanted is None else wanted)
            longest = max(end - start for start, end in windows)
            at = np.array([[min(s + k, e - 1) for k in range(longest)] for s, e in windows])
            axis = x.ndim - count + place
            values = jnp.take(values, at, axis=axis).max(axis + 1)
            places.append(at)
        return values, _winners(x, places)

    return operation


def _bounds(size: int, windows: int) -> list[tuple[int, int]]:
    """Return the starts and ends of the adaptive windows of an axis."""
    return [(i * size // windows, -(-(i + 1) * size // windows)) for i in range(windows)]


def unpool(x: jax.Array, indices: jax.Array, output_size: Sequence[int], *_: Given) -> jax.Array:
    """Put maxima back to where they were, zeros elsewhere."""
    count = len(output_size)
    batch = x.shape[: x.ndim - count]
    rows = np.arange(int(np.prod(batch)))[:, None]
    flat = jnp.zeros((len(rows), int(np.prod(output_size))), x.dtype)
    flat = flat.at[rows, indices.reshape(len(rows), -1)].set(x.reshape(len(rows), -1))
    return flat.reshape(*batch, *output_size)


def _each(name: str, family: Callable[[int], Operation]) -> dict[str, Operation]:
    return {name.format(count): family(count) for count in (1, 2, 3)}


TABLE: dict[str, Operation] = {
    **_each("max_pool{}d", max_pool),
    **_each("max_pool{}d_with_indices", max_pool_with_indices),
    **_each("avg_pool{}d", average_pool),
    **_each("adaptive_avg_pool{}d", adaptive_average_pool),
    "_adaptive_avg_pool1d": adaptive_average_pool(1),
    "_adaptive_avg_pool2d": adaptive_average_pool(2),
    "_adaptive_avg_pool3d": adaptive_average_pool(3),
    **_each("adaptive_max_pool{}d", adaptive_max_pool),
    "max_unpool2d": unpool,
    "max_unpool3d": unpool,
}
