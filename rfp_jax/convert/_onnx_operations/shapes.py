"""Operations that move elements: shapes, slices, gathers and scatters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import Fixed, Known, ints, on_axis


def shape(x: jax.Array, *, start: int = 0, end: int | None = None) -> np.ndarray:
    """The shape: known when the program is traced, whatever x is."""
    return np.asarray(x.shape[start:end], np.int64)


def eye_like(x: jax.Array, *, dtype: np.dtype | None = None, k: int = 0) -> np.ndarray:
    """Ones on a diagonal of a matrix of the shape of another."""
    return np.eye(*x.shape, k=k, dtype=dtype or x.dtype)


def constant_of_shape(shape: Known, *, value: np.ndarray | None = None) -> jax.Array:
    """One number everywhere."""
    return jnp.full(ints(shape), np.float32(0) if value is None else value.reshape(()))


def arange(start: Known, limit: Known, delta: Known, *, stash_type: int = 1) -> jax.Array:
    """Numbers at equal distances."""
    return jnp.arange(start.item(), limit.item(), delta.item(), start.dtype)


def reshape(x: jax.Array, shape: Known, *, allowzero: int = 0) -> jax.Array:
    """The same elements in another shape; 0 keeps a size unless `allowzero`."""
    sizes = ints(shape)
    if not allowzero:
        sizes = tuple(x.shape[i] if size == 0 else size for i, size in enumerate(sizes))
    return x.reshape(sizes)


def flatten(x: jax.Array, *, axis: int = 1) -> jax.Array:
    """A matrix: the axes before one are its rows."""
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def squeeze(x: jax.Array, axes: Known | None = None) -> jax.Array:
    """Without axes of size 1."""
    return jnp.squeeze(x, None if axes is None else ints(axes))


def unsqueeze(x: jax.Array, axes: Known) -> jax.Array:
    """With new axes of size 1."""
    return jnp.expand_dims(x, ints(axes))


def tile(x: jax.Array, repeats: Known) -> jax.Array:
    """Several copies along each axis."""
    return jnp.tile(x, ints(repeats))


def transpose(x: jax.Array, *, perm: Sequence[int] | None = None) -> jax.Array:
    """The axes in another order, reversed by default."""
    return jnp.transpose(x, perm)


def expand(x: jax.Array, shape: Known) -> jax.Array:
    """Broadcast with a shape, in both directions."""
    sizes = np.broadcast_shapes(x.shape, ints(shape))
    return jnp.broadcast_to(x.reshape((1,) * (len(sizes) - x.ndim) + x.shape), sizes)


def split(
    x: jax.Array,
    split: Known | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    n_outputs: int,
) -> list[jax.Array]:
    """Pieces along an axis; without sizes equal ones, of which the last may be smaller."""
    if split is None:
        size = math.ceil(x.shape[axis] / n_outputs)
        ends = [min(size * (i + 1), x.shape[axis]) for i in range(n_outputs)]
    else:
        ends = list(itertools.accumulate(ints(split)))
    starts = [0, *ends[:-1]]
    return [lax.slice_in_dim(x, s, e, axis=axis) for s, e in zip(starts, ends, strict=True)]


def slices(
    x: jax.Array, starts: Known, ends: Known, axes: Known | None = None, steps: Known | None = None
) -> jax.Array:
    """Parts along axes, as Python slices them."""
    index = [slice(None)] * x.ndim
    places = range(len(starts)) if axes is None else ints(axes)
    strides = (1,) * len(starts) if steps is None else ints(steps)
    for axis, start, end, step in zip(places, ints(starts), ints(ends), strides, strict=True):
        size = x.shape[axis]
        if step < 0:  # ONNX clamps a start to the first element, where Python finds nothing
            index[axis] = slice(max(start, -size), None if end < -size else end, step)
        else:
            index[axis] = slice(start, end, step)
    return x[tuple(index)]


def counted(indices: ArrayLike, size: int) -> ArrayLike:
    """Indices from the front, where negative ones count from the end."""
    if isinstance(indices, np.ndarray):
        return np.where(indices < 0, indices + size, indices)
    indices = jnp.asarray(indices)
    return jnp.where(indices < 0, indices + size, indices)


def gather(x: ArrayLike, indices: Fixed, *, axis: int = 0) -> jax.Array:
    """Elements along an axis by their indices."""
    x = jnp.asarray(x)
    if isinstance(indices, np.ndarray) and indices.ndim == 0:
        return lax.index_in_dim(x, int(indices), axis, keepdims=False)
    return jnp.take(x, counted(indices, x.shape[axis]), axis, mode="clip")


def gather_elements(x: ArrayLike, indices: Fixed, *, axis: int = 0) -> jax.Array:
    """Elements along an axis, each place with an index of its own."""
    x = jnp.asarray(x)
    grid = _places(indices, axis, x.shape)
    return x[grid]


def _places(indices: ArrayLike, axis: int, shape: Sequence[int]) -> tuple[ArrayLike, ...]:
    """For each element of `indices` the place that it names on one axis, and its own on others."""
    grid = np.ogrid[tuple(slice(size) for size in jnp.shape(indices))]
    own: list[ArrayLike] = [np.asarray(i) for i in grid]
    own[axis] = counted(indices, shape[axis])
    return tuple(own)


def gather_nd(x: ArrayLike, indices: Fixed, *, batch_dims: int = 0) -> jax.Array:
    """Slices by the places that the rows of `indices` name, per element of the batch axes."""
    x = jnp.asarray(x)
    own = np.ogrid[tuple(slice(size) for size in x.shape[:batch_dims])]
    rank = jnp.ndim(indices) - 1
    batch = [i.reshape(i.shape + (1,) * (rank - batch_dims)) for i in own]
    return x[(*batch, *_columns(indices, x.shape[batch_dims:]))]


def _columns(indices: ArrayLike, shape: Sequence[int]) -> list[ArrayLike]:
    """The coordinates that the rows of `indices` name."""
    given = indices if isinstance(indices, np.ndarray) else jnp.asarray(indices)
    return [counted(given[..., i], shape[i]) for i in range(given.shape[-1])]


def _update(x: jax.Array, place: tuple[ArrayLike, ...], updates: jax.Array, how: str) -> jax.Array:
    at = x.at[place]
    ways = {"none": at.set, "add": at.add, "mul": at.multiply, "max": at.max, "min": at.min}
    return ways[how](updates)


def scatter_elements(
    x: ArrayLike, indices: Fixed, updates: ArrayLike, *, axis: int = 0, reduction: str = "none"
) -> jax.Array:
    """`x` with updates, each at the index that stands in its place."""
    x = jnp.asarray(x)
    return _update(x, _places(indices, axis, x.shape), jnp.asarray(updates), reduction)


def scatter_nd(
    x: ArrayLike, indices: Fixed, updates: ArrayLike, *, reduction: str = "none"
) -> jax.Array:
    """`x` with slices updated at the places that the rows of `indices` name."""
    x = jnp.asarray(x)
    return _update(x, tuple(_columns(indices, x.shape)), jnp.asarray(updates), reduction)


def pad(
    x: jax.Array,
    pads: Known,
    constant_value: Fixed | None = None,
    axes: Known | None = None,
    *,
    mode: str = "constant",
) -> jax.Array:
    """More elements around, or fewer where a number is negative."""
    places = range(x.ndim) if axes is None else [axis % x.ndim for axis in ints(axes)]
    widths = [(0, 0)] * x.ndim
    numbers = ints(pads)
    for axis, low, high in zip(
        places, numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :], strict=True
    ):
        widths[axis] = (low, high)
    if mode == "constant":
        fill = jnp.zeros((), x.dtype) if constant_value is None else jnp.asarray(constant_value)
        return lax.pad(x, fill.astype(x.dtype).reshape(()), [(*width, 0) for width in widths])
    x = lax.pad(x, jnp.zeros((), x.dtype), [(min(a, 0), min(b, 0), 0) for a, b in widths])
    return jnp.pad(x, [(max(a, 0), max(b, 0)) for a, b in widths], mode=mode)


def depth_to_space(x: jax.Array, *, blocksize: int, mode: str = "DCR") -> jax.Array:
    """Channels to blocks of pixels."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        x = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // b**2, h * b, w * b)


