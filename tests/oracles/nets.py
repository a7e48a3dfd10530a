"""Random small networks in two forms: a JAX function, and slots in NumPy.

A layer is a description; `build` gives it numbers and returns it in both forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from hypothesis import assume
from hypothesis import strategies as st
from jax import lax

from tests.oracles import slots

SIZE = 6  # of the images, in pixels


@dataclass(frozen=True)
class Forms:
    """One layer or network twice: `plain` in JAX on activations, `slots` in NumPy on slots."""

    plain: Callable[..., jax.Array]
    slots: Callable[..., np.ndarray]


@dataclass(frozen=True)
class Numbers:
    """The origin of a network's numbers.

    Whole ones make exact zeros and ties, which the rules must settle as the paper does; the others
    never do.
    """

    rng: np.random.Generator
    whole: bool

    def __call__(self, *shape: int) -> np.ndarray:
        if self.whole:
            return self.rng.integers(-2, 3, shape).astype(float)
        return self.rng.normal(size=shape)


@dataclass(frozen=True)
class Conv:
    """A convolution with or without bias."""

    features: int
    window: int
    stride: int
    padding: Any
    bias: bool

    def build(self, numbers: Numbers, channels: int) -> Forms:
        kernel = numbers(self.window, self.window, channels, self.features)
        bias = numbers(self.features) if self.bias else None
        strides = (self.stride, self.stride)

        def plain(x: jax.Array) -> jax.Array:
            y = lax.conv_general_dilated(
                x, kernel, strides, self.padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return y if bias is None else y + bias[None, None, None]

        return Forms(plain, lambda c: slots.conv(c, kernel, bias, strides, self.padding))


@dataclass(frozen=True)
class Relu:
    """ReLU."""

    def build(self, numbers: Numbers, channels: int) -> Forms:
        return Forms(nn.relu, slots.relu)


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization on running statistics."""

    def build(self, numbers: Numbers, channels: int) -> Forms:
        mean, shift = numbers(channels), numbers(channels)
        variance, scale = 4.0 ** np.round(numbers(channels)), numbers(channels)  # exact roots

        def plain(x: jax.Array) -> jax.Array:
            norm = nn.BatchNorm(use_running_average=True, epsilon=0.0, param_dtype=jnp.float64)
            return norm.apply(
                {
                    "params": {"scale": scale, "bias": shift},
                    "batch_stats": {"mean": mean, "var": variance},
                },
                x,
            )

        return Forms(plain, lambda c: slots.batch_norm(c, mean, variance, scale, shift, 0.0))


@dataclass(frozen=True)
class Pool:
    """Max- or average-pooling; padding of the average counts."""

    kind: str
    window: int
    stride: int
    padding: Any

    def build(self, numbers: Numbers, channels: int) -> Forms:
        window, strides = (self.window, self.window), (self.stride, self.stride)
        pool = nn.max_pool if self.kind == "max" else nn.avg_pool
        pool_slots = slots.max_pool if self.kind == "max" else slots.avg_pool

        def in_slots(c: np.ndarray) -> np.ndarray:
            padding = slots.pads(self.padding, c.shape[2:4], window, strides)
            whole = [(0, 0), *padding, (0, 0)]
            return pool_slots(c, (1, *window, 1), (1, *strides, 1), whole)

        return Forms(lambda x: pool(x, window, strides, self.padding), in_slots)


