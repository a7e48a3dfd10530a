"""Matrices: inverses, determinants, factors, exponentials, norms; batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy import linalg
from jax.typing import DTypeLike

from rfp_jax.convert._aten.broadcast import Operation, align
from rfp_jax.convert._aten.reduction import vector_norm


def inverse_and_status(x: jax.Array, *, check_errors: bool = False) -> tuple[jax.Array, jax.Array]:
    """The inverse, and 0: a singular matrix has no error code here, but an inverse that is none."""
    return jnp.linalg.inv(x), jnp.zeros(x.shape[:-2], "int32")


def log_determinant(x: jax.Array) -> jax.Array:
    """The logarithm of the determinant; of a negative one NaN."""
    sign, size = jnp.linalg.slogdet(x)
    return jnp.where(sign < 0, jnp.nan, size)


def solve(a: jax.Array, b: jax.Array, *, left: bool = True) -> jax.Array:
    """`X` such that `A X = B`, or `X A = B`; b is a matrix, or a vector [..., n]."""
    if b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]):
        return jnp.linalg.solve(a, b[..., None])[..., 0]
    a, b = align(a, b)
    if left:
        return jnp.linalg.solve(a, b)
    turned = jnp.linalg.solve(jnp.swapaxes(a, -1, -2), jnp.swapaxes(b, -1, -2))
    return jnp.swapaxes(turned, -1, -2)


def solve_triangular(
    a: jax.Array, b: jax.Array, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> jax.Array:
    """`solve` of a triangular matrix."""
    a, b = align(a, b)
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (jnp.broadcast_to(m, batch + m.shape[-2:]) for m in (a, b))
    if not left:  # X A = B means A^T X^T = B^T
        a, b, upper = jnp.swapaxes(a, -1, -2), jnp.swapaxes(b, -1, -2), not upper
    found = linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unitriangular)
    return found if left else jnp.swapaxes(found, -1, -2)


def cholesky(x: jax.Array, upper: bool = False) -> jax.Array:
    """The triangular L of `A = L L^T`, or its transpose."""
    lower = jnp.linalg.cholesky(x)
    return jnp.swapaxes(lower, -1, -2).conj() if upper else lower


def matrix_norm(
    x: jax.Array,
    order: float | str = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """A norm of matrices: Frobenius, the greatest sum of a column or row, singular values."""
    x = x if dtype is None else x.astype(dtype)
    if order == "fro":
        return vector_norm(x, 2, dim, keepdim)
    return jnp.linalg.norm(x, order, axis=tuple(dim), keepdims=keepdim)


def outer_norm(
    x: jax.Array,
    order: float | str | None = None,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """`linalg.norm`: of a vector or of matrices, by the number of axes."""
    over = [dim] if isinstance(dim, int) else dim
    if order is None or (over is not None and len(over) == 1) or x.ndim == 1:
        given: Any = 2 if order is None else order  # Any: a word is for matrices, and refused
        return vector_norm(x, given, over, keepdim, dtype=dtype)
    return matrix_norm(x, order, (-2, -1) if over is None else over, keepdim, dtype=dtype)


def orthogonal_and_triangular(x: jax.Array, mode: str = "reduced") -> tuple[jax.Array, ...]:
    """Q and R; in the mode `r` Q is empty."""
    if mode == "r":
        return jnp.zeros(0, x.dtype), jnp.linalg.qr(x, mode="r")
    return tuple(jnp.linalg.qr(x, mode=mode))


def singular(
    x: jax.Array, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None
) -> tuple[jax.Array, ...]:
    """U, the singular values, and the adjoint of V; values alone between two empty arrays.

    A vector and its negative are equally right, and PyTorch's own may be either.
    """
    if compute_uv:
        return tuple(jnp.linalg.svd(x, full_matrices=full_matrices))
    empty = jnp.zeros(0, x.dtype)
    return empty, jnp.linalg.svd(x, compute_uv=False), empty


def eigen(x: jax.Array, half: str = "L", compute_v: bool = True) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues and vectors of symmetric matrices, of which one half is read."""
    values, vectors = jnp.linalg.eigh(x, half.upper(), symmetrize_input=False)
    return values, vectors if compute_v else jnp.zeros(0, x.dtype)


TABLE: dict[str, Operation] = {
    **dict.fromkeys("linalg_inv inverse".split(), jnp.linalg.inv),
    "linalg_inv_ex": inverse_and_status,
    **dict.fromkeys("linalg_pinv pinverse".split(), jnp.linalg.pinv),
    **dict.fromkeys("linalg_det det".split(), jnp.linalg.det),
    **dict.fromkeys("linalg_slogdet slogdet".split(), lambda x: tuple(jnp.linalg.slogdet(x))),
    "logdet": log_determinant,
    "linalg_solve": solve,
    "linalg_solve_triangular": solve_triangular,
    "linalg_cholesky": lambda x, *, upper=False: cholesky(x, upper),
    "cholesky": cholesky,
    **dict.fromkeys("matrix_exp linalg_matrix_exp".split(), linalg.expm),
    "linalg_qr": orthogonal_and_triangular,
    "_linalg_svd": singular,
    "_linalg_eigh": eigen,
    "linalg_householder_product": lax.linalg.householder_product,
    "linalg_matrix_norm": matrix_norm,
    "linalg_matrix_norm.str_ord": matrix_norm,
    "linalg_norm": outer_norm,
    "linalg_norm.ord_str": outer_norm,
}
