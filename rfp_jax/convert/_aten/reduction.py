"""Sums, means, extremes and orders along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy import special

from rfp_jax._util.trees import Given
from rfp_jax.convert._aten.broadcast import Operation, axes

Dims = int | Sequence[int] | None
Pair = tuple[jax.Array, jax.Array]


def reduction(f: Callable[..., jax.Array]) -> Operation:
    """A NumPy reduction with PyTorch's arguments; an empty list of axes means all."""

    def operation(x: jax.Array, dim: Dims = None, keepdim: bool = False, *, dtype: Given = None):
        return f(x if dtype is None else x.astype(dtype), axis=axes(dim), keepdims=keepdim)

    return operation


def extreme_along(f: Callable[..., jax.Array], place: Callable[..., jax.Array]) -> Operation:
    """The extreme along one axis and where it stands."""

    def operation(x: jax.Array, dim: int, keepdim: bool = False) -> tuple[jax.Array, jax.Array]:
        if x.ndim == 0:
            return x, jnp.zeros((), int)
        return f(x, axis=dim, keepdims=keepdim), place(x, axis=dim, keepdims=keepdim)

    return operation


def place_of(f: Callable[..., jax.Array]) -> Operation:
    """Return the index of the extreme, along an axis or in the flattened array."""

    def operation(x: jax.Array, dim: int | None = None, keepdim: bool = False) -> jax.Array:
        if dim is None:
            place = f(x.reshape(-1))
            return place.reshape((1,) * x.ndim) if keepdim else place
        return f(x, axis=dim, keepdims=keepdim)

    return operation


