"""Flax Linen: recurrent networks, a U-Net, transformers, a mixer and a mixture of experts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.zoo.entry import Builder, Entry, draw, randomize

CLASSES = 5


class UNet(nn.Module):
    """Ronneberger et al. 2015: down, up, and skip connections; classes for each pixel."""

    widths: tuple[int, ...] = (8, 16, 32)

    @nn.compact
    def __call__(self, optical: jax.Array, sar: jax.Array, train: bool = False) -> jax.Array:
        def block(x: jax.Array, width: int) -> jax.Array:
            for _ in range(2):
                x = nn.Conv(width, (3, 3), use_bias=False)(x)
                x = nn.BatchNorm(use_running_average=not train, momentum=0.0)(x)
                x = nn.relu(x)
            return x

        x = jnp.concatenate([optical, sar], axis=-1)
        skips = []
        for width in self.widths[:-1]:
            x = block(x, width)
            skips.append(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = block(x, self.widths[-1])
        for width, skip in zip(reversed(self.widths[:-1]), reversed(skips), strict=True):
            x = nn.ConvTranspose(width, (2, 2), strides=(2, 2))(x)
            x = block(jnp.concatenate([x, skip], axis=-1), width)
        return nn.Conv(CLASSES, (1, 1))(x)


class Recurrent(nn.Module):
    """Two time series [batch, time, features] through cells of one kind, and a read-out."""

    cell: Callable[[int], nn.RNNCellBase]
    bidirectional: bool = False

    @nn.compact
    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        x = jnp.concatenate([optical, sar], axis=-1)

        def over_time() -> nn.RNN:
            return nn.RNN(self.cell(16))

        layer = nn.Bidirectional(over_time(), over_time()) if self.bidirectional else over_time()
        outputs: Any = layer(x)
        return nn.Dense(CLASSES)(outputs[:, -1])


class ConvRecurrent(nn.Module):
    """Shi et al. 2015: a convolutional LSTM over a time series of images."""

    @nn.compact
    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        x = jnp.concatenate([optical, sar], axis=-1)
        outputs: Any = nn.RNN(nn.ConvLSTMCell(8, (3, 3)))(x)
        return nn.Dense(CLASSES)(outputs[:, -1].mean((1, 2)))


class Mlp(nn.Module):
    """Dense, GELU, Dense: what transformers and mixers have in each block."""

    hidden: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(self.hidden)(x)))


class Encoder(nn.Module):
    """Transformer blocks that normalize first."""

    layers: int = 2
    heads: int = 4
    experts: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        for _ in range(self.layers):
            attended = nn.MultiHeadDotProductAttention(self.heads)(nn.LayerNorm()(x), mask=mask)
            x = x + attended
            width = 2 * x.shape[-1]
            mlp = MixtureOfExperts(width, self.experts) if self.experts else Mlp(width)
            x = x + mlp(nn.LayerNorm()(x))
        return nn.LayerNorm()(x)


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. 2021: patches, a class token, positions, an encoder."""

    width: int = 32
    patch: int = 8

    @nn.compact
    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        x = jnp.concatenate([optical, sar], axis=-1)
        size = (self.patch, self.patch)
        x = nn.Conv(self.width, size, strides=size, padding="VALID")(x)
        x = x.reshape(x.shape[0], -1, self.width)
        token = self.param("token", nn.initializers.normal(0.02), (1, 1, self.width))
        x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        position = self.param("position", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        return nn.Dense(CLASSES)(Encoder()(x + position)[:, 0])


class CausalTransformer(nn.Module):
    """Radford et al. 2019: tokens, positions, masked attention; the next token's logits.

    Tokens are integers and can be no sources, so `embed` is apart: its output is one.
    """

    vocabulary: int = 17
    width: int = 32
    experts: int = 0

    def setup(self) -> None:
        self.tokens = nn.Embed(self.vocabulary, self.width)
        self.decoder = Encoder(experts=self.experts)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """Tokens [batch, time] to [batch, time, width]."""
        positions = jnp.arange(tokens.shape[1])[None, :, None] / 10 ** jnp.linspace(0, 4, 32)
        return self.tokens(tokens) + jnp.sin(positions)

    def __call__(self, prompt: jax.Array, question: jax.Array) -> jax.Array:
        """Two embedded pieces of a text, one after the other, to logits [batch, time, token]."""
        x = jnp.concatenate([prompt, question], axis=1)
        mask = nn.make_causal_mask(jnp.ones(x.shape[:2]))
        return self.tokens.attend(self.decoder(x, mask))


class MixtureOfExperts(nn.Module):
    """Shazeer et al. 2017, Fedus et al. 2022: each token goes to its `top` experts of several."""

    hidden: int
    experts: int
    top: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        probabilities = nn.softmax(nn.Dense(self.experts, use_bias=False, name="router")(x))
        weights, chosen = jax.lax.top_k(probabilities, self.top)
        weights = weights / weights.sum(-1, keepdims=True)
        share = (jax.nn.one_hot(chosen, self.experts, dtype=x.dtype) * weights[..., None]).sum(-2)
        each = jnp.stack([Mlp(self.hidden)(x) for _ in range(self.experts)], axis=-1)
        return jnp.einsum("...e,...fe->...f", share, each)


class Mixer(nn.Module):
    """Tolstikhin et al. 2021: perceptrons across patches and across channels in turn."""

    width: int = 32
    patch: int = 8

    @nn.compact
    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        x = jnp.concatenate([optical, sar], axis=-1)
        size = (self.patch, self.patch)
        x = nn.Conv(self.width, size, strides=size)(x).reshape(x.shape[0], -1, self.width)
        for _ in range(2):
            x = x + Mlp(32)(nn.LayerNorm()(x).swapaxes(1, 2)).swapaxes(1, 2)
            x = x + Mlp(64)(nn.LayerNorm()(x))
        return nn.Dense(CLASSES)(nn.LayerNorm()(x).mean(axis=1))


class CrossAttention(nn.Module):
    """Two encoders, each of which asks the other: queries of one source, values of the other."""

    @nn.compact
    def __call__(self, optical: jax.Array, sar: jax.Array) -> jax.Array:
        a, b = (Encoder(1)(nn.Dense(32)(x)) for x in (optical, sar))
        from_b, from_a = (
            nn.MultiHeadDotProductAttention(4)(query, value) for query, value in ((a, b), (b, a))
        )
        x = jnp.concatenate([a + from_b, b + from_a], axis=-1)
        return nn.Dense(CLASSES)(x.mean(axis=1))


def _build(
    module: nn.Module, shape: tuple[int, ...], channels: tuple[int, int], seed: int
) -> Entry:
    """The module with two sources that differ in their channels only."""
    inputs = draw(seed, *((*shape, count) for count in channels))
    variables: Any = jax.jit(module.init)(jax.random.key(seed), *inputs)
    if "batch_stats" in variables:
        train = partial(module.apply, train=True, mutable=["batch_stats"])
        _, settled = jax.jit(train)(variables, *inputs)
        variables = {**variables, **settled}
    return Entry(module.apply, (randomize(variables, seed), *inputs), (1, 2))


def _build_text(module: CausalTransformer, seed: int) -> Entry:
    """The module with two pieces of a text; the sources are their embeddings."""
    tokens = jax.random.randint(jax.random.key(seed), (2, 10), 0, module.vocabulary)
    example = jnp.zeros((2, 5, module.width))
    variables: Any = jax.jit(module.init)(jax.random.key(seed), example, example)
    variables = randomize(variables, seed)
    embedded: Any = module.apply(variables, tokens, method="embed")
    return Entry(module.apply, (variables, embedded[:, :6], embedded[:, 6:]), (1, 2))


def linen(module: nn.Module, *shape: int, channels: tuple[int, int] = (2, 1)) -> Builder:
    """A builder of a module with two sources [batch, *shape, channels]."""
    return partial(_build, module, (2, *shape), channels)


BUILDERS: dict[str, Builder] = {
    "U-Net": linen(UNet(), 16, 16),
    "LSTM": linen(Recurrent(nn.LSTMCell), 6, channels=(4, 3)),
    "GRU": linen(Recurrent(nn.GRUCell), 6, channels=(4, 3)),
    "Bidirectional LSTM": linen(Recurrent(nn.LSTMCell, bidirectional=True), 6, channels=(4, 3)),
    "ConvLSTM": linen(ConvRecurrent(), 4, 8, 8),
    "Vision Transformer": linen(VisionTransformer(), 32, 32),
    "Causal transformer": partial(_build_text, CausalTransformer()),
    "MLP-Mixer": linen(Mixer(), 32, 32),
    "Mixture of experts": partial(_build_text, CausalTransformer(experts=4)),
    "Cross-attention fusion": linen(CrossAttention(), 6, channels=(4, 3)),
}
