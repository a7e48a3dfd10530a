"""Maxima, pooling and sorting: the winner takes all."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from tests.oracles import slots
from tests.oracles.compiled import relevance
from tests.rules.by_hand import close, numbers, shares, two

pytestmark = pytest.mark.usefixtures("x64")


def test_maximum_of_two():
    x, y = np.array([1.0, 5.0, 2.0]), np.array([4.0, 3.0, 2.0])  # the last is a tie: the first wins
    close(two(jnp.maximum, x, y), [[0, 5, 2], [4, 0, 0], [0, 0, 0]])
    close(two(jnp.minimum, x, y), [[1, 0, 2], [0, 3, 0], [0, 0, 0]])


def test_clamp_between_sources():
    low, x, high = np.array([0.0, 0, 0]), np.array([-1.0, 0.5, 3.0]), np.array([1.0, 1, 2])
    rel = relevance(lax.clamp, (0, 1, 2))(low + 0.1, x, high)
    close(rel.sources, [[0.1, 0, 0], [0, 0.5, 0], [0, 0, 2]])
    rel = relevance(lambda x: lax.clamp(0.1, x, 2.0))(x)
    close(rel.sources, [0, 0.4, 1.9])  # with constant bounds a function of one variable
    close(rel.bias, 0.1)


@pytest.mark.parametrize("axis", [0, 1, (0, 1), (1, 0), (), -1])
def test_reduce_max(axis):
    total = np.array([[1.0, 3.0, 7.0], [7.0, 7.0, -1.0], [2.0, 7.0, 7.0]])
    a = numbers(3, 3)
    axes = axis if isinstance(axis, tuple) else (axis,)
    window = [total.shape[i] if i in axes or i - 2 in axes else 1 for i in range(2)]
    want = slots.max_pool(np.stack([0 * a, a, total - a]), window, window, [(0, 0)] * 2)
    got, bias = shares(lambda x: jnp.max(x, axis), a, total - a)
    close(got, want[1:].reshape(2, *bias.shape))
    got, _ = shares(lambda x: jnp.min(-x, axis), a, total - a)
    close(got, -want[1:].reshape(2, *bias.shape))


POOLS = {  # of [batch, height, width, channels]: window, strides, padding
    "2x2": ((2, 2), (2, 2), "VALID"),
    "2x2, odd": ((2, 2), (2, 2), "SAME"),
    "3x3, overlapping": ((3, 3), (2, 2), "SAME"),
    "3x3, stem": ((3, 3), (2, 2), ((1, 1), (1, 1))),
    "one side padded": ((2, 3), (1, 2), ((0, 1), (2, 0))),
    "strides beyond the window": ((1, 2), (3, 3), "VALID"),
    "all": ((5, 7), (1, 1), "VALID"),
    "a row": ((1, 7), (1, 1), "VALID"),
}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("values", ["random", "negative", "ties"])
def test_max_pool(pool, values):
    window, strides, padding = POOLS[pool]
    total = numbers(2, 5, 7, 2)
    if values != "random":
        total = -np.abs(total) if values == "negative" else np.round(total / 2) - 3
    a, b = numbers(2, 5, 7, 2, seed=1), numbers(2, 5, 7, 2, seed=2)
    c = total - a - b
    pads = [(0, 0), *slots.pads(padding, (5, 7), window, strides), (0, 0)]
    total = a + b + c  # as the network adds up
    parts = np.stack([0 * a, a, b, c])
    np.testing.assert_array_equal(parts.sum(0), total)
    want = slots.max_pool(parts, (1, *window, 1), (1, *strides, 1), pads)
    got, bias = shares(lambda x: nn.max_pool(x, window, strides, padding), a, b, c)
    close(got, want[1:])
    close(bias, 0.0)
    got, _ = shares(lambda x: nn.pool(-x, jnp.inf, lax.min, window, strides, padding), a, b, c)
    close(got, -want[1:])


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize("greatest", [lax.max, lax.min])
def test_max_pool_keeps_nan(place, greatest):
    """Wherever in its window it stands; other windows are explained."""
    x = numbers(1, 2, 4, 1)
    x[0, place // 2, place % 2] = np.nan
    fill = -np.inf if greatest is lax.max else np.inf

    def pool(x):
        return nn.pool(x, fill, greatest, (2, 2), (2, 2), "VALID")

    rel = relevance(pool)(x)
    np.testing.assert_array_equal(rel.output, pool(x))
    assert np.isnan(rel.output[0, 0, 0, 0])
    np.testing.assert_array_equal(rel.sources, rel.output)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_max_pool_in_one_and_three_dimensions(dimensions):
    shape = (2, *(5, 4, 3)[:dimensions], 2)
    a, b = numbers(*shape), numbers(*shape, seed=1)
    window, strides = (3, 2, 2)[:dimensions], (2, 1, 2)[:dimensions]
    pads = [(0, 0), *[(1, 0)] * dimensions, (0, 0)]
    want = slots.max_pool(np.stack([0 * a, a, b]), (1, *window, 1), (1, *strides, 1), pads)
    got, _ = shares(lambda x: nn.max_pool(x, window, strides, tuple(pads[1:-1])), a, b)
    close(got, want[1:])


def test_max_pool_with_dilation():
    a, b = numbers(6, 7), numbers(6, 7, seed=1)
    pads, dilation = [(1, 2), (0, 1)], (2, 3)
    want = slots.max_pool(np.stack([0 * a, a, b]), (2, 2), (1, 2), pads, dilation)

    def pool(x, base=(1, 1)):
        return lax.reduce_window(
            x, -jnp.inf, lax.max, (2, 2), (1, 2), pads, base_dilation=base, window_dilation=dilation
        )

    close(shares(pool, a, b)[0], want[1:])
    spread = np.zeros(
        (3, 11, 13)
    )  # base dilation spreads the elements out; between them nothing wins
    spread[:, ::2, ::2] = np.stack([0 * a, a, b])
    spread[0] = np.where(np.ones_like(a).repeat(2, 0).repeat(2, 1)[:11, :13] > 0, -1e9, 0)
    spread[0, ::2, ::2] = 0
    want = slots.max_pool(spread, (2, 2), (1, 2), pads, dilation)
    want[1:, want[0] < -1e8] = np.nan  # a window that saw no element is -inf, not explained
    seen = np.isfinite(pool(a + b, (2, 2)))
    got, _ = shares(lambda x: pool(x, (2, 2)), a, b)
    close(np.stack(got)[:, seen], want[1:, seen])


def test_sorting_carries_contributions_along():
    total = np.array([[3.0, 1.0, 2.0, 1.0], [-1.0, 5.0, 0.0, 4.0]])
    a = numbers(2, 4)
    order = np.argsort(total, 1, kind="stable")
    close(shares(jnp.sort, a, total - a)[0][0], np.take_along_axis(a, order, 1))
    last = order[:, ::-1][:, :2]
    close(shares(lambda x: lax.top_k(x, 2)[0], a, total - a)[0][0], np.take_along_axis(a, last, 1))
    got = shares(lambda x: lax.sort((x, 10 * x), num_keys=1)[1], a, total - a)[0][0]
    close(got, 10 * np.take_along_axis(a, order, 1))
    close(shares(lambda x: jnp.median(x, 1), a, total - a)[0][0],
          np.take_along_axis(a, order, 1)[:, 1:3].mean(1))  # fmt: skip
    got = shares(lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1), 1), a, total - a)[0][0]
    close(got, np.take_along_axis(a, order, 1))


def test_sorting_a_constant_by_a_source():
    weights = np.array([1.0, 2.0, 3.0])
    rel = relevance(lambda x: lax.sort((x, weights), num_keys=1))(np.array([3.0, 1.0, 2.0]))
    close(rel.sources[1], 0.0)
    close(rel.bias[1], [2.0, 3.0, 1.0])


@pytest.mark.parametrize("reverse", [False, True])
def test_running_maximum(reverse):
    total = np.array([1.0, 3.0, 3.0, 2.0, 5.0, 0.0])
    a = numbers(6)
    winners = [3, 3, 3, 4, 4, 4] if reverse else [0, 1, 1, 1, 4, 4]
    if reverse:  # from the end: 0, then 5, and 5 stays
        winners = [4, 4, 4, 4, 4, 5]
    close(shares(lambda x: lax.cummax(x, reverse=reverse), a, total - a)[0][0], a[winners])
    close(shares(lambda x: lax.cummin(-x, reverse=reverse), a, total - a)[0][0], -a[winners])
