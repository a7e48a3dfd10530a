"""Views and rearrangements: no value is changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import linalg

from rfp_jax.convert._aten.broadcast import Operation, align


def reshape(x: jax.Array, size: Sequence[int], strides: object = None) -> jax.Array:
    """The same entries in another shape; -1 stands for what is left."""
    return x.reshape(_filled(size, x.size))


def expand(x: jax.Array, size: Sequence[int], *, implicit: bool = False) -> jax.Array:
    """Repeat axes of size 1, and new leading ones; -1 keeps an axis."""
    own = (1,) * (len(size) - x.ndim) + x.shape
    shape = [have if want == -1 else want for have, want in zip(own, size, strict=True)]
    return jnp.broadcast_to(x.reshape(own), shape)


def flatten(x: jax.Array, start_dim: int = 0, end_dim: int = -1) -> jax.Array:
    """Make one axis of several."""
    if x.ndim == 0:
        return x.reshape(1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def unflatten(x: jax.Array, dim: int, sizes: Sequence[int]) -> jax.Array:
    """Make several axes of one."""
    dim %= x.ndim
    return x.reshape(*x.shape[:dim], *_filled(sizes, x.shape[dim]), *x.shape[dim + 1 :])


def _filled(sizes: Sequence[int], total: int) -> list[int]:
    """Sizes with -1 replaced by what is left."""
    known = math.prod(size for size in sizes if size != -1)
    return [total // known if size == -1 else size for size in sizes]


def squeeze(x: jax.Array, dim: int | Sequence[int] | None = None) -> jax.Array:
    """Drop axes of size 1, all or those given; others stay."""
    if x.ndim == 0:
        return x
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    return lax.squeeze(x, [d % x.ndim for d in dims if x.shape[d] == 1])


def take(
    x: jax.Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
):
    """`x[..., start:end:step, ...]` along an axis."""
    first, last, _ = slice(start, end, step).indices(x.shape[dim])
    return lax.slice_in_dim(x, first, max(first, last), step, dim)


def narrow(x: jax.Array, dim: int, start: int, length: int) -> jax.Array:
    """So many entries of an axis from a place on, which may count from the end."""
    first = start + x.shape[dim] if start < 0 else start
    return take(x, dim, first, first + length)


def select(x: jax.Array, dim: int, index: int) -> jax.Array:
    """`x[..., index, ...]`: one entry of an axis, which is dropped."""
    return lax.index_in_dim(x, index, dim, keepdims=False)


def write(
    x: jax.Array,
    values: jax.Array,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> jax.Array:
    """Return x with `x[..., start:end:step, ...] = values`."""
    first, last, step = slice(start, end, step).indices(x.shape[dim])
    if step == 1:
        before, after = (
            lax.slice_in_dim(x, 0, first, axis=dim),
            lax.slice_in_dim(x, max(first, last), None, axis=dim),
        )
        return lax.concatenate([before, values.astype(x.dtype), after], dim % x.ndim)
    places = (slice(None),) * (dim % x.ndim) + (slice(first, last, step),)
    return x.at[places].set(values)


def select_write(x: jax.Array, values: jax.Array, dim: int, index: int) -> jax.Array:
    """Return x with `x[..., index, ...] = values`."""
    index %= x.shape[dim]
    return write(x, jnp.expand_dims(values, dim), dim, index, index + 1)


def diagonal_write(
    x: jax.Array, values: jax.Array, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> jax.Array:
    """Return x with its diagonal replaced."""
    moved = jnp.moveaxis(x, (dim1, dim2), (-2, -1))
    places = np.arange(values.shape[-1])
    written = moved.at[..., places + max(-offset, 0), places + max(offset, 0)].set(values)
    return jnp.moveaxis(written, (-2, -1), (dim1, dim2))


def split(x: jax.Array, size: int | Sequence[int], dim: int = 0) -> list[jax.Array]:
    """Parts of one size, the last one smaller, or of the sizes given."""
    length = x.shape[dim]
    if isinstance(size, int):
        sizes = [min(size, length - at) for at in range(0, max(length, 1), max(size, 1))]
    else:
        sizes = list(size)
    return list(lax.split(x, sizes, dim % x.ndim))


def chunk(x: jax.Array, chunks: int, dim: int = 0) -> list[jax.Array]:
    """At most so many parts of equal size, the last one smaller."""
    return split(x, -(-x.shape[dim] // chunks), dim)


def tensor_split(x: jax.Array, sections: int | Sequence[int], dim: int = 0) -> list[jax.Array]:
    """Parts that differ by one at most, or between the places given."""
    return jnp.array_split(x, sections, dim)


def concatenate(arrays: Sequence[jax.Array], dim: int = 0) -> jax.Array:
    """Join arrays along an axis; empty vectors count for nothing, as ever in PyTorch."""
    return jnp.concatenate([x for x in arrays if x.shape != (0,)] or list(arrays), axis=dim)


def repeat(x: jax.Array, repeats: Sequence[int]) -> jax.Array:
    """Tile an array."""
    return jnp.tile(x.reshape((1,) * (len(repeats) - x.ndim) + x.shape), repeats)


def repeat_interleave(
    x: jax.Array,
    repeats: int | jax.Array,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> jax.Array:
    """Repeat each entry of an axis."""
    return jnp.repeat(x, repeats, dim, total_repeat_length=output_size)


def roll(x: jax.Array, shifts: Sequence[int], dims: Sequence[int] = ()) -> jax.Array:
    """Roll axes around; without axes, the flattened array."""
    return jnp.roll(x, tuple(shifts), tuple(dims)) if dims else jnp.roll(x, shifts[0])


def strided_places(size: Sequence[int], stride: Sequence[int], offset: int | None) -> np.ndarray:
    """Return the place in memory of each entry of a strided view."""
    grid = np.ogrid[tuple(slice(n) for n in size)]
    steps = (step * np.asarray(at) for step, at in zip(stride, grid, strict=True))
    return np.broadcast_to(sum(steps, np.asarray(offset or 0)), tuple(size))


def _in_memory(rank: int, order: Sequence[int] | None) -> Sequence[int]:
    return range(rank) if order is None else order


def as_strided(
    x: jax.Array,
    size: Sequence[int],
    stride: Sequence[int],
    offset: int | None = None,
    *,
    order: Sequence[int] | None = None,
) -> jax.Array:
    """Entries of x by their places in PyTorch's memory.

    Args:
        x: all that stands in that memory.
        size: shape of the view.
        stride: how far its entries lie apart along each axis.
        offset: where it begins.
        order: the axes of x, the one with the greatest stride first; as they are by default.
    """
    flat = jnp.transpose(x, _in_memory(x.ndim, order)).reshape(-1)
    return flat[strided_places(size, stride, offset)]


def strided_write(
    x: jax.Array,
    values: jax.Array,
    size: Sequence[int],
    stride: Sequence[int],
    offset: int | None = None,
    *,
    order: Sequence[int] | None = None,
) -> jax.Array:
    """Return x with the entries of `as_strided` replaced."""
    axes = tuple(_in_memory(x.ndim, order))
    turned = jnp.transpose(x, axes)
    written = turned.reshape(-1).at[strided_places(size, stride, offset)].set(values)
    return jnp.transpose(written.reshape(turned.shape), np.argsort(np.array(axes, int)).tolist())


def unfold(x: jax.Array, dim: int, size: int, step: int) -> jax.Array:
    """Windows along an axis; each window is a new last axis."""
    dim = dim % x.ndim if x.ndim else 0
    starts = np.arange(0, x.shape[dim] - size + 1, step)
    windows = jnp.take(x, starts[:, None] + np.arange(size), axis=dim)
    return jnp.moveaxis(windows, dim + 1, -1)


def pixel_shuffle(x: jax.Array, factor: int) -> jax.Array:
    """[..., c r r, h, w] to [..., c, h r, w r]."""
    *batch, channels, height, width = x.shape
    x = x.reshape(*batch, channels // factor**2, factor, factor, height, width)
    n = len(batch)
    x = x.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*batch, channels // factor**2, height * factor, width * factor)


def pixel_unshuffle(x: jax.Array, factor: int) -> jax.Array:
    """[..., c, h r, w r] to [..., c r r, h, w]."""
    *batch, channels, height, width = x.shape
    x = x.reshape(*batch, channels, height // factor, factor, width // factor, factor)
    n = len(batch)
    x = x.transpose(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return x.reshape(*batch, channels * factor**2, height // factor, width // factor)


def channel_shuffle(x: jax.Array, groups: int) -> jax.Array:
    """Interleave groups of channels."""
    n, channels, *rest = x.shape
    return x.reshape(n, groups, channels // groups, *rest).swapaxes(1, 2).reshape(x.shape)


def pad(x: jax.Array, sizes: Sequence[int], mode: str = "constant", value: float | None = None):
    """Pad from the last axis on: (before, after, before, after, ...); negative sizes crop."""
    config = [(0, 0)] * x.ndim
    for place in range(len(sizes) // 2):
        config[x.ndim - 1 - place] = (sizes[2 * place], sizes[2 * place + 1])
    if mode == "constant":
        fill = jnp.asarray(0 if value is None else value, x.dtype)
        return lax.pad(x, fill, [(low, high, 0) for low, high in config])
    for axis, (low, high) in enumerate(config):
        if (low, high) != (0, 0):
            x = jnp.take(x, _padded_places(x.shape[axis], low, high, mode), axis=axis)
    return x


def _padded_places(size: int, low: int, high: int, mode: str) -> np.ndarray:
    """Return the index from which each entry of a padded axis comes."""
    places = np.arange(-low, size + high)
    if mode == "replicate":
        return places.clip(0, size - 1)
    if mode == "circular":
        return places % size
    period = max(2 * (size - 1), 1)  # reflect
    places = places % period
    return np.where(places < size, places, period - places)


def meshgrid(arrays: Sequence[jax.Array], *, indexing: str = "ij") -> list[jax.Array]:
    """Coordinates of a grid."""
    return jnp.meshgrid(*arrays, indexing=indexing)


def transpose(x: jax.Array, dim0: int, dim1: int) -> jax.Array:
    """Exchange two axes."""
    return jnp.swapaxes(x, dim0, dim1) if x.ndim else x


def diagonal_matrix(x: jax.Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> jax.Array:
    """The last axis as the diagonal of matrices."""
    size = x.shape[-1] + abs(offset)
    return diagonal_write(
        jnp.moveaxis(jnp.zeros((*x.shape[:-1], size, size), x.dtype), (-2, -1), (dim1, dim2)),
        x, offset, dim1, dim2,
    )  # fmt: skip


TABLE: dict[str, Operation] = {
    **dict.fromkeys("view reshape _unsafe_view _reshape_alias".split(), reshape),
    **dict.fromkeys("view_as reshape_as".split(), lambda x, like: x.reshape(like.shape)),
    "flatten": flatten,
    "unflatten": unflatten,
    "ravel": lambda x: x.reshape(-1),
    "squeeze": squeeze,
    "unsqueeze": jnp.expand_dims,
    "atleast_1d": jnp.atleast_1d,
    "expand": expand,
    "expand_as": lambda x, like: expand(x, like.shape),
    "broadcast_to": expand,
    "broadcast_tensors": lambda arrays: jnp.broadcast_arrays(*align(*arrays)),
    "permute": jnp.transpose,
    "transpose": transpose,
    "swapaxes": transpose,
    "swapdims": transpose,
    **dict.fromkeys("t numpy_T".split(), lambda x: x.T),
    "mT": lambda x: jnp.swapaxes(x, -1, -2),
    **dict.fromkeys("adjoint matrix_H".split(), lambda x: jnp.conj(jnp.swapaxes(x, -1, -2))),
    **dict.fromkeys("movedim moveaxis".split(), jnp.moveaxis),
    "slice": take,
    "narrow": narrow,
    "select": select,
    "slice_scatter": write,
    "select_scatter": select_write,
    "diagonal_scatter": diagonal_write,
    "diagonal": lambda x, offset=0, dim1=0, dim2=1: jnp.diagonal(x, offset, dim1, dim2),
    "diag": jnp.diag,
    "diag_embed": diagonal_matrix,
    "trace": jnp.trace,
    "tril": jnp.tril,
    "triu": jnp.triu,
    "split": split,
    "split_with_sizes": split,
    "chunk": chunk,
    "unsafe_chunk": chunk,
    "tensor_split": tensor_split,
    "unbind": lambda x, dim=0: [select(x, dim, at) for at in range(x.shape[dim])],
    **dict.fromkeys("cat concat concatenate".split(), concatenate),
    "stack": lambda arrays, dim=0: jnp.stack(arrays, dim),
    "hstack": jnp.hstack,
    "vstack": jnp.vstack,
    "dstack": jnp.dstack,
    "column_stack": jnp.column_stack,
    "block_diag": lambda arrays: linalg.block_diag(*arrays),
    "repeat": repeat,
    "tile": jnp.tile,
    "repeat_interleave": repeat_interleave,
    "roll": roll,
    "flip": lambda x, dims: jnp.flip(x, tuple(dims)),
    "fliplr": jnp.fliplr,
    "flipud": jnp.flipud,
    "rot90": lambda x, k=1, dims=(0, 1): jnp.rot90(x, k, tuple(dims)),
    "unfold": unfold,
    **dict.fromkeys("as_strided as_strided_copy".split(), as_strided),
    "as_strided_scatter": strided_write,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "channel_shuffle": channel_shuffle,
    "pad": pad,
    "constant_pad_nd": lambda x, sizes, value=0: pad(x, sizes, "constant", value),
    **dict.fromkeys([f"reflection_pad{n}d" for n in (1, 2, 3)], lambda x, p: pad(x, p, "reflect")),
    **dict.fromkeys(
        [f"replication_pad{n}d" for n in (1, 2, 3)], lambda x, p: pad(x, p, "replicate")
    ),
    "meshgrid": meshgrid,
}