def variance(
    x: jax.Array,
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> jax.Array:
    """Mean squared distance to the mean; the divisor is smaller by `correction`."""
    if isinstance(dim, bool):  # var(x, unbiased)
        dim, unbiased = None, dim
    over = axes(dim)
    count = x.size if over is None else jnp.size(x, over)
    less = int(unbiased) if correction is None else correction
    centered = x - x.mean(over, keepdims=True)
    is_complex = jnp.iscomplexobj(x)
    squares = (centered * centered.conj()).real if is_complex else jnp.square(centered)
    return squares.sum(over, keepdims=keepdim) / max(count - less, 0)


def variance_and_mean(x: jax.Array, *args: Given, **kwargs: Given) -> tuple[jax.Array, jax.Array]:
    """Variance and mean over the same axes."""
    dim = args[0] if args and not isinstance(args[0], bool) else kwargs.get("dim")
    keepdim = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
    return variance(x, *args, **kwargs), x.mean(axes(dim), keepdims=keepdim)


def vector_norm(
    x: jax.Array, order: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Given = None
) -> jax.Array:
    """The p-norm over axes, of all entries if none is given."""
    over = axes(dim)
    x = x if dtype is None else x.astype(dtype)
    order = 2 if order is None else order
    if order == float("inf"):
        return jnp.abs(x).max(over, keepdims=keepdim)
    if order == float("-inf"):
        return jnp.abs(x).min(over, keepdims=keepdim)
    if order == 0:
        return (x != 0).sum(over, keepdims=keepdim)
    if order == 1:
        return jnp.abs(x).sum(over, keepdims=keepdim)
    if order == 2:
        return jnp.sqrt(jnp.square(jnp.abs(x)).sum(over, keepdims=keepdim))
    return (jnp.abs(x) ** order).sum(over, keepdims=keepdim) ** (1 / order)


def cumulative(f: Callable[..., jax.Array]) -> Operation:
    """A running sum or product along an axis; integers, of whatever size, are added up wide."""

    def operation(x: jax.Array, dim: int, *, dtype: Given = None) -> jax.Array:
        x = x if dtype is None else x.astype(dtype)
        x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(int)
        return f(x, axis=dim) if x.ndim else x

    return operation


def logsumexp(x: jax.Array, dim: Dims, keepdim: bool = False) -> jax.Array:
    """`log(sum(exp(x)))` over axes."""
    return special.logsumexp(x, axis=axes(dim), keepdims=keepdim)


def difference(
    x: jax.Array,
    n: int = 1,
    dim: int = -1,
    prepend: jax.Array | None = None,
    append: jax.Array | None = None,
) -> jax.Array:
    """Differences of neighbors along an axis."""
    return jnp.diff(x, n, dim, prepend, append)


def deviation_and_mean(
    *args: Any,  # those of `variance_and_mean`
    **kwargs: Any,  # likewise
) -> tuple[jax.Array, jax.Array]:
    """The standard deviation and the mean."""
    found, mean = variance_and_mean(*args, **kwargs)
    return jnp.sqrt(found), mean


def least_and_greatest(
    x: jax.Array, *, dim: int | None = None, keepdim: bool = False
) -> tuple[jax.Array, jax.Array]:
    """The least and the greatest entry, of all or along an axis."""
    return jnp.min(x, axis=dim, keepdims=keepdim), jnp.max(x, axis=dim, keepdims=keepdim)


def cumulative_extreme(wins: Callable[..., jax.Array]) -> Operation:
    """The extreme so far along an axis, and where it stands; the latest of equal ones."""

    def later(a: Pair, b: Pair) -> Pair:
        (x, at), (y, there) = a, b
        is_new = wins(y, x)
        return jnp.where(is_new, y, x), jnp.where(is_new, there, at)

    def operation(x: jax.Array, dim: int) -> tuple[jax.Array, jax.Array]:
        at = lax.broadcasted_iota(int, x.shape, dim % x.ndim)
        _, places = lax.associative_scan(later, (lax.stop_gradient(x), at), axis=dim % x.ndim)
        return jnp.take_along_axis(x, places, dim), places

    return operation


def sort(x: jax.Array, dim: int = -1, descending: bool = False, *, stable: bool = False):
    """The sorted array and where its entries came from."""
    order = argsort(x, dim, descending)
    return jnp.take_along_axis(x, order, dim), order


def argsort(x: jax.Array, dim: int = -1, descending: bool = False, *, stable: bool = False):
    """Return the indices of the entries in sorted order."""
    return jnp.argsort(x, axis=dim, descending=descending, stable=True)


def top_k(
    x: jax.Array, k: int, dim: int = -1, largest: bool = True, is_sorted: bool = True
) -> tuple[jax.Array, jax.Array]:
    """The k greatest or least entries along an axis, in order, and where they stand."""
    order = jnp.take(argsort(x, dim, largest), jnp.arange(k), axis=dim)
    return jnp.take_along_axis(x, order, dim), order


def median(x: jax.Array, dim: int, keepdim: bool = False) -> tuple[jax.Array, jax.Array]:
    """The lower median along an axis and where it stands."""
    return kth_smallest(x, (x.shape[dim] + 1) // 2, dim, keepdim)


def kth_smallest(
    x: jax.Array, k: int, dim: int = -1, keepdim: bool = False
) -> tuple[jax.Array, jax.Array]:
    """The k-th smallest entry along an axis and where it stands."""
    order = jnp.take(argsort(x, dim), jnp.array([k - 1]), axis=dim)
    values = jnp.take_along_axis(x, order, dim)
    return (values, order) if keepdim else (values.squeeze(dim), order.squeeze(dim))


def histogram(x: jax.Array, bins: int = 100, low: float = 0, high: float = 0) -> jax.Array:
    """Count how many entries lie in each bin of a range; in their own range if it is empty."""
    bounds = None if low == high else (low, high)
    return jnp.histogram(x, bins, bounds)[0]


TABLE: dict[str, Operation] = {
    "sum": reduction(jnp.sum),
    "nansum": reduction(jnp.nansum),
    "mean": reduction(jnp.mean),
    "prod": reduction(jnp.prod),
    "amax": reduction(jnp.max),
    "amin": reduction(jnp.min),
    "max": reduction(jnp.max),
    "min": reduction(jnp.min),
    "max.dim": extreme_along(jnp.max, jnp.argmax),
    "min.dim": extreme_along(jnp.min, jnp.argmin),
    "argmax": place_of(jnp.argmax),
    "argmin": place_of(jnp.argmin),
    "all": reduction(jnp.all),
    "any": reduction(jnp.any),
    "count_nonzero": lambda x, dim=None: (x != 0).sum(axes(dim)),
    "var": variance,
    "std": lambda *args, **kwargs: jnp.sqrt(variance(*args, **kwargs)),
    "var_mean": variance_and_mean,
    "std_mean": deviation_and_mean,
    "nanmean": reduction(jnp.nanmean),
    "aminmax": least_and_greatest,
    "norm": vector_norm,
    "linalg_vector_norm": vector_norm,
    "frobenius_norm": lambda x, dim, keepdim=False: vector_norm(x, 2, dim, keepdim),
    "logsumexp": logsumexp,
    "cumsum": cumulative(jnp.cumsum),
    "cumprod": cumulative(jnp.cumprod),
    "logcumsumexp": lambda x, dim: lax.cumlogsumexp(x, axis=dim % x.ndim),
    "cummax": cumulative_extreme(jnp.greater_equal),
    "cummin": cumulative_extreme(jnp.less_equal),
    "diff": difference,
    "histc": histogram,
    "sort": sort,
    "sort.stable": lambda x, *, stable=True, dim=-1, descending=False: sort(x, dim, descending),
    "argsort": argsort,
    "argsort.stable": lambda x, *, stable=True, dim=-1, descending=False: argsort(
        x, dim, descending
    ),
    "topk": top_k,
    "kthvalue": kth_smallest,
    "msort": lambda x: jnp.sort(x, axis=0),
    "median.dim": median,
    "median": lambda x: median(x.reshape(-1), 0)[0],
}