def space_to_depth(x: jax.Array, *, blocksize: int, mode: str = "DCR") -> jax.Array:
    """Blocks of pixels to channels."""
    n, c, h, w = x.shape
    b = blocksize
    x = x.reshape(n, c, h // b, b, w // b, b)
    x = x.transpose(0, 3, 5, 1, 2, 4) if mode == "DCR" else x.transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(n, c * b**2, h // b, w // b)


def reverse_sequence(
    x: jax.Array, lengths: ArrayLike, *, batch_axis: int = 1, time_axis: int = 0
) -> jax.Array:
    """The first steps of each sequence in reverse, as many as its length."""
    time = jnp.arange(x.shape[time_axis])[:, None]
    length = jnp.asarray(lengths)[None, :]
    source = jnp.where(time < length, length - 1 - time, time)  # [time, batch]
    rows = jnp.moveaxis(x, (time_axis, batch_axis), (0, 1))
    index = source.reshape(source.shape + (1,) * (x.ndim - 2))
    taken = jnp.take_along_axis(rows, index, axis=0)
    return jnp.moveaxis(taken, (0, 1), (time_axis, batch_axis))


def triangle(x: jax.Array, k: Known | None = None, *, upper: int = 1) -> jax.Array:
    """The upper or lower triangle of matrices."""
    return (jnp.triu if upper else jnp.tril)(x, 0 if k is None else int(k))


def one_hot(indices: ArrayLike, depth: Known, values: ArrayLike, *, axis: int = -1) -> jax.Array:
    """`values[1]` at the indices on a new axis, `values[0]` elsewhere."""
    off, on = jnp.asarray(values)
    size = int(np.ravel(depth)[0])
    places = counted(jnp.asarray(indices), size)
    places = jnp.expand_dims(places, axis)
    hot = places == on_axis(jnp.arange(size), places.ndim, axis)
    return jnp.where(hot, on, off)


def compress(x: jax.Array, condition: Known, *, axis: int | None = None) -> jax.Array:
    """The elements along an axis for which a condition holds."""
    x = x.reshape(-1) if axis is None else x
    return jnp.take(x, np.flatnonzero(condition), 0 if axis is None else axis)


def concat(*xs: ArrayLike, axis: int) -> jax.Array:
    """Arrays one behind the other."""
    return jnp.concatenate([jnp.asarray(x) for x in xs], axis)


def col2im(
    x: jax.Array,
    image_shape: Known,
    block_shape: Known,
    *,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> jax.Array:
    """Add up overlapping blocks, which are the columns of `x`, in an image."""
    sizes, blocks = ints(image_shape), ints(block_shape)
    rank = len(sizes)
    dilations, strides = dilations or (1,) * rank, strides or (1,) * rank
    pads = pads or (0,) * (2 * rank)
    padded = [size + pads[i] + pads[i + rank] for i, size in enumerate(sizes)]
    counts = [
        (p - d * (b - 1) - 1) // s + 1
        for p, d, b, s in zip(padded, dilations, blocks, strides, strict=True)
    ]
    channels = x.shape[1] // math.prod(blocks)
    x = x.reshape(x.shape[0], channels, *blocks, *counts)
    grids = [
        (np.arange(b)[:, None] * d + np.arange(n)[None] * s)
        for b, d, n, s in zip(blocks, dilations, counts, strides, strict=True)
    ]
    place = [
        g.reshape([g.shape[0] if j == i else g.shape[1] if j == i + rank else 1 for j in
                   range(2 * rank)])
        for i, g in enumerate(grids)
    ]  # fmt: skip
    image = jnp.zeros((x.shape[0], channels, *padded), x.dtype).at[(..., *place)].add(x)
    inner = [slice(pads[i], pads[i] + size) for i, size in enumerate(sizes)]
    return image[(..., *inner)]


TABLE: dict[str, Callable[..., Tree]] = {
    "Col2Im": col2im,
    "Compress": compress,
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "EyeLike": eye_like,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "Pad": pad,
    "Range": arange,
    "Reshape": reshape,
    "ReverseSequence": reverse_sequence,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Shape": shape,
    "Size": lambda x: np.asarray(x.size, np.int64),
    "Slice": slices,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": triangle,
    "Unsqueeze": unsqueeze,
}
