"""Convolutions and pools: windows that slide over an image or a series, channels first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import Known, int64, ints, on_axis

Ints = Sequence[int] | None


@dataclass(frozen=True)
class Windows:
    """The places of windows on the spatial axes.

    Attributes:
        size: the windows' sizes.
        strides: their steps.
        dilations: the steps inside of them.
        pads: what is put before and behind each axis.
        surplus: what a rounded-up count of windows needs behind that.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    surplus: tuple[int, ...]

    @classmethod
    def on(
        cls,
        spatial: Sequence[int],
        size: Sequence[int],
        *,
        strides: Ints,
        dilations: Ints,
        pads: Ints,
        auto_pad: str,
        ceil_mode: int = 0,
    ) -> Windows:
        """Resolve what ONNX leaves to defaults for the sizes of an input."""
        rank = len(spatial)
        strides = tuple(strides or (1,) * rank)
        dilations = tuple(dilations or (1,) * rank)
        extents = [d * (k - 1) + 1 for k, d in zip(size, dilations, strict=True)]
        around = _split(pads, rank)
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            around = []
            for n, extent, stride in zip(spatial, extents, strides, strict=True):
                total = max((math.ceil(n / stride) - 1) * stride + extent - n, 0)
                less, more = total // 2, total - total // 2
                around.append((less, more) if auto_pad == "SAME_UPPER" else (more, less))
        elif auto_pad == "VALID":
            around = [(0, 0)] * rank
        surplus = [0] * rank
        if ceil_mode:
            for i, (n, extent, stride) in enumerate(zip(spatial, extents, strides, strict=True)):
                low, high = around[i]
                steps = math.ceil((n + low + high - extent) / stride)
                if steps * stride >= n + low:  # it would see the padding behind and nothing else
                    steps -= 1
                surplus[i] = max(steps * stride + extent - (n + low + high), 0)
        return cls(tuple(size), strides, dilations, tuple(around), tuple(surplus))

    @property
    def padding(self) -> list[tuple[int, int]]:
        """All that is put around."""
        return [(a, b + c) for (a, b), c in zip(self.pads, self.surplus, strict=True)]

    def reduce(self, x: Tree, start: Tree, combine: Callable[..., Tree]) -> Tree:
        """Combine the elements of each window of arrays `[sample, channel, ...]`."""
        return lax.reduce_window(
            x,
            start,
            combine,
            (1, 1, *self.size),
            (1, 1, *self.strides),
            [(0, 0), (0, 0), *self.padding],
            window_dilation=(1, 1, *self.dilations),
        )


def _split(pads: Ints, rank: int) -> list[tuple[int, int]]:
    """ONNX's padding, all starts before all ends, per axis."""
    return list(zip(pads[:rank], pads[rank:], strict=True)) if pads else [(0, 0)] * rank


