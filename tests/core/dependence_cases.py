"""Programs on batches of samples, and arrays for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


@dataclass(frozen=True)
class Case:
    """A program; `blamed` is the primitive after which samples interact, None if they do not.

    It stands in `file`.
    """

    name: str
    fun: Callable[..., Any]
    args: tuple[np.ndarray, ...]
    axes: int = 1
    blamed: str | None = None
    file: str = "test_dependence_found.py"


A, B = numbers(3, 4), numbers(3, 4)


IMAGES = numbers(2, 4, 4, 3)


SERIES = numbers(2, 5, 3)


W = numbers(4, 4)


KERNEL, PIXEL = numbers(3, 3, 3, 2), numbers(1, 1, 3, 2)


INTEGERS = np.array([2, 0, 1])


NHWC = ("NHWC", "HWIO", "NHWC")


def conv(x: jax.Array, kernel: np.ndarray, **kwargs: Any) -> jax.Array:
    given = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": NHWC} | kwargs
    return lax.conv_general_dilated(x, jnp.asarray(kernel), **given)


def attend(x: jax.Array) -> jax.Array:
    """Attention of one head, [batch, time, features]."""
    scores = jnp.einsum("btd,bsd->bts", x @ W[:3, :3], x)
    return jnp.einsum("bts,bsd->btd", jax.nn.softmax(scores), x)


def recurrent(x: jax.Array) -> jax.Array:
    """An RNN over time, [batch, time, features], a label per step."""

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jnp.tanh(x @ W[:3] + h @ W)
        return h, h * 2

    _, ys = lax.scan(step, jnp.zeros((x.shape[0], 4)), jnp.swapaxes(x, 0, 1))
    return jnp.swapaxes(ys, 0, 1)


def norm(axis: int | tuple[int, ...]) -> Callable[[jax.Array], jax.Array]:
    def fun(x: jax.Array) -> jax.Array:
        mean, var = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
        return (x - mean) * lax.rsqrt(var + 1e-5)

    return fun


@jax.custom_jvp
def bend(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, 0.1 * x)


@bend.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return bend(*primals), jnp.where(primals[0] > 0, 1.0, 0.1) * tangents[0]


def names(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])
