"""Functions of one variable, products and quotients: answers that are known by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from rfp_jax import RelevanceStopsWarning, relevance
from tests.rules.by_hand import close, shares, two

pytestmark = pytest.mark.usefixtures("x64")


def _gelu_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {  # in JAX, in Python, derivative at 0
    "relu": (jax.nn.relu, lambda x: max(x, 0.0), 1.0),
    "maximum": (lambda x: jnp.maximum(0.0, x), lambda x: max(x, 0.0), 1.0),
    "relu6": (jax.nn.relu6, lambda x: min(max(x, 0.0), 6.0), 1.0),
    "clip": (lambda x: jnp.clip(x, -1, 2), lambda x: min(max(x, -1.0), 2.0), 1.0),
    "shifted clip": (lambda x: jnp.clip(x, 1, 2), lambda x: min(max(x, 1.0), 2.0), 0.0),
    "leaky_relu": (jax.nn.leaky_relu, lambda x: x if x >= 0 else 0.01 * x, 1.0),
    "leaky_relu(0.2)": (
        lambda x: nn.leaky_relu(x, 0.2),
        lambda x: x if x >= 0 else 0.2 * x,
        1.0,
    ),
    "gelu": (nn.gelu, _gelu_tanh, 0.5),
    "gelu, exact": (
        lambda x: nn.gelu(x, approximate=False),
        lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
        0.5,
    ),
    "silu": (nn.silu, lambda x: x / (1 + math.exp(-x)), 0.5),
    "swish": (lambda x: x * nn.sigmoid(1.5 * x), lambda x: x / (1 + math.exp(-1.5 * x)), 0.5),
    "mish": (jax.nn.mish, lambda x: x * math.tanh(math.log1p(math.exp(x))), 0.6),
    "hard_swish": (nn.hard_swish, lambda x: x * min(max(x + 3, 0), 6) / 6, 0.5),
    "elu": (nn.elu, lambda x: x if x > 0 else math.expm1(x), 1.0),
    "celu": (lambda x: nn.celu(x, 2.0), lambda x: x if x > 0 else 2 * math.expm1(x / 2), 1.0),
    "tanh": (jnp.tanh, math.tanh, 1.0),
    "sigmoid": (nn.sigmoid, lambda x: 1 / (1 + math.exp(-x)), 0.25),
    "soft_sign": (nn.soft_sign, lambda x: x / (1 + abs(x)), 1.0),
    "exp": (jnp.exp, math.exp, 1.0),
    "cos": (jnp.cos, math.cos, 0.0),
    "square": (jnp.square, lambda x: x * x, 0.0),
    "x * x": (lambda x: x * x, lambda x: x * x, 0.0),
    "x**3": (lambda x: x**3, lambda x: x**3, 0.0),
    "abs": (jnp.abs, abs, 1.0),
    "erf": (jax.scipy.special.erf, math.erf, 2 / math.sqrt(math.pi)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_elementwise(activation):
    fun, plain, slope = ACTIVATIONS[activation]
    x = np.array([-30.0, -3.5, -1.0, -0.25, -(2.0**-13), 0, 2.0**-13, 0.25, 1.0, 3.5, 30.0])
    a = 0.25 * x + 1.0  # both parts are there where their sum is 0
    factor = [(plain(v) - plain(0.0)) / v if v else slope for v in x]
    (got_a, got_b), bias = shares(fun, a, x - a)
    np.testing.assert_allclose(got_a, a * factor, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(got_b, (x - a) * factor, rtol=1e-8, atol=1e-12)
    size = np.array([abs(plain(v)) for v in x])  # the bias is what remains of it
    assert (np.abs(bias - plain(0.0)) <= 1e-14 + 1e-14 * size).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_elementwise_close_to_zero(activation):
    """The derivative survives where the difference to f(0) would be lost to rounding."""
    fun, plain, slope = ACTIVATIONS[activation]
    x = np.array([-1e-9, 1e-9, -1e-12, 1e-12])
    factor = [slope if plain(0.0) else plain(v) / v for v in x]
    (got, _), _ = shares(fun, x + 1.0, np.full(4, -1.0))
    np.testing.assert_allclose(got, factor, rtol=1e-7, atol=1e-8)


def test_relu_passes_at_exactly_zero():
    (a, b), bias = shares(jax.nn.relu, np.array([5.0]), np.array([-5.0]))
    assert (a, b, bias) == (5.0, -5.0, 0.0)


def test_a_constant_added_is_the_bias():
    (a, b), bias = shares(lambda x: 2.0 * x - 8.0, np.array([1.0]), np.array([3.0]))
    assert (a, b, bias) == (2.0, 6.0, -8.0)


JITTED = {
    "sigmoid": (lambda x: x * nn.sigmoid(x), lambda x: x * jax.jit(nn.sigmoid)(x)),
    "outside": (nn.gelu, jax.jit(nn.gelu)),
    "inner": (
        lambda x: x * (0.5 * (1 + jnp.tanh(x + 0.1 * x**3))),
        lambda x: x * jax.jit(lambda y: 0.5 * (1 + jnp.tanh(y + 0.1 * y**3)))(x),
    ),
    "half": (
        lambda x: x * jnp.tanh(jax.nn.softplus(x)),
        lambda x: jax.jit(lambda u, v: u * jnp.tanh(v))(x, jax.jit(jax.nn.softplus)(x)),
    ),
    "remat": (lambda x: x * jnp.tanh(x), lambda x: x * jax.checkpoint(jnp.tanh)(x)),
    "named": (lambda x: x * jnp.tanh(x), lambda x: x * jax.named_call(jnp.tanh)(x)),
    "twice": (
        lambda x: nn.silu(nn.silu(x) + x) * nn.silu(x),
        jax.jit(lambda x: jax.jit(nn.silu)(nn.silu(x) + x) * jax.jit(jax.jit(nn.silu))(x)),
    ),
    "quotient": (
        lambda x: x / (1 + jnp.abs(x)),
        lambda x: jax.jit(jnp.divide)(x, jax.jit(lambda y: 1 + jnp.abs(y))(x)),
    ),
    "two variables": (
        lambda x: x[:1] * jnp.tanh(x[1:2]),
        jax.jit(lambda x: x[:1] * jax.jit(jnp.tanh)(x[1:2])),
    ),
    "a power": (
        lambda x: jnp.abs(x) ** jnp.full(3, 1.5),
        jax.jit(lambda x: jnp.abs(x) ** jnp.full(3, 1.5)),
    ),
}


@pytest.mark.parametrize("case", JITTED)
def test_what_is_jitted_does_not_matter(case):
    plain, jitted = JITTED[case]
    a, b = np.array([1.0, -2.0, 3.0]), np.array([0.5, 0.4, -4.0])
    want, want_bias = shares(plain, a, b)
    got, got_bias = shares(jitted, a, b)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(got_bias, want_bias)
    outside = jax.jit(relevance(lambda a, b: plain(a + b), (0, 1)))(a, b)
    close(outside.sources, want)


@pytest.mark.parametrize("exponent", [2.0, 0.5, -1.0])
def test_a_power_does_not_depend_on_jit(exponent):
    """The exponent is an argument: inside `jax.jit` its value is not known."""
    rel = relevance(jnp.power)
    x, n = np.array([2.0, 3.0]), np.full(2, exponent)
    close(jax.jit(rel)(x, n).sources, rel(x, n).sources)


def test_two_signals_share_half_each():
    close(two(lambda x, y: x * y, [6.0], [7.0]), [[21.0], [21.0], [0.0]])
    close(two(lambda x, y: x @ y, [1.0, 2.0], [3.0, 4.0]), [5.5, 5.5, 0.0])


@pytest.mark.parametrize(
    ("weight", "value"),
    {
        "sigmoid": (nn.sigmoid, 1 / (1 + math.exp(-0.5))),
        "1 - sigmoid": (lambda x: 1 - nn.sigmoid(x), 1 / (1 + math.exp(0.5))),
        "hard_sigmoid": (nn.hard_sigmoid, 3.5 / 6),
        "clip": (lambda x: jnp.clip(x, 0, 1), 0.5),
        "softmax": (lambda x: nn.softmax(jnp.stack([x, 0 * x]), 0)[0], 1 / (1 + math.exp(-0.5))),
        "sigmoid, reshaped": (
            lambda x: jnp.broadcast_to(nn.sigmoid(x[:, None]), (1, 1))[0],
            1 / (1 + math.exp(-0.5)),
        ),
    }.values(),
)
def test_a_gate_leaves_all_to_the_signal(weight, value):
    gate, signal = np.array([0.5]), np.array([10.0])
    close(two(lambda x, y: weight(x) * y, gate, signal), [[0.0], [10 * value], [0.0]])
    close(two(lambda x, y: y * weight(x), gate, signal), [[0.0], [10 * value], [0.0]])


def test_glu():
    close(two(lambda x, y: nn.glu(jnp.concatenate([x, y])), [2.0], [0.0]), [[1.0], [0.0], [0.0]])


def test_a_denominator_is_a_constant():
    close(two(lambda x, y: x / y, [6.0], [3.0]), [[2.0], [0.0], [0.0]])
    close(two(lambda x, y: x * lax.rsqrt(y), [6.0], [4.0]), [[3.0], [0.0], [0.0]])
    with pytest.warns(RelevanceStopsWarning, match="'div' at .*test_elementwise_by_hand.py"):
        close(two(lambda x, y: 6.0 / (x + y), [1.0], [2.0]), [[0.0], [0.0], [2.0]])
    close(two(lambda x, y: x * y**-1, [6.0], [3.0]), [[2.0], [0.0], [0.0]])


def test_products_of_many_share_equally():
    close(relevance(jnp.prod)(np.array([2.0, 3.0, 4.0])).sources, 24.0)
    close(shares(jnp.prod, np.array([2.0, 0, 0]), np.array([0, 3.0, 4.0]))[0], [8.0, 16.0])
    got, _ = shares(jnp.cumprod, np.array([2.0, 0, 0]), np.array([0, 3.0, 4.0]))
    close(got, [[2, 3, 8], [0, 3, 16]])


@pytest.mark.parametrize(
    "fun",
    [
        lambda x, y: (x > 1).astype(float) * y,
        lambda x, y: lax.stop_gradient(x) / 2 * y,
        lambda x, y: jnp.where(x > 1, y, -y),
        lambda x, y: (jnp.argmax(x[None]) + 1) * y,
        lambda x, y: x.astype(int) / x.astype(int) * y,
        lambda x, y: jnp.isfinite(x) * y,
    ],
)
def test_what_carries_no_relevance(fun):
    with pytest.warns(RelevanceStopsWarning, match=r"source args\[0\] has no relevance"):
        close(two(fun, 2.0, 5.0), [0.0, 5.0, 0.0])