@dataclass(frozen=True)
class Net:
    """A branch of layers for each source, joined by concatenation or sum, a trunk, a dense head.

    Attributes:
        branches: the layers of each source.
        join: `"concatenate"` or `"add"`.
        trunk: the layers after the join.
        outputs: the number of outputs.
        whole: whether all numbers are small integers.
        seed: of the numbers.
    """

    branches: tuple[tuple[Any, ...], ...]
    join: str
    trunk: tuple[Any, ...]
    outputs: int
    bias: bool
    whole: bool
    seed: int

    def build(self) -> tuple[Forms, list[np.ndarray]]:
        """The network in both forms, and its sources, each [batch, SIZE, SIZE, 2]."""
        numbers = Numbers(np.random.default_rng(self.seed), self.whole)
        sources = [numbers(2, SIZE, SIZE, 2) for _ in self.branches]
        branches = [self._chain(numbers, layers, 2) for layers in self.branches]
        ends = [jax.eval_shape(b.plain, x) for b, x in zip(branches, sources, strict=True)]
        assume(all(0 not in end.shape for end in ends))
        sides = [min(end.shape[axis] for end in ends) for axis in (1, 2)]
        channels = [end.shape[-1] for end in ends]
        joined = sum(channels) if self.join == "concatenate" else max(channels)
        trunk = self._chain(numbers, self.trunk, joined)
        end = jax.eval_shape(trunk.plain, jnp.zeros((2, *sides, joined)))
        assume(0 not in end.shape)
        kernel = numbers(int(np.prod(end.shape[1:])), self.outputs)
        bias = numbers(self.outputs) if self.bias else None

        def fit(x: Any, lib: Any) -> Any:
            """Cut to the common size; where branches are added, fill up with empty channels."""
            x = x[..., : sides[0], : sides[1], :]
            if self.join == "concatenate":
                return x
            return lib.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, joined - x.shape[-1])])

        def plain(*xs: jax.Array) -> jax.Array:
            parts = [fit(b.plain(x), jnp) for b, x in zip(branches, xs, strict=True)]
            x = jnp.concatenate(parts, axis=-1) if self.join == "concatenate" else sum(parts)
            x = trunk.plain(x)
            y = x.reshape(x.shape[0], -1) @ kernel
            return y if bias is None else y + bias[None]

        def in_slots(*xs: np.ndarray) -> np.ndarray:
            each = [slots.source(x, i, len(xs)) for i, x in enumerate(xs)]
            parts = [fit(b.slots(c), np) for b, c in zip(branches, each, strict=True)]
            c = slots.concatenate(parts) if self.join == "concatenate" else slots.add(parts)
            return slots.dense(slots.flatten(trunk.slots(c)), kernel, bias)

        return Forms(plain, in_slots), sources

    @staticmethod
    def _chain(numbers: Numbers, layers: Sequence[Any], channels: int) -> Forms:
        built = []
        for layer in layers:
            built.append(layer.build(numbers, channels))
            channels = getattr(layer, "features", channels)

        def plain(x: jax.Array) -> jax.Array:
            for layer in built:
                x = layer.plain(x)
            return x

        def in_slots(c: np.ndarray) -> np.ndarray:
            for layer in built:
                c = layer.slots(c)
            return c

        return Forms(plain, in_slots)


paddings = st.sampled_from(["SAME", "VALID", ((1, 0), (0, 2))])
convs = st.builds(
    Conv,
    features=st.integers(1, 3),
    window=st.sampled_from([1, 2, 3]),
    stride=st.sampled_from([1, 1, 2]),
    padding=paddings,
    bias=st.booleans(),
)
pools = st.builds(
    Pool,
    kind=st.sampled_from(["max", "average"]),
    window=st.sampled_from([2, 3]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from(["SAME", ((1, 0), (1, 1))]),
)
blocks = st.tuples(
    convs, st.lists(st.one_of(st.just(Relu()), st.just(BatchNorm()), pools), max_size=3)
).map(lambda block: (block[0], *block[1]))
"""A convolution and what follows it."""


@st.composite
def nets(draw: st.DrawFn, whole: bool) -> Net:
    """Networks of 1 to 5 sources, with 0 to 2 blocks a branch and 1 in the trunk."""
    chains = st.lists(blocks, max_size=2).map(lambda chain: sum(chain, ()))
    branches = draw(st.lists(chains, min_size=1, max_size=5))
    return Net(
        tuple(branches),
        draw(st.sampled_from(["concatenate", "add"])),
        draw(blocks),
        outputs=3,
        bias=draw(st.booleans()),
        whole=whole,
        seed=draw(st.integers(0, 2**16)),
    )
