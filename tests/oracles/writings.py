"""Identities of programs: for every function the ways in which it can be written.

`FORMS` has them for every preset: all writings of a line compute the same function.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.oracles.writings_of_one import (
    ELEMENTWISE,
    LAYERS,
    NORMS,
    ROOT_2,
    SOFTMAXES,
    Writing,
    manual,
    mean,
    shifted,
)

SUMS: Mapping[str, tuple[Writing, ...]] = {
    "add": (
        jnp.add,
        lambda a, b: b + a,
        lambda a, b: a - (-b),
        lambda a, b: jnp.stack([a, b]).sum(0),
        lambda a, b: jnp.concatenate([a, b], 1) @ np.concatenate([np.eye(3)] * 2),
        lambda a, b: sum([a, b]),
    ),
    "sub": (jnp.subtract, lambda a, b: a + -b, lambda a, b: -(b - a), lambda a, b: a + (-1.0) * b),
    "maximum": (
        jnp.maximum,
        lambda a, b: jnp.maximum(b, a),
        lambda a, b: jnp.where(a > b, a, b),
        lambda a, b: jnp.stack([a, b]).max(0),
        lambda a, b: -jnp.minimum(-a, -b),
        lambda a, b: b + jax.nn.relu(a - b),
    ),
}
"""Sums and choices of two values."""

PRODUCTS: Mapping[str, tuple[Writing, ...]] = {
    "mul": (
        jnp.multiply,
        lambda a, b: b * a,
        lambda a, b: -(a * -b),
        lambda a, b: (0.5 * a) * (2 * b),
    ),
    "joined": (
        jnp.multiply,
        lambda a, b: jnp.einsum("ij,ij->ij", a, b),
        lambda a, b: jnp.stack([a, b]).prod(0),
    ),
    "inner": (
        lambda a, b: (a * b).sum(1, keepdims=True) * np.ones((1, 3)),
        lambda a, b: jnp.einsum("ij,ij->i", a, b)[:, None] * np.ones((1, 3)),
        lambda a, b: jnp.einsum("ij,kj,ik->i", a, b, np.eye(2))[:, None] * np.ones((1, 3)),
    ),
}
"""Products of two signals."""

BRACKETS: Mapping[str, tuple[Writing, ...]] = {
    "modulate": (  # FiLM
        lambda a, b: a * (1 + b),
        lambda a, b: a + a * b,
        lambda a, b: (1 + b) * a,
        lambda a, b: a * b + a,
        lambda a, b: a - a * -b,
    ),
    "two_thirds": (
        lambda a, b: a * a * b,
        lambda a, b: a**2 * b,
        lambda a, b: a * (a * b),
        lambda a, b: jnp.einsum("ij,ij,ij->ij", a, b, a),
        lambda a, b: jnp.stack([a, b, a]).prod(0),
    ),
    "own_function": (
        lambda a, b: (a * jnp.tanh(a)) * b,
        lambda a, b: a * (jnp.tanh(a) * b),
        lambda a, b: (b * a) * jnp.tanh(a),
        lambda a, b: jnp.einsum("ij,ij,ij->ij", a, jnp.tanh(a), b),
        lambda a, b: jnp.stack([jnp.tanh(a), b, a]).prod(0),
    ),
    "squared_function": (
        lambda a, b: (jax.nn.silu(a) * jax.nn.silu(a)) * b,
        lambda a, b: jax.nn.silu(a) * (jax.nn.silu(a) * b),
        lambda a, b: jax.nn.silu(a) ** 2 * b,
        lambda a, b: jnp.square(jax.nn.silu(a)) * b,
    ),
    "two_functions": (
        lambda a, b: (jnp.sin(a) * jnp.tanh(a)) * (b * jnp.sinh(b)),
        lambda a, b: jnp.sin(a) * (jnp.tanh(a) * b) * jnp.sinh(b),
        lambda a, b: (jnp.sinh(b) * jnp.sin(a)) * (jnp.tanh(a) * b),
    ),
}
"""Products that only the default shares alike."""

GATES: Mapping[str, tuple[Writing, ...]] = {
    "gate": tuple((lambda a, b, g=g: g(a) * b) for g in (*ELEMENTWISE["sigmoid"], jax.nn.sigmoid)),
    "hard_gate": tuple((lambda a, b, g=g: b * g(a)) for g in ELEMENTWISE["hard_sigmoid"]),
    "blend": (
        lambda a, b: jax.nn.sigmoid(a) * b + (1 - jax.nn.sigmoid(a)) * a,
        lambda a, b: a + jax.nn.sigmoid(a) * (b - a),
        lambda a, b: jax.nn.sigmoid(a) * b + jax.nn.sigmoid(-a) * a,
    ),
    "softmax_gate": tuple((lambda a, b, g=g: g(a) * b) for g in SOFTMAXES["softmax"]),
    "quotient": (
        lambda a, b: b / (1 + a**2),
        lambda a, b: b * (1 / (1 + a * a)),
        lambda a, b: b * (1 + a**2) ** -1,
    ),
    "root_quotient": (
        lambda a, b: b / jnp.sqrt(1 + a**2),
        lambda a, b: b * lax.rsqrt(1 + a**2),
        lambda a, b: b * (1 + a**2) ** -0.5,
        lambda a, b: b / (1 + a * a) ** 0.5,
    ),
    "pooled_gate": (
        lambda a, b: mean(jax.nn.sigmoid(a)) * b,
        lambda a, b: jax.nn.sigmoid(a) @ np.full((3, 3), 1 / 3) * b,
        lambda a, b: jnp.einsum("ij,kj,ik->ij", b, np.ones((3, 3)) / 3, jax.nn.sigmoid(a)),
        lambda a, b: jax.nn.sigmoid(a).sum(1, keepdims=True) / 3 * b,
    ),
}
"""Weights on a signal."""


def _scores(q: jax.Array, k: jax.Array) -> jax.Array:
    return q @ k.T / ROOT_2


ATTENTION: Mapping[str, tuple[Writing, ...]] = {
    "attention": (
        lambda q, k, v: jax.nn.softmax(_scores(q, k)) @ v,
        lambda q, k, v: jnp.exp(jax.nn.log_softmax(_scores(q, k))) @ v,
        lambda q, k, v: manual(_scores(q, k)) @ v,
        lambda q, k, v: manual(shifted(_scores(q, k))) @ v,
        lambda q, k, v: (jnp.exp(_scores(q, k)) @ v) / jnp.exp(_scores(q, k)).sum(1, keepdims=True),
        lambda q, k, v: jnp.einsum("qk,kd->qd", jax.nn.softmax(_scores(q, k)), v),
        lambda q, k, v: (v.T @ jax.nn.softmax(_scores(q, k)).T).T,
    ),
}
"""Softmax weights on values."""

TWICE: Mapping[str, tuple[Writing, ...]] = {
    "attention_twice": (
        lambda q, k, v: jax.nn.softmax(_scores(q, k)) @ v,
        lambda q, k, v: (
            (jnp.exp(shifted(_scores(q, k))) @ v)
            / jnp.exp(shifted(_scores(q, k))).sum(1, keepdims=True)
        ),
    ),
}
"""Exponentials computed twice, each less a maximum of its own: AttnLRP does not see one softmax."""

TERNARY: Mapping[str, tuple[Writing, ...]] = {
    "product": (
        lambda a, b, c: a * b * c,
        lambda a, b, c: a * (b * c),
        lambda a, b, c: c * (b * a),
        lambda a, b, c: jnp.einsum("ij,ij,ij->ij", a, b, c),
        lambda a, b, c: jnp.stack([a, b, c]).prod(0),
    ),
    "distribute": (
        lambda a, b, c: a * (b + c),
        lambda a, b, c: a * b + a * c,
        lambda a, b, c: c * a + b * a,
    ),
}
"""Brackets of three values, under the default."""

DEFAULT = {
    **ELEMENTWISE, **LAYERS, **NORMS, **SOFTMAXES, **SUMS, **PRODUCTS, **BRACKETS, **GATES,
    **ATTENTION, **TWICE, **TERNARY,
}  # fmt: skip

HALVES = {"mul": PRODUCTS["mul"]}
"""In the presets of papers `x * g(x)` is one function of x, and two halves as an inner product."""

FORMS: Mapping[str, Mapping[str, tuple[Writing, ...]]] = {
    "lrp0": DEFAULT,
    "cp_lrp": DEFAULT,
    "uniform": {**ELEMENTWISE, **LAYERS, **SUMS, **HALVES},
    "attnlrp": {**ELEMENTWISE, **LAYERS, **SUMS, **HALVES, **ATTENTION},
}
"""The identities that each preset has."""


ARITY = {
    name: count
    for table, count in (
        (ELEMENTWISE, 1), (LAYERS, 1), (NORMS, 1), (SOFTMAXES, 1),
        (SUMS, 2), (PRODUCTS, 2), (BRACKETS, 2), (GATES, 2),
        (ATTENTION, 3), (TWICE, 3), (TERNARY, 3),
    )
    for name in table
}  # fmt: skip
