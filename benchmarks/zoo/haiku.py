"""Haiku: functions of modules, transformed to pure ones; its own networks among them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from benchmarks.zoo.entry import Builder, Entry, draw, randomize

CLASSES = 5

Network = Callable[[jax.Array, bool], jax.Array]
"""A function of the joined sources and of whether it is training."""


def resnet(x: jax.Array, train: bool) -> jax.Array:
    """He et al. 2016, 50 layers."""
    return hk.nets.ResNet50(CLASSES)(x, is_training=train)


def mobilenet(x: jax.Array, train: bool) -> jax.Array:
    """Howard et al. 2017: depthwise separable convolutions."""
    return hk.nets.MobileNetV1(num_classes=CLASSES)(x, is_training=train)


def lstm(x: jax.Array, train: bool) -> jax.Array:
    """An LSTM unrolled by `hk.dynamic_unroll`, which is a scan."""
    del train
    core = hk.LSTM(16)
    outputs: Any = hk.dynamic_unroll(core, x, core.initial_state(len(x)), time_major=False)[0]
    return hk.Linear(CLASSES)(outputs[:, -1])


def gru(x: jax.Array, train: bool) -> jax.Array:
    """Two layers of GRU, stacked by `hk.DeepRNN`, with residual connections."""
    del train
    core = hk.deep_rnn_with_skip_connections([hk.GRU(16), hk.GRU(16)])
    outputs: Any = hk.dynamic_unroll(core, x, core.initial_state(len(x)), time_major=False)[0]
    return hk.Linear(CLASSES)(outputs[:, -1])


def transformer(x: jax.Array, train: bool) -> jax.Array:
    """Vaswani et al. 2017: attention and perceptrons, normalized first."""
    del train
    initial = hk.initializers.VarianceScaling(1.0)
    x = hk.Linear(32)(x)
    for _ in range(2):
        y = hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)
        x = x + hk.MultiHeadAttention(4, 8, w_init=initial, model_size=32)(y, y, y)
        y = hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)
        x = x + hk.nets.MLP([64, 32], activation=jax.nn.gelu)(y)
    return hk.Linear(CLASSES)(x.mean(axis=1))


def _build(network: Network, shape: tuple[int, ...], seed: int) -> Entry:
    """A network of two sources that differ in their channels only."""

    def joined(*sources: jax.Array, train: bool = False) -> jax.Array:
        return network(jnp.concatenate(sources, axis=-1), train)

    sources = draw(seed, (2, *shape, 2), (2, *shape, 1))
    model = hk.transform_with_state(joined)
    start, train = partial(model.init, train=True), partial(model.apply, train=True)
    params, state = jax.jit(start)(jax.random.key(seed), *sources)
    _, state = jax.jit(train)(params, state, None, *sources)  # statistics settle on these
    params, state = randomize((params, state), seed)

    def fun(params: Any, state: Any, *sources: jax.Array) -> jax.Array:
        output, _ = model.apply(params, state, None, *sources)
        return output

    return Entry(fun, (params, state, *sources), (2, 3))


BUILDERS: dict[str, Builder] = {
    "ResNet-50": partial(_build, resnet, (64, 64)),
    "MobileNet v1": partial(_build, mobilenet, (64, 64)),
    "LSTM": partial(_build, lstm, (6,)),
    "GRU with skips": partial(_build, gru, (6,)),
    "Transformer": partial(_build, transformer, (6,)),
}
