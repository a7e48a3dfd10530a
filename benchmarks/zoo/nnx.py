"""Flax NNX: modules that are closed over, and modules that are split and merged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.zoo.entry import Builder, Entry, draw, randomize

CLASSES = 5


class Residual(nnx.Module):
    """He et al. 2016: two convolutions beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int, rngs: nnx.Rngs):
        strides, size = (stride, stride), (3, 3)
        self.conv1 = nnx.Conv(channels, width, size, strides, use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(width, momentum=0.0, rngs=rngs)
        self.conv2 = nnx.Conv(width, width, size, use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(width, momentum=0.0, rngs=rngs)
        self.shortcut = nnx.Conv(channels, width, (1, 1), strides, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        return nnx.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nnx.Module):
    """A stem, three stages of one residual block, a mean over pixels, a read-out."""

    def __init__(self, rngs: nnx.Rngs):
        self.stem = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.stages = nnx.List([Residual(w // 2, w, 2, rngs) for w in (16, 32, 64)])
        self.head = nnx.Linear(64, CLASSES, rngs=rngs)

    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        x = self.stem(jnp.concatenate([optical, sar], axis=-1))
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean((1, 2)))


class Transformer(nnx.Module):
    """An encoder of token features whose blocks normalize first, with gated perceptrons."""

    def __init__(self, rngs: nnx.Rngs, width: int = 32):
        self.enter = nnx.Linear(7, width, rngs=rngs)
        self.norms = nnx.List([nnx.RMSNorm(width, rngs=rngs) for _ in range(4)])
        self.attention = nnx.List(
            [nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs) for _ in range(2)]
        )
        self.gate = nnx.List([nnx.Linear(width, 2 * width, rngs=rngs) for _ in range(2)])
        self.up = nnx.List([nnx.Linear(width, 2 * width, rngs=rngs) for _ in range(2)])
        self.down = nnx.List([nnx.Linear(2 * width, width, rngs=rngs) for _ in range(2)])
        self.head = nnx.Linear(width, CLASSES, rngs=rngs)

    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        x = self.enter(jnp.concatenate([optical, sar], axis=-1))
        for i in range(2):
            x = x + self.attention[i](self.norms[2 * i](x))
            y = self.norms[2 * i + 1](x)
            x = x + self.down[i](nnx.silu(self.gate[i](y)) * self.up[i](y))
        return self.head(x.mean(axis=1))


class Recurrent(nnx.Module):
    """A bidirectional GRU over two time series [batch, time, features], and a read-out."""

    def __init__(self, rngs: nnx.Rngs):
        forward, backward = (nnx.RNN(nnx.GRUCell(7, 16, rngs=rngs)) for _ in range(2))
        self.layer = nnx.Bidirectional(forward, backward)
        self.head = nnx.Linear(32, CLASSES, rngs=rngs)

    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        x = jnp.concatenate([optical, sar], axis=-1)
        start = jnp.zeros((x.shape[0], 16), x.dtype)
        outputs: Any = self.layer(x, initial_carry=(start, start))
        return self.head(outputs[:, -1])


class Gated(nnx.Module):
    """Two branches; a hard sigmoid of one gates the other (Arevalo et al. 2017)."""

    def __init__(self, rngs: nnx.Rngs):
        self.optical = nnx.Linear(4, 16, rngs=rngs)
        self.sar = nnx.Linear(3, 16, rngs=rngs)
        self.gate = nnx.Linear(32, 16, rngs=rngs)
        self.head = nnx.Linear(16, CLASSES, rngs=rngs)

    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        a, b = nnx.tanh(self.optical(optical)), nnx.tanh(self.sar(sar))
        g = nnx.hard_sigmoid(self.gate(jnp.concatenate([a, b], axis=-1)))
        return self.head((g * a + (1 - g) * b).mean(axis=1))


def _made(
    make: Callable[[nnx.Rngs], nnx.Module], shapes: tuple[tuple[int, ...], ...], seed: int
) -> tuple[Any, list[jax.Array]]:
    """A module in evaluation mode with random statistics, and its two sources."""
    sources = draw(seed, *shapes)
    model: Any = nnx.jit(lambda: make(nnx.Rngs(seed)))()
    model.train()
    nnx.jit(lambda model, *sources: model(*sources))(model, *sources)  # statistics settle on these
    model.eval()
    graph, state = nnx.split(model)
    return nnx.merge(graph, randomize(state, seed)), sources


def closed_over(make: Callable[[nnx.Rngs], nnx.Module], *shapes: tuple[int, ...]) -> Builder:
    """A builder of a module that is itself the function, its weights constants of it."""

    def build(seed: int) -> Entry:
        model, sources = _made(make, shapes, seed)
        return Entry(model, tuple(sources), (0, 1))

    return build


def split(make: Callable[[nnx.Rngs], nnx.Module], *shapes: tuple[int, ...]) -> Builder:
    """A builder of a function of a module's state, which is merged inside."""

    def build(seed: int) -> Entry:
        model, sources = _made(make, shapes, seed)
        graph, state = nnx.split(model)
        return Entry(partial(_merged, graph), (state, *sources), (1, 2))

    return build


def _merged(graph: Any, state: Any, *sources: jax.Array) -> jax.Array:
    return nnx.merge(graph, state, copy=True)(*sources)  # a copy that belongs to this trace


BUILDERS: dict[str, Builder] = {
    "ResNet (closed over)": closed_over(ResNet, (2, 16, 16, 2), (2, 16, 16, 1)),
    "SwiGLU transformer (split, merge)": split(Transformer, (2, 6, 4), (2, 6, 3)),
    "Bidirectional GRU (split, merge)": split(Recurrent, (2, 6, 4), (2, 6, 3)),
    "Gated multimodal unit (closed over)": closed_over(Gated, (2, 6, 4), (2, 6, 3)),
}
