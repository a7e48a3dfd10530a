"""Workloads to time: networks of several sources, with random weights and inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

import rfp_jax
from benchmarks.speed.unet import kernels
from benchmarks.speed.unet import unet as apply_unet
from rfp_jax.models import FusionResNet18, ResNet50, SmallNet

TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "bfloat16": 0.3}
"""The greatest error with which an answer counts as right. In bfloat16 a ReLU is on or off as the
rounding falls, and nobody's answer is better."""


@dataclass(frozen=True)
class Workload:
    """A network with its inputs.

    Attributes:
        name: what it is called.
        fun: `fun(variables, *sources)` returns outputs, [batch, ..., classes].
        variables: its weights.
        sources: its inputs, [batch, ...].
        arch: its name in `convert`, by which the peers find their own copy; "" if they have none.
        piecewise_linear: whether relevance is the derivative times the input, as it is for ReLU and
            max-pooling; then a plain `jax.jvp` computes it too.
        pieces: samples in a piece of the batch, where a CPU does better piece by piece; else 0.
        axis: where all sources lie in one array, the axis along which each entry is one.
        dense: whether there is an output at each place, so that one pass for each output is out of
            the question.
        module: the network in PyTorch, if it was imported from there.
    """

    name: str
    fun: Callable[..., Any]
    variables: Any
    sources: tuple[jax.Array, ...]
    arch: str = ""
    piecewise_linear: bool = True
    pieces: int = 0
    axis: int | None = None
    dense: bool = False
    module: Any = None

    @property
    def argnums(self) -> tuple[int, ...]:
        """The places of the sources among the function's arguments."""
        return tuple(range(1, len(self.sources) + 1))

    @property
    def count(self) -> int:
        """The number of sources."""
        return len(self.sources) if self.axis is None else self.sources[0].shape[self.axis]

    @property
    def dtype(self) -> str:
        """The dtype of everything."""
        return str(self.sources[0].dtype)

    @property
    def tolerance(self) -> float:
        """The greatest error with which an answer counts as right."""
        return TOLERANCE[self.dtype]

    def explain(self, **options: Any) -> Callable[..., Any]:
        """Relevance, as a function of the same arguments."""
        if self.axis is None:
            return rfp_jax.relevance(self.fun, self.argnums, **options)
        return rfp_jax.relevance(self.fun, 1, split=rfp_jax.sources.axis(self.axis), **options)

    def alone(self, source: jax.Array | int, *sources: jax.Array) -> tuple[jax.Array, ...]:
        """The inputs with zeros in the place of all sources but one."""
        if self.axis is None:
            kept = [x * jnp.asarray(source == i, x.dtype) for i, x in enumerate(sources)]
            return tuple(kept)
        (x,) = sources
        shape = [1] * x.ndim
        shape[self.axis] = -1
        mask = (jnp.arange(self.count) == source).astype(x.dtype).reshape(shape)
        return (x * mask,)

    def apart(self) -> tuple[Callable[..., Any], tuple[jax.Array, ...]]:
        """The function of sources that are arguments each, and these sources."""
        if (axis := self.axis) is None:
            return self.fun, self.sources

        def joined(variables: Any, *slices: jax.Array) -> Any:
            return self.fun(variables, jnp.concatenate(slices, axis))

        return joined, tuple(jnp.split(self.sources[0], self.count, axis))

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


class Recurrent(nn.Module):
    """An LSTM on the time steps of all sensors joined, and a head on its last state."""

    width: int = 64
    classes: int = 10

    @nn.compact
    def __call__(self, *sources: jax.Array) -> jax.Array:
        series = jnp.concatenate(sources, axis=-1)
        cell = nn.OptimizedLSTMCell(self.width, param_dtype=series.dtype)
        states: Any = nn.RNN(cell)(series)
        return nn.Dense(self.classes)(states[:, -1])


class CausalTransformer(nn.Module):
    """A decoder on embedded tokens, [batch, token, width]; outputs of the last token."""

    heads: int = 4
    layers: int = 4
    classes: int = 10

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        mask, width = nn.make_causal_mask(jnp.ones(x.shape[:2])), x.shape[-1]
        for _ in range(self.layers):
            x = x + nn.MultiHeadDotProductAttention(self.heads)(nn.LayerNorm()(x), mask=mask)
            x = x + nn.Dense(width)(nn.gelu(nn.Dense(4 * width)(nn.LayerNorm()(x))))
        return nn.Dense(self.classes)(nn.LayerNorm()(x)[:, -1])


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