def conv(
    x: jax.Array,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> jax.Array:
    """A convolution, in groups of channels."""
    w = jnp.asarray(w)
    at = Windows.on(
        x.shape[2:], w.shape[2:], strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad
    )
    y = lax.conv_general_dilated(
        x, w, at.strides, at.padding, rhs_dilation=at.dilations, feature_group_count=group
    )
    return y if b is None else y + on_axis(b, y.ndim, 1)


def conv_transpose(
    x: jax.Array,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints = None,
    group: int = 1,
    kernel_shape: Ints = None,
    output_padding: Ints = None,
    output_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> jax.Array:
    """The transpose of a convolution: each element puts a kernel into the output."""
    w = jnp.asarray(w)  # [channels, outputs of a group, ...]
    rank = x.ndim - 2
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    extra = output_padding or (0,) * rank
    around = _split(pads, rank)
    for i, (n, k) in enumerate(zip(x.shape[2:], w.shape[2:], strict=True)):
        natural = strides[i] * (n - 1) + extra[i] + (k - 1) * dilations[i] + 1
        if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            wanted = output_shape[i - rank] if output_shape else n * strides[i]
            total = natural - wanted
            less, more = total // 2, total - total // 2
            around[i] = (less, more) if auto_pad == "SAME_UPPER" else (more, less)
    padding = [
        ((k - 1) * d - low, (k - 1) * d - high + e)
        for k, d, (low, high), e in zip(w.shape[2:], dilations, around, extra, strict=True)
    ]
    kernel = jnp.flip(w, range(2, w.ndim)).reshape(group, -1, *w.shape[1:])
    kernel = jnp.swapaxes(kernel, 1, 2).reshape(-1, w.shape[0] // group, *w.shape[2:])
    y = lax.conv_general_dilated(
        x,
        kernel,
        (1,) * rank,
        padding,
        lhs_dilation=strides,
        rhs_dilation=dilations,
        feature_group_count=group,
    )
    return y if b is None else y + on_axis(b, y.ndim, 1)


def max_pool(
    x: jax.Array,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints = None,
    pads: Ints = None,
    storage_order: int = 0,
    strides: Ints = None,
    n_outputs: int = 1,
) -> tuple[jax.Array, ...]:
    """The greatest element of each window, and its place in the array if that is asked for."""
    at = Windows.on(
        x.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    is_float = jnp.issubdtype(x.dtype, jnp.floating)
    lowest = np.asarray(-np.inf if is_float else jnp.iinfo(x.dtype).min, x.dtype)
    if n_outputs == 1:
        return (at.reduce(x, lowest, lax.max),)
    spatial = x.shape[2:]
    places = np.arange(math.prod(spatial), dtype=np.int32)
    places = places.reshape(spatial, order="F" if storage_order else "C")
    first = np.arange(x.shape[0] * x.shape[1], dtype=np.int32) * places.size
    index = first.reshape(x.shape[0], x.shape[1], *[1] * len(spatial)) + places[None, None]

    def later(a: tuple[jax.Array, ...], b: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        wins = (b[0] > a[0]) | ((b[0] == a[0]) & (b[1] < a[1]))
        return jnp.where(wins, b[0], a[0]), jnp.where(wins, b[1], a[1])

    last = np.asarray(np.iinfo(np.int32).max, np.int32)
    y, place = at.reduce((x, jnp.asarray(index)), (lowest, last), later)
    return y, place.astype(int64())


def average_pool(
    x: jax.Array,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> jax.Array:
    """The average of each window, of the elements of the array or of its padding too."""
    at = Windows.on(
        x.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    zero = np.zeros((), x.dtype)
    total = at.reduce(x, zero, lax.add)
    inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
    if count_include_pad:
        inside = np.pad(inside, [(0, 0), (0, 0), *at.pads], constant_values=1)
        at = Windows(at.size, at.strides, at.dilations, ((0, 0),) * len(at.size), at.surplus)
    with jax.ensure_compile_time_eval():
        count = np.asarray(at.reduce(jnp.asarray(inside), zero, lax.add))
    return total / count


def lp_pool(
    x: jax.Array,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints = None,
    p: int = 2,
    pads: Ints = None,
    strides: Ints = None,
) -> jax.Array:
    """The p-norm of each window."""
    at = Windows.on(
        x.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    return at.reduce(jnp.abs(x) ** p, np.zeros((), x.dtype), lax.add) ** (1 / p)


def max_unpool(
    x: jax.Array,
    places: ArrayLike,
    output_shape: Known | None = None,
    *,
    kernel_shape: Sequence[int],
    pads: Ints = None,
    strides: Ints = None,
) -> jax.Array:
    """Elements at the places that `MaxPool` took them from, zeros elsewhere."""
    rank = len(kernel_shape)
    axes = zip(x.shape[2:], strides or (1,) * rank, _split(pads, rank), kernel_shape, strict=True)
    spatial = [(n - 1) * s - low - high + k for n, s, (low, high), k in axes]
    shape = (*x.shape[:2], *spatial)
    flat = jnp.zeros(math.prod(shape), x.dtype)
    y = flat.at[jnp.asarray(places).reshape(-1)].set(x.reshape(-1)).reshape(shape)
    if output_shape is None:
        return y
    behind = [(0, wanted - size, 0) for wanted, size in zip(ints(output_shape), shape, strict=True)]
    return lax.pad(y, jnp.zeros((), x.dtype), behind)


def over_space(fun: Callable[..., jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """An operation over all spatial axes, which keep the size 1."""
    return lambda x: fun(x, axis=tuple(range(2, x.ndim)), keepdims=True)


def global_lp_pool(x: jax.Array, *, p: int = 2) -> jax.Array:
    """The p-norm of each channel."""
    return over_space(jnp.sum)(jnp.abs(x) ** p) ** (1 / p)


TABLE: dict[str, Callable[..., Tree]] = {
    "AveragePool": average_pool,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "GlobalAveragePool": over_space(jnp.mean),
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": over_space(jnp.max),
    "LpPool": lp_pool,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
}
