"""Products of matrices, and distances of vectors."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax._util.trees import Given
from rfp_jax.convert._aten.broadcast import Operation, align, along, broadcast
from rfp_jax.convert._aten.elementwise import add


def linear(x: jax.Array, weight: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """`x W^T + b`; weight [out, in]."""
    y = lax.dot_general(x, weight, (((x.ndim - 1,), (weight.ndim - 1,)), ((), ())))
    return y if bias is None else add(y, bias)


def matmul(x: jax.Array, y: jax.Array) -> jax.Array:
    """Product of matrices or vectors, broadcast over leading axes."""
    if x.ndim < 2 or y.ndim < 2:
        return jnp.matmul(x, y)
    return jnp.matmul(*align(x, y))


def added(product: Operation) -> Operation:
    """Make `beta x + alpha product(a, b)` of a product."""

    def operation(x: jax.Array, a: jax.Array, b: jax.Array, *, beta: Given = 1, alpha: Given = 1):
        scaled = x if beta == 1 else beta * x
        return add(scaled, product(a, b), alpha=alpha)

    return operation


def bilinear(x: jax.Array, y: jax.Array, weight: jax.Array, bias: jax.Array | None) -> jax.Array:
    """`x^T W_k y + b_k`; weight [out, left, right]."""
    z = jnp.einsum("...i,kij,...j->...k", x, weight, y)
    return z if bias is None else add(z, bias)


def tensordot(x: jax.Array, y: jax.Array, own: Sequence[int], other: Sequence[int]) -> jax.Array:
    """Contract pairs of axes."""
    return jnp.tensordot(x, y, (tuple(own), tuple(other)))


def cosine_similarity(x: jax.Array, y: jax.Array, dim: int = 1, eps: float = 1e-8) -> jax.Array:
    """Scalar product of vectors of length 1, once they are of one shape."""
    x, y = jnp.broadcast_arrays(*align(x, y))

    def unit(a: jax.Array) -> jax.Array:
        return a / jnp.maximum(jnp.linalg.norm(a, axis=dim, keepdims=True), eps)

    return jnp.sum(unit(x) * unit(y), axis=dim)


def outer(x: jax.Array, y: jax.Array) -> jax.Array:
    """`x_i y_j`."""
    return along(0, x, 2) * along(1, y, 2)


def cross(x: jax.Array, y: jax.Array, dim: int | None = None) -> jax.Array:
    """The vector product along an axis of three; the first such axis if none is given."""
    x, y = align(x, y)
    axis = x.shape.index(3) if dim is None else dim
    return jnp.cross(x, y, axis=axis)


def distances(x: jax.Array, y: jax.Array, p: float = 2.0, *_: object) -> jax.Array:
    """The p-norm of the difference of each row of x [..., n, d] and each of y [..., m, d]."""
    x, y = align(x, y)
    return _norm(x[..., :, None, :] - y[..., None, :, :], p)


def pairwise_distance(
    x: jax.Array, y: jax.Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> jax.Array:
    """The p-norm of `x - y + eps` along the last axis."""
    found = _norm(broadcast(jnp.subtract)(x, y) + eps, p)
    return found[..., None] if keepdim else found


def distances_within(x: jax.Array, p: float = 2.0) -> jax.Array:
    """The distances of all pairs of rows, each once: [n (n - 1) / 2] for [n, d]."""
    rows, columns = np.triu_indices(x.shape[0], 1)
    return _norm(x[rows] - x[columns], p)


def _norm(x: jax.Array, p: float) -> jax.Array:
    """A norm along the last axis whose gradient at 0 is 0."""
    size = jnp.abs(x)
    if p == float("inf"):
        return jnp.max(size, axis=-1)
    if p == 0:
        return jnp.sum(size != 0, axis=-1)
    total = jnp.sum(size if p == 1 else size**p, axis=-1)
    safe = jnp.where(total == 0, 1.0, total)
    return total if p == 1 else jnp.where(total == 0, 0.0, safe ** (1 / p))


def weight_norm(v: jax.Array, g: jax.Array, dim: int = 0) -> jax.Array:
    """`g v / |v|`, one norm per entry of an axis; -1 means one norm of all, not the last axis."""
    others = tuple(axis for axis in range(v.ndim) if axis != dim)
    return v * (g / jnp.sqrt(jnp.sum(v * v, axis=others, keepdims=True)))


def grouped_matmul(
    x: jax.Array, weight: jax.Array, ends: jax.Array, *_: Given, **__: Given
) -> jax.Array:
    """Rows of x, group by group, times the matrix of each group: a mixture of experts.

    Args:
        x: [rows, in].
        weight: [groups, in, out].
        ends: where each group of rows ends.
    """
    sizes = jnp.diff(ends, prepend=jnp.zeros(1, ends.dtype))
    return lax.ragged_dot(x, weight, sizes.astype(jnp.int32))


TABLE: dict[str, Operation] = {
    "linear": linear,
    **dict.fromkeys("matmul mm bmm mv dot".split(), matmul),
    "inner": jnp.inner,
    **dict.fromkeys("outer ger".split(), outer),
    **dict.fromkeys("addmm baddbmm addmv".split(), added(matmul)),
    "einsum": lambda equation, operands, path=None: jnp.einsum(equation, *operands),
    "tensordot": tensordot,
    "bilinear": bilinear,
    "chain_matmul": jnp.linalg.multi_dot,
    **dict.fromkeys("_grouped_mm transformers.grouped_mm_fallback".split(), grouped_matmul),
    "cosine_similarity": cosine_similarity,
    "_weight_norm": weight_norm,
    **dict.fromkeys("cdist _cdist_forward".split(), distances),
    "pairwise_distance": pairwise_distance,
    **dict.fromkeys("pdist _pdist_forward".split(), distances_within),
    "kron": jnp.kron,
    "cross": cross,
    "linalg_cross": lambda x, y, *, dim=-1: cross(x, y, dim),
    "linalg_matmul": matmul,
    "linalg_multi_dot": jnp.linalg.multi_dot,
    **dict.fromkeys("matrix_power linalg_matrix_power".split(), jnp.linalg.matrix_power),
    "addbmm": added(lambda a, b: jnp.sum(matmul(a, b), axis=0)),
    "addr": added(outer),
    "vdot": jnp.vdot,
}
