"""Workloads to time: networks of several sources, with random weights and inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from rfp_jax.models import FusionResNet18, ResNet50, SmallNet


@dataclass(frozen=True)
class Workload:
    """A network with its inputs.

    Attributes:
        name: what it is called.
        fun: `fun(variables, *sources)` returns outputs, [batch, classes].
        variables: its weights.
        sources: its inputs, [batch, height, width, channels].
        arch: its name in `convert`, by which the peers find their own copy; "" if they have none.
        piecewise_linear: whether relevance is the derivative times the input, as it is for ReLU and
            max-pooling; then a plain `jax.jvp` computes it too.
        pieces: samples in a piece of the batch, where a CPU does better piece by piece; else 0.
    """

    name: str
    fun: Callable[..., Any]
    variables: Any
    sources: tuple[jax.Array, ...]
    arch: str = ""
    piecewise_linear: bool = True
    pieces: int = 0

    @property
    def argnums(self) -> tuple[int, ...]:
        """The places of the sources among the function's arguments."""
        return tuple(range(1, len(self.sources) + 1))

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The function's arguments."""
        return self.variables, *self.sources

    @property
    def batch(self) -> int:
        """Samples in the batch."""
        return len(self.sources[0])


class VisionTransformer(nn.Module):
    """A small ViT (Dosovitskiy et al. 2021) on all bands joined: patches, encoder, mean, head."""

    width: int = 192
    heads: int = 3
    layers: int = 6
    patch: int = 8
    classes: int = 10
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, *sources: jax.Array) -> jax.Array:
        like: Any = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        size = (self.patch, self.patch)
        x = jnp.concatenate(sources, axis=-1)
        x = nn.Conv(self.width, size, strides=size, padding="VALID", **like)(x)
        x = x.reshape(len(x), -1, self.width)
        normal, shape = nn.initializers.normal(0.02), (1, *x.shape[1:])
        x = x + self.param("position", normal, shape, self.param_dtype)
        for _ in range(self.layers):
            attention = nn.MultiHeadDotProductAttention(self.heads, **like)
            x = x + attention(nn.LayerNorm(**like)(x))
            hidden = nn.gelu(nn.Dense(4 * self.width, **like)(nn.LayerNorm(**like)(x)))
            x = x + nn.Dense(self.width, **like)(hidden)
        return nn.Dense(self.classes, **like)(nn.LayerNorm(**like)(x).mean(1))


def make(
    name: str,
    model: nn.Module,
    shapes: tuple[tuple[int, ...], ...],
    arch: str = "",
    *,
    piecewise_linear: bool = True,
) -> Workload:
    """A workload of random weights and inputs.

    Args:
        name: what it is called.
        model: a Linen module of several sources.
        shapes: of the sources.
        arch: its name in `convert`.
        piecewise_linear: see `Workload`.

    Returns:
        The workload, seeded: the same numbers each time.
    """
    keys = jax.random.split(jax.random.key(0), len(shapes) + 1)
    sources = tuple(map(jax.random.normal, keys[1:], shapes))
    variables = jax.jit(model.init)(keys[0], *(x[:1] for x in sources))
    return Workload(name, model.apply, variables, sources, arch, piecewise_linear)


def smallnet(batch: int, pieces: int = 0) -> Workload:
    """SmallNet on two halves of a digit."""
    work = make(f"SmallNet, batch {batch}", SmallNet(), ((batch, 28, 14, 1),) * 2, "smallnet")
    return replace(work, pieces=pieces)


def resnet50(batch: int, side: int, classes: int = 10) -> Workload:
    """ResNet-50 on ten optical and two SAR bands, joined."""
    name = f"ResNet-50, {batch} x {side} x {side}"
    shapes = ((batch, side, side, 10), (batch, side, side, 2))
    return make(name, ResNet50(classes), shapes, "resnet50")


def fusion(batch: int, side: int) -> Workload:
    """FusionResNet18: a branch each for optical and SAR."""
    name = f"FusionResNet18, {batch} x {side} x {side}"
    shapes = ((batch, side, side, 10), (batch, side, side, 2))
    return make(name, FusionResNet18(), shapes, "fusion_resnet18")


def vit(batch: int, side: int) -> Workload:
    """The Vision Transformer on ten optical and two SAR bands."""
    name = f"ViT, {batch} x {side} x {side}"
    shapes = ((batch, side, side, 10), (batch, side, side, 2))
    return make(name, VisionTransformer(), shapes, piecewise_linear=False)


WORKLOADS: Mapping[str, Callable[[], Workload]] = {
    "smallnet-64": lambda: smallnet(64),
    "smallnet-500": lambda: smallnet(500, pieces=50),
    "resnet50": lambda: resnet50(4, 256),
    "fusion": lambda: fusion(4, 128),
    "vit": lambda: vit(8, 64),
}
"""The networks that are timed beside the peers, by the names of the command line."""


def batches() -> Iterator[tuple[int, Workload]]:
    """SmallNet at growing batch size."""
    return ((batch, smallnet(batch)) for batch in (16, 64, 256, 1024))


def sides() -> Iterator[tuple[int, Workload]]:
    """ResNet-50 at growing image size."""
    return ((side, resnet50(1, side)) for side in (64, 128, 256))


def classes() -> Iterator[tuple[int, Workload]]:
    """ResNet-50 with growing numbers of outputs."""
    return ((count, resnet50(2, 128, count)) for count in (10, 100, 1000))
