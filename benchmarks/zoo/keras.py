"""Keras 3 on JAX: its application networks, recurrent layers and attention, by `stateless_call`.

The backend must be chosen before Keras is imported, and so it is here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.zoo.entry import Builder, Entry, draw, randomize

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras import layers

CLASSES = 10

if keras.backend.backend() != "jax":
    raise RuntimeError(
        f"Keras runs on {keras.backend.backend()!r}; set KERAS_BACKEND=jax before it is imported"
    )


def _build(
    make: Callable[[], keras.Model],
    shapes: tuple[tuple[int, ...], ...],
    pixels: bool,
    seed: int,
) -> Entry:
    """A model of one input, which is the sources joined, or of several."""
    sources = draw(seed, *((2, *shape) for shape in shapes))
    if pixels:
        sources = [jnp.clip(128 + 64 * x, 0, 255) for x in sources]
    keras.utils.set_random_seed(seed)
    model = make()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    def call(trained: Any, others: Any, *sources: jax.Array, training: bool) -> Any:
        inputs = list(sources) if len(model.inputs) > 1 else jnp.concatenate(sources, axis=-1)
        return model.stateless_call(trained, others, inputs, training=training)

    def fun(trained: Any, others: Any, *sources: jax.Array) -> jax.Array:
        return call(trained, others, *sources, training=False)[0]

    settle = jax.jit(partial(call, training=True))
    _, others = settle(trained, others, *sources)  # statistics settle on those of the sources
    trained, others = randomize((trained, others), seed)
    return Entry(fun, (trained, others, *sources), (2, 3))


def application(name: str, size: int = 64) -> Builder:
    """A builder of a network of `keras.applications`, for pixels of 0 to 255 in three channels."""

    def make() -> keras.Model:
        network = getattr(keras.applications, name)
        shape = (size, size, 3)
        return network(weights=None, input_shape=shape, classes=CLASSES, classifier_activation=None)

    return partial(_build, make, ((size, size, 2), (size, size, 1)), True)


def lstm() -> keras.Model:
    """An LSTM over a time series."""
    x = keras.Input((6, 7))
    return keras.Model(x, layers.Dense(CLASSES)(layers.LSTM(16)(x)))


def bidirectional() -> keras.Model:
    """A GRU in both directions, and one more after it."""
    x = keras.Input((6, 7))
    y = layers.Bidirectional(layers.GRU(8, return_sequences=True))(x)
    return keras.Model(x, layers.Dense(CLASSES)(layers.GRU(16)(y)))


def attention() -> keras.Model:
    """A time series that asks another: two inputs, attention across them."""
    optical, sar = keras.Input((6, 4)), keras.Input((5, 3))
    a, b = layers.Dense(16)(optical), layers.Dense(16)(sar)
    y = layers.Add()([a, layers.MultiHeadAttention(2, 8)(a, b)])
    y = layers.LayerNormalization()(y)
    y = layers.GlobalAveragePooling1D()(layers.Dense(16, activation="gelu")(y))
    return keras.Model([optical, sar], layers.Dense(CLASSES)(y))


_SERIES = ((6, 4), (6, 3))

BUILDERS: dict[str, Builder] = {
    "ResNet50": application("ResNet50"),
    "ResNet50V2": application("ResNet50V2"),
    "DenseNet121": application("DenseNet121"),
    "VGG16": application("VGG16"),
    "MobileNet": application("MobileNet"),
    "MobileNetV2": application("MobileNetV2"),
    "MobileNetV3Small": application("MobileNetV3Small"),
    "MobileNetV3Large": application("MobileNetV3Large"),
    "EfficientNetB0": application("EfficientNetB0"),
    "EfficientNetV2B0": application("EfficientNetV2B0"),
    "ConvNeXtTiny": application("ConvNeXtTiny"),
    "InceptionV3": application("InceptionV3", 75),
    "InceptionResNetV2": application("InceptionResNetV2", 75),
    "NASNetMobile": application("NASNetMobile"),
    "Xception": application("Xception", 71),
    "LSTM": partial(_build, lstm, _SERIES, False),
    "Bidirectional GRU": partial(_build, bidirectional, _SERIES, False),
    "Attention across inputs": partial(_build, attention, ((6, 4), (5, 3)), False),
}
