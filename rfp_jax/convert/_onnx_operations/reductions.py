"""Operations along axes: sums, extremes, running sums, products of tensors."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import Known, aligned, int64, ints


def reduction(fun: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """An operation over axes, by default over all; they are an input or, before, an attribute."""

    def operation(
        x: jax.Array, axes: Known | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> jax.Array:
        given = () if axes is None else ints(axes)
        over = tuple(range(x.ndim)) if not given and not noop_with_empty_axes else given
        return fun(x, axis=over, keepdims=bool(keepdims)).astype(x.dtype)

    return operation


def extreme(fun: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The place of the greatest or smallest element along an axis."""

    def operation(
        x: jax.Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
    ) -> jax.Array:
        if not select_last_index:
            return fun(x, axis, keepdims=bool(keepdims)).astype(int64())
        last = fun(jnp.flip(x, axis), axis, keepdims=bool(keepdims))
        return (x.shape[axis] - 1 - last).astype(int64())

    return operation


def running(fun: Callable[..., jax.Array], first: int) -> Callable[..., jax.Array]:
    """A running sum or product; an exclusive one begins with that of nothing."""

    def operation(x: jax.Array, axis: Known, *, exclusive: int = 0, reverse: int = 0) -> jax.Array:
        (place,) = ints(axis)
        place %= x.ndim
        if exclusive:
            ends = [(0, 0, 0)] * x.ndim  # one more at one end, one less at the other
            ends[place] = (-1, 1, 0) if reverse else (1, -1, 0)
            x = lax.pad(x, jnp.asarray(first, x.dtype), ends)
        return fun(x, axis=place, reverse=bool(reverse))

    return operation


def top_k(
    x: jax.Array, k: Known, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[jax.Array, jax.Array]:
    """The greatest or smallest elements along an axis, and their places."""
    rows = jnp.moveaxis(x, axis, -1)
    # The least integer has no negative, and an unsigned one none at all: all bits are turned.
    turned = jnp.negative if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.invert
    values, places = lax.top_k(rows if largest else turned(rows), int(ints(k)[0]))
    values = values if largest else turned(values)
    return jnp.moveaxis(values, -1, axis), jnp.moveaxis(places, -1, axis).astype(int64())


def matmul(x: ArrayLike, y: ArrayLike) -> jax.Array:
    """Products of matrices, whose batch axes broadcast."""
    if jnp.ndim(x) > 2 and jnp.ndim(y) > 2:
        x, y = aligned(x, y)
    return jnp.matmul(x, y)


def gemm(
    a: jax.Array,
    b: jax.Array,
    c: ArrayLike | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> jax.Array:
    """`alpha A B + beta C`, each matrix transposed if that is asked for."""
    product = (a.T if transA else a) @ (b.T if transB else b)
    product = product if alpha == 1 else (alpha * product).astype(product.dtype)
    if c is None:
        return product
    product, addend = aligned(product, c)
    return product + (addend if beta == 1 else (beta * addend).astype(addend.dtype))


def einsum(*xs: ArrayLike, equation: str) -> jax.Array:
    """A sum of products by Einstein's notation."""
    return jnp.einsum(equation.replace(" ", ""), *xs)


TABLE: dict[str, Callable[..., Tree]] = {
    "ArgMax": extreme(jnp.argmax),
    "ArgMin": extreme(jnp.argmin),
    "CumProd": running(lax.cumprod, 1),
    "CumSum": running(lax.cumsum, 0),
    "Det": jnp.linalg.det,
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": matmul,
    "ReduceL1": reduction(lambda x, **over: jnp.sum(jnp.abs(x), **over)),
    "ReduceL2": reduction(lambda x, **over: jnp.sqrt(jnp.sum(jnp.square(x), **over))),
    "ReduceLogSum": reduction(lambda x, **over: jnp.log(jnp.sum(x, **over))),
    "ReduceLogSumExp": reduction(jax.nn.logsumexp),
    "ReduceMax": reduction(jnp.max),
    "ReduceMean": reduction(jnp.mean),
    "ReduceMin": reduction(jnp.min),
    "ReduceProd": reduction(jnp.prod),
    "ReduceSum": reduction(jnp.sum),
    "ReduceSumSquare": reduction(lambda x, **over: jnp.sum(jnp.square(x), **over)),
    "TopK": top_k,
}
