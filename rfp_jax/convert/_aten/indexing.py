"""Gathers and scatters, embeddings."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given
from rfp_jax.convert._aten.broadcast import Operation, align, broadcast
from rfp_jax.convert._aten.normalization import renorm

Indices = Sequence[jax.Array | None]


def _places(indices: Indices) -> tuple[Given, ...]:
    """Arrays of one rank, and `:` for None, as NumPy takes them."""
    arrays = iter(align(*(index for index in indices if index is not None)))
    return tuple(slice(None) if index is None else next(arrays) for index in indices)


def index(x: jax.Array, indices: Indices) -> jax.Array:
    """`x[indices]`, each an array of integers or truth values, or None for a whole axis."""
    return x[_places(indices)]


def index_write(
    x: jax.Array, indices: Indices, values: jax.Array, accumulate: bool = False, _: bool = False
) -> jax.Array:
    """Return x with `x[indices] = values`, or with values added there."""
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) == 1 and given[0][1].dtype == bool:
        return _masked_write(x, *given[0], values, accumulate)
    place = x.at[_places(indices)]
    return place.add(values) if accumulate else place.set(values)


def _masked_write(
    x: jax.Array, first: int, mask: jax.Array, values: jax.Array, accumulate: bool
) -> jax.Array:
    """Write values, one for all or as many in order, where a mask of the axes from one on holds."""
    behind = x.ndim - first - mask.ndim
    if (axis := values.ndim - behind - 1) >= 0:
        order = jnp.cumsum(mask.reshape(-1)).reshape(mask.shape) - 1
        values = jnp.take(values, jnp.clip(order, 0, values.shape[axis] - 1), axis=axis)
    mask, values, x = align(mask.reshape(mask.shape + (1,) * behind), values, x)
    return jnp.where(mask, x + values if accumulate else values, x)


def gather(x: jax.Array, dim: int, where: jax.Array, *, sparse_grad: bool = False) -> jax.Array:
    """`y[i, j] = x[where[i, j], j]` for the first axis, and so on."""
    if x.ndim == 0 or where.ndim == 0:
        return x.reshape(-1)[where.reshape(-1)].reshape(where.shape)
    return x[_grid(x, dim, where)]


def _grid(x: jax.Array, dim: int, where: jax.Array) -> tuple[Given, ...]:
    """Coordinates of the entries that `where` names along an axis."""
    grid: list[Given] = list(np.ix_(*(np.arange(size) for size in where.shape)))
    grid[dim] = where
    return tuple(grid)


def scatter(
    x: jax.Array, dim: int, where: jax.Array, values: Given, *, reduce: str | None = None
) -> jax.Array:
    """Return x with `x[where[i, j], j] = values[i, j]` for the first axis, and so on."""
    if np.ndim(values):
        values = values[tuple(slice(size) for size in where.shape)]
    place = x.at[_grid(x, dim, where)]
    if reduce is None:
        return place.set(values)
    return place.add(values) if reduce == "add" else place.multiply(values)


def scatter_reduce(
    x: jax.Array, dim: int, where: jax.Array, values: jax.Array, reduce: str, include_self=True
) -> jax.Array:
    """`scatter` with a sum, product, mean or extreme of all that fall on one place.

    Without `include_self` what stands there does not count, unless nothing falls there.
    """
    values = values[tuple(slice(size) for size in where.shape)]
    return _reduced(x, _grid(x, dim, where), values, reduce, include_self)


def index_reduce(
    x: jax.Array, dim: int, where: jax.Array, values: jax.Array, reduce: str, *, include_self=True
) -> jax.Array:
    """`scatter_reduce` of whole entries of an axis."""
    place = (slice(None),) * (dim % x.ndim) + (where,)
    return _reduced(x, place, values, reduce, include_self)


def _reduced(
    x: jax.Array, grid: tuple[Given, ...], values: jax.Array, reduce: str, include_self: bool
) -> jax.Array:
    if not include_self:
        hit = jnp.zeros(x.shape, bool).at[grid].set(True)
        x = jnp.where(hit, _neutral(reduce, x.dtype), x)
    place = x.at[grid]
    if reduce == "mean":
        count = jnp.full(x.shape, int(include_self)).at[grid].add(1)
        total, count = place.add(values), jnp.maximum(count, 1)
        whole = jnp.issubdtype(x.dtype, jnp.integer)
        return total // count if whole else total / count.astype(x.dtype)
    methods = {
        "sum": place.add,
        "prod": place.multiply,
        "amax": place.max,
        "amin": place.min,
    }
    return methods[reduce](values)


def _neutral(reduce: str, dtype: Given) -> Given:
    """Return what changes no sum, product or extreme."""
    if reduce in ("sum", "mean", "prod"):
        return np.asarray(reduce == "prod", dtype)
    limits = (np.iinfo if jnp.issubdtype(dtype, jnp.integer) else jnp.finfo)(dtype)
    infinite = jnp.issubdtype(dtype, jnp.inexact)
    low, high = (-np.inf, np.inf) if infinite else (limits.min, limits.max)
    return np.asarray(low if reduce == "amax" else high, dtype)


def index_select(x: jax.Array, dim: int, where: jax.Array) -> jax.Array:
    """Entries of an axis."""
    return jnp.take(x, where.reshape(-1), axis=dim)


def index_add(x: jax.Array, dim: int, where: jax.Array, values: jax.Array, *, alpha: Given = 1):
    """Return x with values added at entries of an axis."""
    return x.at[(slice(None),) * (dim % x.ndim) + (where,)].add(alpha * values)


def index_copy(x: jax.Array, dim: int, where: jax.Array, values: Given) -> jax.Array:
    """Return x with entries of an axis replaced."""
    return x.at[(slice(None),) * (dim % x.ndim) + (where,)].set(values)


def embedding(weight: jax.Array, ids: jax.Array, *_: Given, **__: Given) -> jax.Array:
    """Rows of a table."""
    return jnp.take(weight, ids, axis=0)


def embedding_renorm(weight: jax.Array, ids: jax.Array, bound: float, p: float) -> jax.Array:
    """The table with those rows shrunk that are asked for and have a p-norm above a bound."""
    asked = jnp.zeros(weight.shape[0], bool).at[ids].set(True)
    return jnp.where(asked[:, None], renorm(weight, p, 0, bound), weight)


def embedding_bag(
    weight: jax.Array,
    ids: jax.Array,
    starts: jax.Array,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: jax.Array | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[jax.Array | None, ...]:
    """Sums (mode 0), means (1) or maxima (2) of the rows of a table in each bag.

    Args:
        weight: the table, [rows, features].
        ids: which rows, bag after bag.
        starts: where each bag begins; with `include_last_offset` also where the last one ends.
        scale_grad_by_freq: of PyTorch's training.
        mode: how the rows of a bag are joined; an empty bag is 0.
        sparse: of PyTorch's training.
        per_sample_weights: a factor of each row, for sums.
        include_last_offset: see `starts`.
        padding_idx: a row that does not count.

    Returns:
        [bags, features]; and None for what PyTorch keeps for its gradient.
    """
    bags = starts.shape[0] - include_last_offset
    bag = jnp.searchsorted(starts[:bags], jnp.arange(ids.shape[0]), side="right") - 1
    counts = jnp.ones(ids.shape, bool)
    if padding_idx is not None and padding_idx >= 0:
        counts = ids != padding_idx
    rows = jnp.take(weight, ids, axis=0)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[:, None]
    size = jnp.zeros(bags, int).at[bag].add(counts)
    zeros = jnp.zeros((bags, weight.shape[1]), weight.dtype)
    if mode == 2:
        rows = jnp.where(counts[:, None], rows, -jnp.inf)
        greatest = jnp.full(zeros.shape, -jnp.inf, weight.dtype).at[bag].max(rows)
        return jnp.where(size[:, None] > 0, greatest, 0), None, None, None
    total = zeros.at[bag].add(jnp.where(counts[:, None], rows, 0))
    if mode == 1:
        total = total / jnp.maximum(size, 1).astype(total.dtype)[:, None]
    return total, None, None, None


def one_hot(ids: jax.Array, classes: int = -1) -> jax.Array:
    """1 at each integer, 0 elsewhere, on a new last axis."""
    if classes < 0:
        raise ValueError("one_hot without a number of classes depends on data: give num_classes")
    return (ids[..., None] == jnp.arange(classes).reshape((1,) * ids.ndim + (-1,))).astype(int)


def bucketize(
    x: jax.Array, bounds: jax.Array, *, out_int32: bool = False, right: bool = False
) -> jax.Array:
    """Between which bounds each entry lies."""
    return jnp.searchsorted(bounds, x, side="right" if right else "left")


def search_sorted(
    bounds: jax.Array,
    x: jax.Array,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: jax.Array | None = None,
) -> jax.Array:
    """Between which bounds each entry lies; of several rows of bounds, those of its own row."""
    bounds = bounds if sorter is None else jnp.take_along_axis(bounds, sorter, -1)
    search = functools.partial(jnp.searchsorted, side=side or ("right" if right else "left"))
    for _ in range(bounds.ndim - 1):
        search = jax.vmap(search)
    return search(bounds, x)


def masked_scatter(x: jax.Array, mask: jax.Array, values: jax.Array) -> jax.Array:
    """Return x with the values, in order, where the mask is true."""
    mask = jnp.broadcast_to(mask, x.shape)
    order = jnp.cumsum(mask.reshape(-1)) - 1
    taken = values.reshape(-1)[jnp.clip(order, 0)].reshape(x.shape)
    return jnp.where(mask, taken, x)


TABLE: dict[str, Operation] = {
    **dict.fromkeys("index _unsafe_index".split(), index),
    **dict.fromkeys("index_put _unsafe_index_put _index_put_impl".split(), index_write),
    "index_select": index_select,
    "index_add": index_add,
    "index_copy": index_copy,
    "index_fill": index_copy,
    "take": lambda x, where: x.reshape(-1)[where],
    "take_along_dim": lambda x, where, dim=None: jnp.take_along_axis(x, where, axis=dim),
    "gather": gather,
    "scatter": scatter,
    "scatter_add": lambda x, dim, where, values: scatter(x, dim, where, values, reduce="add"),
    "scatter_reduce": scatter_reduce,
    "masked_scatter": masked_scatter,
    "index_reduce": index_reduce,
    "put": lambda x, where, values, accumulate=False: index_write(
        x.reshape(-1), [where], values, accumulate
    ).reshape(x.shape),
    "embedding": embedding,
    "embedding_renorm": embedding_renorm,
    **dict.fromkeys("embedding_bag _embedding_bag".split(), embedding_bag),
    "_embedding_bag_forward_only": embedding_bag,
    "one_hot": one_hot,
    "bucketize": bucketize,
    "searchsorted": search_sorted,
    "where.self": broadcast(jnp.where),
}