def unet(batch: int, side: int) -> Workload:
    """A U-Net: classes at every pixel, of optical and SAR bands."""
    keys = jax.random.split(jax.random.key(0))
    shapes = ((batch, side, side, 10), (batch, side, side, 2))
    sources = tuple(map(jax.random.normal, keys, shapes))
    name = f"U-Net, {batch} x {side} x {side}"
    return Workload(name, apply_unet, kernels(12), sources, dense=True)


def imported(arch: str, batch: int, side: int) -> Workload:
    """A network of PyTorch's, imported; ten optical and two SAR bands, channels first.

    Args:
        arch: "resnet50" or "vit".
        batch: samples.
        side: pixels a side.

    Returns:
        The workload, with the module from which it comes.
    """
    import torch

    from benchmarks.speed import torch_networks
    from rfp_jax.convert import from_torch

    name = {"resnet50": "ResNet-50", "vit": "ViT"}[arch]
    torch.manual_seed(0)
    module = torch_networks.Joined(torch_networks.plain(arch, side)).eval()
    fun, params = from_torch(module)
    keys = jax.random.split(jax.random.key(0))
    shapes = ((batch, 10, side, side), (batch, 2, side, side))
    sources = tuple(map(jax.random.normal, keys, shapes))
    return Workload(
        f"{name} from PyTorch, {batch} x {side} x {side}",
        fun,
        jax.tree.map(jnp.asarray, params),
        sources,
        piecewise_linear=arch == "resnet50",
        module=module,
    )


def bands(count: int, batch: int, side: int) -> Workload:
    """ResNet-50 on one image, each band of which is a source."""
    name = f"{count} bands, ResNet-50, {batch} x {side} x {side}"
    return replace(make(name, ResNet50(), ((batch, side, side, count),)), axis=-1)


def tokens(batch: int, length: int, width: int = 64) -> Workload:
    """A causal transformer, each token of which is a source."""
    name = f"causal transformer, {batch} x {length} tokens"
    shapes = ((batch, length, width),)
    return replace(make(name, CausalTransformer(), shapes, piecewise_linear=False), axis=1)


def lstm(batch: int, steps: int) -> Workload:
    """An LSTM on two sensors."""
    shapes = ((batch, steps, 6), (batch, steps, 3))
    name = f"LSTM, {batch} x {steps} steps"
    return make(name, Recurrent(), shapes, piecewise_linear=False)


def in_dtype(work: Workload, dtype: str) -> Workload:
    """The workload in another precision, weights, inputs and arithmetic."""
    with jax.enable_x64(dtype == "float64"):
        variables, sources = jax.tree.map(
            lambda a: jnp.asarray(a, dtype), (work.variables, work.sources)
        )
    # the peers compute in float32
    return replace(
        work, name=f"{work.name}, {dtype}", variables=variables, sources=sources, arch=""
    )


WORKLOADS: Mapping[str, Callable[[], Workload]] = {
    "smallnet-64": lambda: smallnet(64),
    "smallnet-500": lambda: smallnet(500, pieces=50),
    "resnet50": lambda: resnet50(4, 256),
    "fusion": lambda: fusion(4, 128),
    "vit": lambda: vit(8, 64),
    "unet": lambda: unet(1, 256),
    "torch-resnet50": lambda: imported("resnet50", 4, 128),
    "torch-vit": lambda: imported("vit", 8, 64),
    "lstm": lambda: lstm(4, 1000),
    "tokens": lambda: tokens(1, 256),
    "bands-3": lambda: bands(3, 2, 64),
    "bands-13": lambda: bands(13, 2, 64),
    "smallnet-float64": lambda: in_dtype(smallnet(64), "float64"),
    "smallnet-bfloat16": lambda: in_dtype(smallnet(64), "bfloat16"),
    "resnet50-float64": lambda: in_dtype(resnet50(2, 64), "float64"),
    "resnet50-bfloat16": lambda: in_dtype(resnet50(2, 64), "bfloat16"),
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
