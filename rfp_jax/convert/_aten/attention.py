"""Attention as it is defined, softmax(q k^T) v, which the rules recognize."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import nn
from jax.typing import DTypeLike

from rfp_jax.convert._aten.broadcast import Operation, align
from rfp_jax.convert._aten.linear import matmul


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    attn_mask: jax.Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> jax.Array:
    """`softmax(scale q k^T + mask) v`; a query that sees nothing returns zeros.

    Args:
        query: [..., heads, queries, depth].
        key: [..., heads, keys, depth].
        value: [..., heads, keys, features].
        attn_mask: true where a query sees a key, or what is added to the scores.
        dropout_p: has to be 0.
        is_causal: whether a query sees only the keys up to its own place.
        scale: of the scores; `1 / sqrt(depth)` by default.
        enable_gqa: whether several heads of the query share one of key and value.
    """
    if dropout_p:
        raise ValueError("attention with dropout is not a function: export module.eval()")
    if enable_gqa:
        shared = query.shape[-3] // key.shape[-3]
        key, value = jnp.repeat(key, shared, -3), jnp.repeat(value, shared, -3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = matmul(query, jnp.swapaxes(key, -1, -2)) * scale
    if is_causal:
        attn_mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    if attn_mask is None:
        return matmul(nn.softmax(scores, axis=-1), value)
    scores, mask = align(scores, attn_mask)
    scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    sees = ~jnp.isneginf(scores).all(-1, keepdims=True)
    scores = jnp.where(sees, scores, 0)  # else the softmax of a blind query is 0 / 0
    return jnp.where(sees, matmul(nn.softmax(scores, axis=-1), value), 0)


def _widened(x: jax.Array, dtype: DTypeLike | bool | None) -> jax.Array:
    """`x` in the dtype to compute in; True stands for single precision."""
    if dtype is None or dtype is False:
        return x
    return x.astype("float32" if dtype is True else dtype)


def softmax(x: jax.Array, dim: int, dtype: DTypeLike | bool | None = None) -> jax.Array:
    """Softmax along an axis."""
    return nn.softmax(_widened(x, dtype), axis=dim)


def safe_softmax(x: jax.Array, dim: int, dtype: DTypeLike | None = None) -> jax.Array:
    """Softmax along an axis; zeros where all of it is minus infinity."""
    x = _widened(x, dtype)
    sees = ~jnp.isneginf(x).all(dim, keepdims=True)
    return jnp.where(sees, nn.softmax(jnp.where(sees, x, 0), axis=dim), 0)


def log_softmax(x: jax.Array, dim: int, dtype: DTypeLike | bool | None = None) -> jax.Array:
    """The logarithm of softmax along an axis."""
    return nn.log_softmax(_widened(x, dtype), axis=dim)


TABLE: dict[str, Operation] = {
    "scaled_dot_product_attention": attention,
    **dict.fromkeys("softmax _softmax".split(), softmax),
    **dict.fromkeys("log_softmax _log_softmax".split(), log_softmax),
    "_safe_softmax": safe_softmax,
}
