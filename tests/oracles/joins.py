"""Ways in which networks join two sources of shape `[sample, T, C]`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.oracles.blocks import C, dense, weights

Join = Callable[[jax.Array, jax.Array], jax.Array]


def _contrast(a: jax.Array, b: jax.Array) -> jax.Array:
    """An index of two bands, such as NDVI."""
    return (a - b) / (jnp.abs(a) + jnp.abs(b) + 0.1)


def _cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    size, other = (jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return (a * b).sum(-1, keepdims=True) / (size * other + 1e-3) + 0 * a


def _blend(a: jax.Array, b: jax.Array) -> jax.Array:
    gate = jax.nn.sigmoid(a + b)
    return gate * a + (1 - gate) * b


def _experts_product(a: jax.Array, b: jax.Array) -> jax.Array:
    product = jax.nn.softmax(a) * jax.nn.softmax(b)
    return product / product.sum(-1, keepdims=True)


def _by_precision(a: jax.Array, b: jax.Array) -> jax.Array:
    """The mean that weights each by its certainty."""
    p, q = 1 / (a[..., :1] ** 2 + 0.5), 1 / (b[..., :1] ** 2 + 0.5)
    return (p * a + q * b) / (p + q)


def _correlation(a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    deviation = jnp.sqrt((a * a).mean(1, keepdims=True) * (b * b).mean(1, keepdims=True) + 1e-4)
    return (a * b).mean(1, keepdims=True) / deviation + 0 * a


def _dynamic_filter(a: jax.Array, b: jax.Array) -> jax.Array:
    """A filter along time whose taps the other source gives."""
    taps = jax.nn.softmax(b[:, :3], 1)
    return sum((taps[:, i : i + 1] * jnp.roll(a, i, 1) for i in range(3)), 0 * a)


PLAIN: dict[str, Join] = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "product": lambda a, b: a * b,
    "larger": jnp.maximum,
    "smaller": jnp.minimum,
    "larger of the two": lambda a, b: jnp.where(a > b, a, b),
    "where the other is positive": lambda a, b: jnp.where(b > 0, a, 0.0),
    "gated": lambda a, b: a * jax.nn.sigmoid(b),
    "silu gate": lambda a, b: jax.nn.silu(a) * b,
    "soft gate": lambda a, b: a * jnp.tanh(b) + b,
    "quotient": lambda a, b: a / (1 + jnp.abs(b)),
    "quotient by a length": lambda a, b: a / jnp.sqrt(b * b + 0.5),
    "contrast": _contrast,
    "contrast of softplus": lambda a, b: (
        (jax.nn.softplus(a) - jax.nn.softplus(b)) / (jax.nn.softplus(a) + jax.nn.softplus(b))
    ),
    "log ratio": lambda a, b: jnp.log((a * a + 0.1) / (b * b + 0.1)),
    "length": lambda a, b: jnp.sqrt(a * a + b * b + 1e-3),
    "modulus": lambda a, b: jnp.abs(a + 1j * b),
    "angle": lambda a, b: jnp.arctan(a / (1 + b * b)),
    "product of complex numbers": lambda a, b: ((a + 1j * b) * (b - 0.5j * a)).real,
    "logaddexp": jnp.logaddexp,
    "mean of exponentials": lambda a, b: jax.nn.logsumexp(jnp.stack([a, b]), 0),
    "distance": lambda a, b: ((a - b) ** 2).sum(-1, keepdims=True) + 0 * a,
    "kernel": lambda a, b: jnp.exp(-0.2 * ((a - b) ** 2).sum(-1, keepdims=True)) * a,
    "absolute difference": lambda a, b: jnp.abs(a - b),
    "difference of squares": lambda a, b: a * a - b * b,
    "square of the sum": lambda a, b: (a + b) ** 2,
    "power": lambda a, b: (1 + a * a) ** (0.3 * b),
    "outer product": lambda a, b: jnp.einsum("btc,btd->btcd", a, b).sum(-1) / C,
    "three factors": lambda a, b: jnp.einsum("btc,bsc,bsd->btd", a, b, a) / C,
    "cosine": _cosine,
    "correlation": _correlation,
    "blend": _blend,
    "by precision": _by_precision,
    "product of experts": _experts_product,
    "mean of experts": lambda a, b: jnp.log((jax.nn.softmax(a) + jax.nn.softmax(b)) / 2),
    "divergence": lambda a, b: jax.nn.softmax(a) * (jax.nn.log_softmax(a) - jax.nn.log_softmax(b)),
    "attention pool": lambda a, b: (jax.nn.softmax(b, 1) * a).sum(1, keepdims=True) + 0 * a,
    "ordered by the other": lambda a, b: jnp.take_along_axis(a, jnp.argsort(b, 1), 1),
    "at the other's largest": lambda a, b: (
        jnp.take_along_axis(a, jnp.argmax(b, 1, keepdims=True), 1) + b
    ),
    "dynamic filter": _dynamic_filter,
    "set beside": lambda a, b: a.at[:, 1:3].set(b[:, :2]),
    "greatest beside": lambda a, b: a.at[:, 1:3].max(b[:, :2]),
    "update": lambda a, b: lax.dynamic_update_slice(a, b[:, :2], (0, 1, 0)),
    "correction": lambda a, b: a - lax.stop_gradient(a.mean(1, keepdims=True)) + b,
}
"""Joins without numbers."""


def _concatenated(rng: np.random.Generator) -> Join:
    w, b = weights(rng, 2 * C, C), 0.3 * rng.normal(size=(1, 1, C))
    return lambda x, y: jnp.concatenate([x, y], -1) @ w.astype(x.dtype) + b.astype(x.dtype)


def _cross_attention(rng: np.random.Generator) -> Join:
    query, key, value = (dense(rng) for _ in range(3))
    return lambda a, b: jax.nn.softmax(query(a) @ jnp.swapaxes(key(b), -1, -2)) @ value(b)


def _modulated(rng: np.random.Generator) -> Join:
    """Perez et al. 2018, Equation 2: feature-wise linear modulation."""
    scale, shift = dense(rng), dense(rng)
    return lambda a, b: scale(b) * a + shift(b)


def _tensor_fusion(rng: np.random.Generator) -> Join:
    """Zadeh et al. 2017, Equation 2: the outer product of both, each with a one appended."""
    w = weights(rng, C + 1, C + 1, C)

    def join(a: jax.Array, b: jax.Array) -> jax.Array:
        one = jnp.ones_like(a[..., :1])
        a, b = jnp.concatenate([a, one], -1), jnp.concatenate([b, one], -1)
        return jnp.einsum("bti,btj,ijc->btc", a, b, w.astype(a.dtype))

    return join


def _gated_unit(rng: np.random.Generator) -> Join:
    """Arevalo et al. 2017: a gate from both weights each one's features."""
    one, other, gate = dense(rng), dense(rng), _concatenated(rng)

    def join(a: jax.Array, b: jax.Array) -> jax.Array:
        z = jax.nn.sigmoid(gate(a, b))
        return z * jnp.tanh(one(a)) + (1 - z) * jnp.tanh(other(b))

    return join


JOINS: dict[str, Callable[[np.random.Generator], Join]] = {
    **{name: (lambda rng, f=f: f) for name, f in PLAIN.items()},
    "concatenated": _concatenated,
    "cross-attention": _cross_attention,
    "modulated": _modulated,
    "tensor fusion": _tensor_fusion,
    "gated unit": _gated_unit,
}
"""Name to the function that draws the numbers of a join."""
