"""Linear layers and reshapes, and numbers that are not finite, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from rfp_jax import RelevanceStopsWarning, relevance
from tests.rules.by_hand import close, init, numbers, shares, two

pytestmark = pytest.mark.usefixtures("x64")

IMAGE = (2, 6, 5, 4)


LINEAR = {
    "Dense": nn.Dense(3),
    "Dense, no bias": nn.Dense(3, use_bias=False),
    "DenseGeneral": nn.DenseGeneral((2, 3), axis=(-2, -1)),
    "Conv": nn.Conv(3, (3, 3)),
    "Conv, strides": nn.Conv(3, (3, 2), strides=2, padding="VALID"),
    "Conv, padding": nn.Conv(3, (3, 3), padding=((2, 0), (0, 1))),
    "Conv, circular": nn.Conv(3, (3, 3), padding="CIRCULAR"),
    "Conv, groups": nn.Conv(6, (3, 3), feature_group_count=2),
    "Conv, depthwise": nn.Conv(4, (3, 3), feature_group_count=4),
    "Conv, dilated": nn.Conv(3, (2, 2), kernel_dilation=2),
    "Conv, input dilated": nn.Conv(3, (2, 2), padding=((0, 1), (0, 0)), input_dilation=2),
    "Conv, 1-D": nn.Conv(3, (3,)),
    "ConvTranspose": nn.ConvTranspose(3, (3, 3), strides=(2, 2)),
    "ConvLocal": nn.ConvLocal(3, (2, 2)),
    "Dropout": nn.Dropout(0.5, deterministic=True),
}


RESHAPING = {
    "average pool": lambda x: nn.avg_pool(x, (2, 2), (2, 2)),
    "average pool, padded": lambda x: nn.avg_pool(x, (3, 3), (2, 2), "SAME"),
    "average pool, padding not counted": lambda x: nn.avg_pool(
        x, (3, 3), (2, 2), "SAME", count_include_pad=False
    ),
    "global average": lambda x: x.mean((1, 2)),
    "adaptive average": lambda x: x.reshape(2, 3, 2, 5, 4).mean((2, 3)),
    "flatten": lambda x: x.reshape(2, -1),
    "transpose": lambda x: x.transpose(0, 3, 1, 2),
    "pad": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 0), (0, 0))),
    "pad, reflect": lambda x: jnp.pad(x, ((0, 0), (1, 2), (1, 0), (0, 0)), mode="reflect"),
    "crop": lambda x: x[:, 1:-1, ::2],
    "nearest": lambda x: jax.image.resize(x, (2, 12, 9, 4), "nearest"),
    "bilinear": lambda x: jax.image.resize(x, (2, 12, 9, 4), "bilinear"),
    "bilinear, smaller": lambda x: jax.image.resize(x, (2, 3, 4, 4), "bilinear"),
    "einsum": lambda x: jnp.einsum("bhwc,cd->bdh", x, np.arange(12.0).reshape(4, 3)),
    "cumsum": lambda x: jnp.cumsum(x, 1),
    "roll": lambda x: jnp.roll(x, 2, 1),
    "take": lambda x: jnp.take(x, jnp.array([3, 0]), axis=-1),
    "fft": lambda x: jnp.fft.rfft(x, axis=1).real,
    "where": lambda x: jnp.where((jnp.arange(4) > 1)[None, None, None], x, 2 * x),
    "repeat": lambda x: jnp.repeat(x, 2, axis=1),
    "bfloat16": lambda x: (x * 0).astype(jnp.bfloat16).astype(float) + x,
}


@pytest.mark.parametrize("layer", [*LINEAR, *RESHAPING])
def test_linear_layers(layer):
    shape = IMAGE[:2] + IMAGE[-1:] if "1-D" in layer else IMAGE
    a, b = numbers(*shape), numbers(*shape, seed=1)
    if layer in LINEAR:
        variables = init(LINEAR[layer], a)

        def fun(x):
            return LINEAR[layer].apply(variables, x)
    else:
        fun = RESHAPING[layer]
    constant = fun(np.zeros(shape))
    got, bias = shares(fun, a, b)
    close(got, [fun(a) - constant, fun(b) - constant])
    close(bias, constant)


def test_concatenation_and_addition_of_branches():
    a, b = numbers(2, 3), numbers(2, 3, seed=1)
    rel = relevance(lambda x, y: jnp.concatenate([x, 2 * y, jnp.ones((2, 1))], 1), (0, 1))(a, b)
    close(rel.sources[0], np.concatenate([a, 0 * a, np.zeros((2, 1))], 1))
    close(rel.sources[1], np.concatenate([0 * b, 2 * b, np.zeros((2, 1))], 1))
    close(rel.bias, np.concatenate([0 * a, 0 * b, np.ones((2, 1))], 1))
    rel = relevance(lambda x: x + 3 * x - 8.0)(np.array([24.0]))  # a residual counts once each
    assert (float(rel.sources[0]), float(rel.bias[0])) == (96.0, -8.0)


def test_updates_in_place():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([10.0])
    got = two(lambda x, y: x.at[1:2].set(y), a, b)
    close(got[0], [1, 0, 3])
    close(got[1], [0, 10, 0])
    got = two(lambda x, y: x.at[1:2].add(y), a, b)
    close(got[0], [1, 2, 3])
    close(got[1], [0, 10, 0])


def test_constants_that_travel_with_a_source_are_the_bias():
    a, b = np.array([1.0]), np.array([3.0])
    constant = jnp.array([100.0])
    for together in (lax.optimization_barrier, jax.device_put):
        got, bias = shares(lambda x, t=together: sum(t((x, constant))), a, b)
        close([*got, bias], [a, b, constant])
    got, bias = shares(lambda x: x.at[jnp.array([0, 9])].get(mode="fill", fill_value=7.0), a, b)
    close([*got, bias], [[1, 0], [3, 0], [0, 7]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_nan_and_not_a_number(bad):
    a, b = np.array([1.0, bad, 2.0]), np.array([1.0, 1.0, -5.0])
    for fun in (lambda x: x, lambda x: 2 * x + 1, lambda x: x * x, lambda x: jnp.exp(jnp.abs(x))):
        (got_a, got_b), bias = shares(fun, a, b)
        for got in (got_a, got_b, bias):
            np.testing.assert_array_equal(np.isnan(got), [False, True, False])
    got, bias = shares(lambda x: jnp.stack([x.sum(), x[0]]), a, b)
    np.testing.assert_array_equal(np.isnan([*got, bias]), [[True, False]] * 3)


@pytest.mark.slow
def test_overflow_inside():
    """Exp overflows, tanh(exp(x)) does not: it is one function of x."""
    got, _ = shares(lambda x: jnp.tanh(jnp.exp(x)), np.array([900.0, 1.0]), np.array([100.0, 0.0]))
    close([g[0] for g in got], [(1 - np.tanh(1)) * 0.9, (1 - np.tanh(1)) * 0.1])
    got, _ = shares(lambda x: jnp.exp(x).sum() + x, np.array([900.0]), np.array([100.0]))
    assert all(np.isnan(got))
    with pytest.warns(RelevanceStopsWarning):
        rel = relevance(lambda x: 1 / (x - x))(np.array([1.0]))
    assert np.isnan(rel.sources)
    assert np.isnan(rel.bias)


def test_what_a_nan_does_not_reach_keeps_its_relevance():
    got, bias = shares(
        lambda x: jnp.where(jnp.isnan(x), 4.0, x), np.array([np.nan, 1.0]), np.array([1.0, 2.0])
    )
    close([*got, bias], [[0, 1], [0, 2], [4, 0]])
