"""Equinox: modules that are trees; their arrays go in as an argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.zoo.entry import Builder, Entry, draw, randomize

CLASSES = 5


class ConvNet(eqx.Module):
    """Convolutions with batch normalization, PReLU, average and max pooling."""

    conv1: eqx.nn.Conv2d
    norm1: eqx.nn.BatchNorm
    act: eqx.nn.PReLU
    conv2: eqx.nn.Conv2d
    norm2: eqx.nn.GroupNorm
    pool1: eqx.nn.MaxPool2d
    pool2: eqx.nn.AdaptiveAvgPool2d
    head: eqx.nn.Linear

    def __init__(self, key: jax.Array):
        keys = jax.random.split(key, 3)
        self.conv1 = eqx.nn.Conv2d(3, 8, 3, padding=1, key=keys[0])
        self.norm1 = eqx.nn.BatchNorm(8, axis_name="batch", mode="batch")
        self.act = eqx.nn.PReLU()
        self.conv2 = eqx.nn.Conv2d(8, 16, 3, stride=2, key=keys[1])
        self.norm2 = eqx.nn.GroupNorm(4, 16)
        self.pool1 = eqx.nn.MaxPool2d(3, stride=2, padding=1)
        self.pool2 = eqx.nn.AdaptiveAvgPool2d(2)
        self.head = eqx.nn.Linear(64, CLASSES, key=keys[2])

    def __call__(
        self, optical: jax.Array, sar: jax.Array, state: eqx.nn.State
    ) -> tuple[jax.Array, eqx.nn.State]:
        x = jnp.concatenate([optical, sar])
        x, state = self.norm1(self.conv1(x), state)
        x = self.pool1(self.act(x))
        x = self.pool2(jax.nn.elu(self.norm2(self.conv2(x))))
        return self.head(x.ravel()), state


class Recurrent(eqx.Module):
    """A recurrent cell under `lax.scan` over two time series [time, features], and a read-out."""

    cell: eqx.nn.GRUCell | eqx.nn.LSTMCell
    head: eqx.nn.Linear

    def __init__(self, cell: Callable[..., Any], key: jax.Array):
        key_cell, key_head = jax.random.split(key)
        self.cell = cell(7, 16, key=key_cell)
        self.head = eqx.nn.Linear(16, CLASSES, key=key_head)

    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        xs = jnp.concatenate([optical, sar], axis=-1)
        zeros = jnp.zeros(16)
        is_lstm = isinstance(self.cell, eqx.nn.LSTMCell)
        start: Any = (zeros, zeros) if is_lstm else zeros
        last, _ = lax.scan(lambda state, x: (self.cell(x, state), None), start, xs)
        return self.head(last[0] if is_lstm else last)


class Block(eqx.Module):
    """Touvron et al. 2023 (LLaMA): RMSNorm, rotary positions, masked attention, SwiGLU."""

    norm1: eqx.nn.RMSNorm
    norm2: eqx.nn.RMSNorm
    attention: eqx.nn.MultiheadAttention
    rotary: eqx.nn.RotaryPositionalEmbedding
    gate: eqx.nn.Linear
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, width: int, heads: int, key: jax.Array):
        keys = jax.random.split(key, 4)
        self.norm1, self.norm2 = eqx.nn.RMSNorm(width), eqx.nn.RMSNorm(width)
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=keys[0])
        self.rotary = eqx.nn.RotaryPositionalEmbedding(width // heads)
        self.gate = eqx.nn.Linear(width, 2 * width, use_bias=False, key=keys[1])
        self.up = eqx.nn.Linear(width, 2 * width, use_bias=False, key=keys[2])
        self.down = eqx.nn.Linear(2 * width, width, use_bias=False, key=keys[3])

    def __call__(self, x: jax.Array) -> jax.Array:
        y = jax.vmap(self.norm1)(x)
        causal = jnp.tril(jnp.ones((len(x), len(x)), bool))
        x = x + self.attention(y, y, y, mask=causal, process_heads=self._rotate)
        y = jax.vmap(self.norm2)(x)
        gated = jax.nn.silu(jax.vmap(self.gate)(y)) * jax.vmap(self.up)(y)
        return x + jax.vmap(self.down)(gated)

    def _rotate(self, query: jax.Array, key: jax.Array, value: jax.Array) -> Any:
        rotate = jax.vmap(self.rotary, in_axes=1, out_axes=1)
        return rotate(query), rotate(key), value


class CausalTransformer(eqx.Module):
    """Two embedded pieces of a text, one after the other, to the logits of each next token."""

    embedding: eqx.nn.Embedding
    blocks: list[Block]
    head: eqx.nn.Linear

    def __init__(self, key: jax.Array, width: int = 32, vocabulary: int = 17):
        keys = jax.random.split(key, 4)
        self.embedding = eqx.nn.Embedding(vocabulary, width, key=keys[0])
        self.blocks = [Block(width, 4, k) for k in keys[1:3]]
        self.head = eqx.nn.Linear(width, vocabulary, key=keys[3])

    def __call__(self, prompt: jax.Array, question: jax.Array) -> jax.Array:
        x = jnp.concatenate([prompt, question])
        for block in self.blocks:
            x = block(x)
        return jax.vmap(self.head)(x)


def _convnet(seed: int) -> Entry:
    """Batch statistics live in a state of their own."""
    sources = draw(seed, (2, 2, 12, 12), (2, 1, 12, 12))
    model, state = eqx.nn.make_with_state(ConvNet)(jax.random.key(seed))
    over_batch = jax.vmap(
        lambda optical, sar, state: model(optical, sar, state),  # noqa: PLW0108 (Equinox warns of a module in vmap)
        axis_name="batch",
        in_axes=(0, 0, None),
        out_axes=(0, None),
    )
    settle: Any = eqx.filter_jit(over_batch)
    _, state = settle(*sources, state)  # statistics settle on these
    arrays, rest = eqx.partition((eqx.nn.inference_mode(model), state), eqx.is_array)

    def fun(arrays: Any, *sources: jax.Array) -> jax.Array:
        model, state = eqx.combine(arrays, rest)
        return jax.vmap(lambda *one: model(*one, state)[0])(*sources)

    return Entry(fun, (randomize(arrays, seed), *sources), (1, 2))


def _build(
    make: Callable[[jax.Array], eqx.Module], shapes: tuple[tuple[int, ...], ...], seed: int
) -> Entry:
    """A module of one sample, mapped over a batch."""
    sources = draw(seed, *shapes)
    model = eqx.filter_jit(make)(jax.random.key(seed))
    arrays, rest = eqx.partition(model, eqx.is_array)

    def fun(arrays: Any, *sources: jax.Array) -> jax.Array:
        return jax.vmap(eqx.combine(arrays, rest))(*sources)

    return Entry(fun, (randomize(arrays, seed), *sources), (1, 2))


def _text(seed: int) -> Entry:
    """The sources are the embeddings of two pieces of a text."""
    tokens = jax.random.randint(jax.random.key(seed), (2, 10), 0, 17)
    entry = _build(CausalTransformer, ((2, 6, 32), (2, 4, 32)), seed)
    arrays, *_ = entry.args
    embedded = arrays.embedding.weight[tokens]
    return entry._replace(args=(arrays, embedded[:, :6], embedded[:, 6:]))


_SERIES = ((2, 6, 4), (2, 6, 3))

BUILDERS: dict[str, Builder] = {
    "ConvNet (batch and group norm)": _convnet,
    "LSTM under scan": partial(_build, partial(Recurrent, eqx.nn.LSTMCell), _SERIES),
    "GRU under scan": partial(_build, partial(Recurrent, eqx.nn.GRUCell), _SERIES),
    "LLaMA-like transformer": _text,
}
