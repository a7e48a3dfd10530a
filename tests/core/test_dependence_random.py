"""Random programs: never a false proof, and what `jax.vmap` has batched is always proved."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from tests.oracles import nets
from tests.oracles.samples import find, interacts

pytestmark = pytest.mark.slow


def conv(x: jax.Array, kernel: tuple[int, ...], groups: int = 1) -> jax.Array:
    """A convolution of [batch, channels, width] with a kernel of ones."""
    return lax.conv_general_dilated(x, jnp.ones(kernel), (1,), "SAME", feature_group_count=groups)


def conv_of_groups(x: jax.Array) -> jax.Array:
    """Samples as groups of channels, which is how `jax.vmap` batches kernels."""
    n, c, width = x.shape
    return conv(x.reshape(1, n * c, width), (n * c, c, 1), groups=n).reshape(x.shape)


def loop(x: jax.Array, b: bool) -> jax.Array:
    """A loop over rows, with a carry of rows or of constants."""
    return lax.scan(lambda c, r: (c + (r.sum() if b else 1.0), r * (1 + c)), 0.0, x)[1]


def branch(x: jax.Array, b: bool) -> jax.Array:
    holds = x.sum() > 0 if b else True
    return lax.cond(holds, lambda x: x * x.sum(1, keepdims=True), jnp.sin, x)


STEPS: dict[str, Callable[[jax.Array, bool], jax.Array]] = {
    "sine": lambda x, b: jnp.sin(x),
    "roll": lambda x, b: jnp.roll(x, 1, 0),
    "reverse": lambda x, b: lax.rev(x, (0,)),
    "center": lambda x, b: x - x.mean(0, keepdims=True),
    "maximum": lambda x, b: x * x.max((0, 1) if b else 0, keepdims=True),
    "softmax": lambda x, b: jax.nn.softmax(x, 0),
    "running": lambda x, b: jnp.cumsum(x, 0),
    "sort": lambda x, b: jnp.sort(x, 0),
    "swap": lambda x, b: jnp.swapaxes(x, 0, 1 + b),
    "merge": lambda x, b: jnp.cumsum(x.reshape(-1, x.shape[2]), int(b)).reshape(x.shape),
    "halves": lambda x, b: jnp.sin(x.reshape(2, -1)).reshape(x.shape),
    "pairs": lambda x, b: lax.rev(x.reshape(2, -1, *x.shape[1:]), (int(b),)).reshape(x.shape),
    "reshape": lambda x, b: x.reshape(x.shape[1], x.shape[0], x.shape[2]).swapaxes(0, 1),
    "weights": lambda x, b: x @ jnp.ones((x.shape[2], x.shape[2])),
    "covariance": lambda x, b: jnp.einsum("ijk,ijl->ikl", x, x) @ x.swapaxes(1, 2),
    "first": lambda x, b: x + x[:1],
    "joined": lambda x, b: jnp.concatenate([x[:1], x[1:]]),
    "taken": lambda x, b: jnp.take(x, jnp.arange(x.shape[0]) // 2, axis=0),
    "ordered": lambda x, b: jnp.take_along_axis(x, jnp.argsort(x, 0), int(b)),
    "added": lambda x, b: x.at[jnp.array([1, 0])].add(x[:2]),
    "tiled": lambda x, b: jnp.tile(x, (2, 1, 1)).reshape(2, *x.shape).sum(0),
    "loop": loop,
    "map": lambda x, b: lax.map(lambda r: r - r.mean(0, keepdims=True), x),
    "repeat": lambda x, b: lax.fori_loop(0, 2, lambda _, x: x + lax.rev(x, (0,)), x),
    "branch": branch,
    "conv": lambda x, b: conv(x, (x.shape[1], x.shape[1], 1 + 2 * b)),
    "depthwise": lambda x, b: conv(x, (x.shape[1], 1, 1), groups=x.shape[1]),
    "conv of groups": lambda x, b: conv_of_groups(x),
}
"""Functions of arrays of rank 3, most of them along the first axis."""


def program(steps: list[tuple[str, int, bool]]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Steps along some axis, on two arrays in turn; where shapes agree, these are multiplied."""

    def fun(x: jax.Array, y: jax.Array) -> jax.Array:
        for name, axis, b in steps:
            x, y = y, jnp.moveaxis(STEPS[name](jnp.moveaxis(x, axis, 0), b), 0, axis)
            if x.shape == y.shape:
                y = x * y
        return y

    return fun


programs = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 2), st.booleans()),
    min_size=1,
    max_size=4,
)
SHAPE = (4, 2, 6)


@given(programs, st.integers(1, 3))
def test_random_programs_are_never_proved_wrongly(steps, axes):
    with jax.enable_x64(True):
        args = np.random.default_rng(1).normal(size=(2, *SHAPE))
        fun = program(steps)
        if find(fun, axes, *args) is None:
            assert not interacts(fun, axes, *args)


@given(programs)
def test_vmapped_programs_are_always_proved(steps):
    with jax.enable_x64(True):
        args = np.random.default_rng(1).normal(size=(2, 3, *SHAPE))
        assert find(jax.vmap(program(steps)), 1, *args) is None
        assert find(jax.vmap(jax.vmap(program(steps))), 2, *args[:, None].repeat(2, 1)) is None


def test_each_step_is_proved_for_some_axis_and_not_for_all():
    """Else the properties above would hold of an analysis that proves nothing."""
    args = np.random.default_rng(1).normal(size=(2, *SHAPE))
    verdicts: dict[str, set[bool]] = {}
    for name, axis, b in itertools.product(STEPS, range(3), (False, True)):
        verdicts.setdefault(name, set()).add(find(program([(name, axis, b)]), 1, *args) is None)
    assert {name for name, seen in verdicts.items() if True in seen} == set(STEPS) - {"reshape"}
    harmless = {"sine", "tiled", "map", "halves", "weights", "depthwise"}
    assert {name for name, seen in verdicts.items() if False in seen} >= set(STEPS) - harmless


@given(nets.nets(whole=False))
def test_random_networks_are_proved_for_their_batch(net):
    with jax.enable_x64(True):
        forms, sources = net.build()
        assert find(forms.plain, 1, *sources) is None
