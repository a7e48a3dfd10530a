"""Identities of functions of one value: for every function the ways in which it can be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.stats import norm as normal

SHAPE = (2, 3)
"""The shape of every value: tokens and features."""

Writing = Callable[..., jax.Array]

rng = np.random.default_rng(5)
W, B = rng.normal(size=(3, 3)) * 0.7, rng.normal(size=(1, 3)) * 0.5
EPS = 1e-3
LN2 = float(np.log(2))
ROOT_2 = float(np.sqrt(2))


def _tanh_gelu(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(float(np.sqrt(2 / np.pi)) * (x + 0.044715 * x**3)))


def _rescaled_root(x: jax.Array) -> jax.Array:
    """`sqrt(x^2 + 1)` with huge and tiny numbers brought near 1 first, as JAX 0.12 has hypot."""
    one, size = jnp.ones_like(x), jnp.maximum(jnp.abs(x), 1)
    huge, tiny = size >= 2.0**60, size <= 2.0**-12

    def rescaled(x: jax.Array) -> jax.Array:
        return jnp.where(huge, x * 2.0**-60, jnp.where(tiny, x * 2.0**60, x))

    scale = jnp.where(huge, 2.0**60, jnp.where(tiny, 2.0**-60, 1.0))
    return jnp.sqrt(jnp.square(rescaled(x)) + jnp.square(rescaled(one))) * scale


ELEMENTWISE: Mapping[str, tuple[Writing, ...]] = {
    "sigmoid": (
        jax.nn.sigmoid,
        lambda x: 1 / (1 + jnp.exp(-x)),
        lambda x: 0.5 * (1 + jnp.tanh(x / 2)),
        lambda x: 0.5 * jnp.tanh(0.5 * x) + 0.5,
        lambda x: jnp.exp(x) / (1 + jnp.exp(x)),
        lambda x: 1 - 1 / (1 + jnp.exp(x)),
        lambda x: 1 - jax.nn.sigmoid(-x),
        lambda x: jnp.exp(-jnp.log1p(jnp.exp(-x))),
        lambda x: jnp.exp(jax.nn.log_sigmoid(x)),
        lambda x: jnp.reciprocal(jnp.exp(-x) + 1),
    ),
    "softplus": (
        jax.nn.softplus,
        lambda x: jnp.log(1 + jnp.exp(x)),
        lambda x: jnp.log1p(jnp.exp(x)),
        lambda x: jnp.logaddexp(x, jnp.zeros_like(x)),
        lambda x: -jax.nn.log_sigmoid(-x),
        lambda x: jnp.log2(1 + jnp.exp(x)) * LN2,
        lambda x: -jnp.log(jax.nn.sigmoid(-x)),
    ),
    "silu": (
        jax.nn.silu,
        lambda x: x * jax.nn.sigmoid(x),
        lambda x: x / (1 + jnp.exp(-x)),
        lambda x: 0.5 * x * (1 + jnp.tanh(x / 2)),
        lambda x: 0.5 * x + 0.5 * x * jnp.tanh(0.5 * x),
        lambda x: x - x * jax.nn.sigmoid(-x),
        lambda x: x * (1 - jax.nn.sigmoid(-x)),
    ),
    "gelu": (
        jax.nn.gelu,
        _tanh_gelu,
        lambda x: x * jax.nn.sigmoid(2 * float(np.sqrt(2 / np.pi)) * (x + 0.044715 * x * x * x)),
    ),
    "gelu_erf": (
        lambda x: jax.nn.gelu(x, approximate=False),
        lambda x: x * normal.cdf(x),
        lambda x: 0.5 * x * (1 + lax.erf(x / ROOT_2)),
        lambda x: 0.5 * x * lax.erfc(-x / ROOT_2),
        lambda x: x / 2 + x * lax.erf(x / ROOT_2) / 2,
    ),
    "tanh": (
        jnp.tanh,
        lambda x: 2 * jax.nn.sigmoid(2 * x) - 1,
        lambda x: jnp.sinh(x) / jnp.cosh(x),
        lambda x: (jnp.exp(x) - jnp.exp(-x)) / (jnp.exp(x) + jnp.exp(-x)),
        lambda x: 1 - 2 / (1 + jnp.exp(2 * x)),
        lambda x: jnp.expm1(2 * x) / (jnp.expm1(2 * x) + 2),
    ),
    "square": (
        jnp.square,
        lambda x: x**2,
        lambda x: x * x,
        lambda x: jnp.abs(x) ** 2,
        lambda x: jnp.power(x, 2.0),
        lambda x: 2 * x * x / 2,
        lambda x: jnp.where(np.ones(SHAPE, bool), x * x, 0),
    ),
    "cube": (lambda x: x**3, lambda x: x * x * x, lambda x: x * x**2, lambda x: x * jnp.square(x)),
    "exp": (
        jnp.exp,
        lambda x: jnp.exp2(x / LN2),
        lambda x: 2 ** (x / LN2),
        lambda x: jnp.expm1(x) + 1,
        lambda x: 1 / jnp.exp(-x),
        lambda x: jnp.exp(x / 2) ** 2,
    ),
    "expm1": (jnp.expm1, lambda x: jnp.exp(x) - 1, lambda x: jnp.exp2(x / LN2) - 1),
    "log1p_square": (
        lambda x: jnp.log1p(x**2),
        lambda x: jnp.log(1 + x * x),
        lambda x: -jnp.log(1 / (1 + x**2)),
        lambda x: 2 * jnp.log(jnp.sqrt(1 + jnp.square(x))),
        lambda x: jnp.log2(1 + x**2) * LN2,
        lambda x: jnp.log10(1 + x**2) * float(np.log(10)),
    ),
    "root": (
        lambda x: jnp.sqrt(1 + x**2),
        lambda x: (1 + x**2) ** 0.5,
        lambda x: jnp.exp(0.5 * jnp.log(1 + x * x)),
        lambda x: 1 / lax.rsqrt(1 + x**2),
        lambda x: jnp.hypot(x, jnp.ones_like(x)),
        _rescaled_root,
    ),
    "root of a step": (
        lambda x: jnp.sqrt(1 + jax.nn.relu(x) ** 2),
        lambda x: jnp.hypot(jax.nn.relu(x), 1.0),
        lambda x: _rescaled_root(jnp.maximum(x, 0)),
        lambda x: jnp.where(x > 0, jnp.sqrt(1 + x * x), 1.0),
    ),
    "relu": (
        jax.nn.relu,
        lambda x: jnp.maximum(x, 0),
        lambda x: jnp.maximum(0, x),
        lambda x: jnp.where(x > 0, x, 0),
        lambda x: x * (x > 0),
        lambda x: (x + jnp.abs(x)) / 2,
        lambda x: -jnp.minimum(-x, 0),
        lambda x: jnp.clip(x, 0),
        lambda x: x - jnp.minimum(x, 0),
    ),
    "abs": (
        jnp.abs,
        lambda x: jnp.maximum(x, -x),
        lambda x: jnp.where(x < 0, -x, x),
        lambda x: x * jnp.sign(x),
        lambda x: jax.nn.relu(x) + jax.nn.relu(-x),
        lambda x: jnp.sqrt(x**2),
    ),
    "relu6": (
        jax.nn.relu6,
        lambda x: jnp.clip(x, 0, 6),
        lambda x: jnp.minimum(jax.nn.relu(x), 6),
        lambda x: jnp.maximum(jnp.minimum(x, 6), 0),
    ),
    "hard_sigmoid": (
        jax.nn.hard_sigmoid,
        lambda x: jax.nn.relu6(x + 3) / 6,
        lambda x: jnp.clip(x / 6 + 0.5, 0, 1),
        lambda x: jnp.minimum(jnp.maximum(x / 6 + 0.5, 0), 1),
    ),
    "hard_swish": (
        jax.nn.hard_swish,
        lambda x: x * jax.nn.relu6(x + 3) / 6,
        lambda x: x * jnp.clip(x / 6 + 0.5, 0, 1),
        lambda x: x * jax.nn.hard_sigmoid(x),
    ),
    "leaky_relu": (
        lambda x: jax.nn.leaky_relu(x, 0.1),
        lambda x: jnp.where(x >= 0, x, 0.1 * x),
        lambda x: jnp.maximum(x, 0.1 * x),
        lambda x: jax.nn.relu(x) - 0.1 * jax.nn.relu(-x),
    ),
    "elu": (
        jax.nn.elu,
        lambda x: jnp.where(x > 0, x, jnp.expm1(x)),
        lambda x: jnp.where(x > 0, x, jnp.exp(x) - 1),
        lambda x: jnp.maximum(x, 0) + jnp.minimum(jnp.expm1(x), 0),
    ),
    "mish": (
        jax.nn.mish,
        lambda x: x * jnp.tanh(jax.nn.softplus(x)),
        lambda x: x * jnp.tanh(jnp.log1p(jnp.exp(x))),
    ),
    "sin": (jnp.sin, lambda x: -jnp.sin(-x), lambda x: 2 * jnp.sin(x / 2) * jnp.cos(x / 2)),
    "scale": (
        lambda x: 0.3 * x,
        lambda x: x * 0.3,
        lambda x: x / (1 / 0.3),
        lambda x: -0.3 * (-x),
        lambda x: 0.1 * x + 0.2 * x,
    ),
    "shift": (
        lambda x: x + 0.4,
        lambda x: 0.4 + x,
        lambda x: x - -0.4,
        lambda x: (2 * x + 0.8) / 2,
    ),
}
"""Functions of one variable, each with equal formulas."""


def _conv(x: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        x[None], W[None], (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )[0]


LAYERS: Mapping[str, tuple[Writing, ...]] = {
    "dense": (
        lambda x: x @ W + B,
        lambda x: jnp.einsum("ij,jk->ik", x, W) + B,
        lambda x: (W.T @ x.T).T + B,
        lambda x: x[:, :1] @ W[:1] + (x[:, 1:] @ W[1:] + B),
        lambda x: jnp.concatenate([x, jnp.ones((2, 1))], 1) @ np.concatenate([W, B]),
        lambda x: _conv(x) + B,
        lambda x: jax.vmap(lambda row: row @ W)(x) + B,
    ),
    "linear": (lambda x: x @ W.T, lambda x: (W @ x.T).T, lambda x: jnp.inner(x, W)),
    "mix": (  # over tokens
        lambda x: W[:2, :2] @ x,
        lambda x: (x.T @ W[:2, :2].T).T,
        lambda x: jnp.tensordot(W[:2, :2], x, 1),
    ),
    "moves": (
        lambda x: x[:, ::-1],
        lambda x: lax.rev(x, (1,)),
        lambda x: x.T[::-1].T,
        lambda x: jnp.flip(x, -1),
        lambda x: x[:, jnp.array([2, 1, 0])],
        lambda x: x @ np.eye(3)[::-1],
    ),
    "mean": (
        lambda x: jnp.broadcast_to(x.mean(1, keepdims=True), SHAPE),
        lambda x: jnp.broadcast_to(x.sum(1, keepdims=True) / 3, SHAPE),
        lambda x: x @ np.full((3, 3), 1 / 3),
        lambda x: jnp.stack([jnp.mean(x, 1)] * 3, 1),
    ),
}
"""Linear operations of one value."""


def mean(x: jax.Array) -> jax.Array:
    return x.mean(1, keepdims=True)


NORMS: Mapping[str, tuple[Writing, ...]] = {
    "layer_norm": (
        lambda x: (x - mean(x)) / jnp.sqrt(mean((x - mean(x)) ** 2) + EPS),
        lambda x: (x - mean(x)) * lax.rsqrt(x.var(1, keepdims=True) + EPS),
        lambda x: (x - mean(x)) * lax.rsqrt(mean(x**2) - mean(x) ** 2 + EPS),
        lambda x: (x - mean(x)) / (x.var(1, keepdims=True) + EPS) ** 0.5,
        lambda x: (x - mean(x)) * (x.var(1, keepdims=True) + EPS) ** -0.5,
        lambda x: (
            x * lax.rsqrt(x.var(1, keepdims=True) + EPS)
            - mean(x) * lax.rsqrt(x.var(1, keepdims=True) + EPS)
        ),
        lambda x: jax.nn.standardize(x, axis=1, epsilon=EPS),
    ),
    "rms_norm": (
        lambda x: x / jnp.sqrt(mean(x**2) + EPS),
        lambda x: x * lax.rsqrt(mean(jnp.square(x)) + EPS),
        lambda x: x * (mean(x * x) + EPS) ** -0.5,
        lambda x: x * (1 / jnp.sqrt(mean(x * x) + EPS)),
        lambda x: x / jnp.sqrt((x**2).sum(1, keepdims=True) / 3 + EPS),
    ),
    "unit": (
        lambda x: x / jnp.linalg.norm(x, axis=1, keepdims=True),
        lambda x: x / jnp.sqrt((x * x).sum(1, keepdims=True)),
        lambda x: x * lax.rsqrt(jnp.sum(x**2, 1, keepdims=True)),
        lambda x: x / jnp.sqrt(jnp.einsum("ij,ij->i", x, x))[:, None],
    ),
}
"""Normalizations of one value."""


def shifted(x: jax.Array) -> jax.Array:
    return x - lax.stop_gradient(x.max(1, keepdims=True))


def manual(x: jax.Array) -> jax.Array:
    e = jnp.exp(x)
    return e / e.sum(1, keepdims=True)


SOFTMAXES: Mapping[str, tuple[Writing, ...]] = {
    "softmax": (
        jax.nn.softmax,
        lambda x: jnp.exp(jax.nn.log_softmax(x)),
        lambda x: jnp.exp(x) / jnp.exp(x).sum(1, keepdims=True),
        lambda x: manual(shifted(x)),
        lambda x: manual(x - x.max(1, keepdims=True)),
        lambda x: jnp.exp(x - jax.nn.logsumexp(x, 1, keepdims=True)),
        lambda x: jnp.exp(x - jnp.log(jnp.exp(x).sum(1, keepdims=True))),
        lambda x: jax.nn.softmax(x.T, 0).T,
        lambda x: jax.nn.softmax(x + 5),
        lambda x: jnp.exp(x) * (1 / jnp.exp(x).sum(1, keepdims=True)),
    ),
    "logsumexp": (
        lambda x: x - jax.nn.logsumexp(x, 1, keepdims=True),
        jax.nn.log_softmax,
        lambda x: x - jnp.log(jnp.sum(jnp.exp(x), 1, keepdims=True)),
        lambda x: jnp.log(jax.nn.softmax(x)),
        lambda x: jax.nn.log_softmax(x.T, 0).T,
    ),
}
"""Softmax that stands for itself."""
