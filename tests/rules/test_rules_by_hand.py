"""Rules on operations whose answer is known by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from rfp_jax import RelevanceStopsWarning, relevance
from tests.oracles import slots

pytestmark = pytest.mark.usefixtures("x64")


def shares(fun, *parts):
    """Each part's relevance for `fun` of their sum, and the bias."""
    rel = relevance(lambda *each: fun(sum(each)), tuple(range(len(parts))))(*parts)
    return [np.asarray(source) for source in rel.sources], np.asarray(rel.bias)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def init(module, *args):
    """Random variables, float64, biases and statistics included."""
    variables = jax.eval_shape(module.init, jax.random.key(0), *args)
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(1)
    return tree.unflatten([rng.uniform(0.5, 1.5, leaf.shape) for leaf in leaves])


# --- Functions of one variable: c (f(x) - f(0)) / x, the derivative at 0; f(0) to the bias.


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


# --- Products and quotients


def two(fun, x, y):
    rel = relevance(fun, (0, 1))(np.asarray(x), np.asarray(y))
    return [*map(np.asarray, rel.sources), np.asarray(rel.bias)]


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
    with pytest.warns(RelevanceStopsWarning, match="'div' at .*test_rules_by_hand.py"):
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


# --- The winner takes all


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


# --- Normalizations: the mean is linear, the denominator constant


def norm(c, total, axes, groups=1, epsilon=1e-6):
    """Each contribution loses its own mean; the total's deviation divides it."""
    if groups > 1:
        c, total = (a.reshape(*a.shape[:-1], groups, -1) for a in (c, total))
    mean = total.mean(axes, keepdims=True)
    deviation = np.sqrt(((total - mean) ** 2).mean(axes, keepdims=True) + epsilon)
    return ((c - c.mean(axes, keepdims=True)) / deviation).reshape(*c.shape[:3], -1)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kind", ["layer", "group", "instance"])
def test_norms_take_each_contributions_own_mean(kind, fast):
    a, b = numbers(2, 3, 3, 4), numbers(2, 3, 3, 4, seed=1)
    module, axes, groups = {
        "layer": (nn.LayerNorm(use_fast_variance=fast), (3,), 1),
        "group": (nn.GroupNorm(2, use_fast_variance=fast), (1, 2, 4), 2),
        "instance": (nn.InstanceNorm(use_fast_variance=fast), (1, 2), 1),
    }[kind]
    variables = init(module, a)
    (got_a, got_b), bias = shares(lambda x: module.apply(variables, x), a, b)
    scale, shift = (np.asarray(variables["params"][n]) for n in ("scale", "bias"))
    np.testing.assert_allclose(got_a, norm(a, a + b, axes, groups) * scale, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(got_b, norm(b, a + b, axes, groups) * scale, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(bias, np.broadcast_to(shift, bias.shape), rtol=1e-7, atol=1e-9)


def test_rms_norm():
    a, b = numbers(3, 4), numbers(3, 4, seed=1)
    variables = init(nn.RMSNorm(), a)
    got, bias = shares(lambda x: nn.RMSNorm().apply(variables, x), a, b)
    rms = np.sqrt(((a + b) ** 2).mean(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(got[0], a / rms * variables["params"]["scale"], rtol=1e-7)
    close(bias, 0.0)


def test_batch_norm_on_running_statistics():
    a, b = numbers(2, 3, 3, 4), numbers(2, 3, 3, 4, seed=1)
    module = nn.BatchNorm(use_running_average=True)
    variables = init(module, a)
    p, s = variables["params"], variables["batch_stats"]
    want = slots.batch_norm(
        np.stack([0 * a, a, b]), s["mean"], s["var"], p["scale"], p["bias"], 1e-5
    )
    got, bias = shares(lambda x: module.apply(variables, x), a, b)
    close(got, want[1:])
    close(bias, want[0])


# --- Blocks


def test_squeeze_and_excite():
    a, b = numbers(2, 3, 3, 4), numbers(2, 3, 3, 4, seed=1)
    w1, w2 = numbers(4, 2, seed=2), numbers(2, 4, seed=3)

    def block(x):
        return x * nn.sigmoid(nn.relu(x.mean((1, 2)) @ w1) @ w2 + 0.1)[:, None, None, :]

    squeezed = np.maximum((a + b).mean((1, 2)) @ w1, 0) @ w2 + 0.1
    gate = (1 / (1 + np.exp(-squeezed)))[:, None, None]
    (got_a, got_b), bias = shares(block, a, b)
    close(got_a, a * gate)
    close(got_b, b * gate)
    close(bias, 0.0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def secant_tanh(slots_):
    """Tanh on slots: each by the secant of the total."""
    total = slots_.sum(0)
    return slots_ * np.tanh(total) / total


def affine_slots(p, c):
    out = c @ np.asarray(p["kernel"])
    return slots.to_bias(out, np.asarray(p["bias"])) if "bias" in p else out


def test_lstm():
    """Two steps, a source each: gates are constants (Arras et al. 2017)."""
    xs = numbers(2, 3, 4)
    cell = nn.LSTMCell(5)
    start = (np.zeros((3, 5)), np.zeros((3, 5)))
    variables = init(cell, start, xs[0])
    p = jax.tree.map(lambda leaf: leaf - 1.0, variables["params"])

    def two_steps(x1, x2):
        carry, _ = cell.apply({"params": p}, start, x1)
        _, y = cell.apply({"params": p}, carry, x2)
        return y

    c = h = np.zeros((3, 3, 5))
    for step, x in enumerate(xs):
        x_slots = slots.source(x, step, 2)
        pre = {
            k: affine_slots(p["h" + k], h) + affine_slots(p["i" + k], x_slots)
            for k in ("i", "f", "g", "o")
        }
        i, f, o = (sigmoid(pre[k].sum(0)) for k in ("i", "f", "o"))
        c = f * c + i * secant_tanh(pre["g"])
        h = o * secant_tanh(c)
    rel = relevance(two_steps, (0, 1))(*xs)
    close(rel.output, h.sum(0))
    close(rel.sources, h[1:])
    close(rel.bias, h[0])


def test_gru():
    """Two steps, a source each, and the first state a third one."""
    xs, start = numbers(2, 3, 4), numbers(3, 5, seed=2)
    cell = nn.GRUCell(5)
    p = jax.tree.map(lambda leaf: leaf - 1.0, init(cell, start, xs[0])["params"])

    def two_steps(x1, x2, start):
        carry, _ = cell.apply({"params": p}, start, x1)
        return cell.apply({"params": p}, carry, x2)[1]

    h = slots.source(start, 2, 3)
    for step, x in enumerate(xs):
        x_slots = slots.source(x, step, 3)
        r, z = (
            sigmoid((affine_slots(p["i" + k], x_slots) + affine_slots(p["h" + k], h)).sum(0))
            for k in "rz"
        )
        n = secant_tanh(affine_slots(p["in"], x_slots) + r * affine_slots(p["hn"], h))
        h = (1 - z) * n + z * h
    rel = relevance(two_steps, (0, 1, 2))(*xs, start)
    close(rel.output, h.sum(0))
    close(rel.sources, h[1:])
    close(rel.bias, h[0])


def test_attention_takes_the_value_path():
    a, b = numbers(2, 3, 4), numbers(2, 3, 4, seed=1)
    module = nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=6)
    p = jax.tree.map(lambda leaf: leaf - 1.0, init(module, a)["params"])
    mask = np.tril(np.ones((2, 2, 3, 3)))

    def project(part, x):
        return np.einsum("btd,dhk->bhtk", x, p[part]["kernel"])

    x = a + b
    query, key = (project(k, x) + p[k]["bias"][:, None] for k in ("query", "key"))
    scores = np.einsum("bhqk,bhtk->bhqt", query, key) / math.sqrt(3)
    weights = np.exp(scores - scores.max(-1, keepdims=True)) * mask
    weights /= weights.sum(-1, keepdims=True)

    def through(c):
        return np.einsum("bhqt,bhtk,hkd->bqd", weights, project("value", c), p["out"]["kernel"])

    got, bias = shares(lambda x: module.apply({"params": p}, x, mask=mask > 0), a, b)
    close(got, [through(a), through(b)])
    close(got[0] + got[1] + bias, module.apply({"params": p}, x, mask=mask > 0))


def test_dot_product_attention():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 1, 4, 2, 3))
    rel = relevance(jax.nn.dot_product_attention, (0, 1, 2))(q, k, v)
    close(rel.sources[0], 0.0)
    close(rel.sources[1], 0.0)
    close(rel.sources[2], jax.nn.dot_product_attention(q, k, v))
    close(rel.bias, 0.0)


def test_softmax_of_a_source_passes_by_its_gradient():
    a, b = np.array([1.0, 2.0, 0.5]), np.array([0.5, -3.0, 2.0])
    p = np.exp(a + b) / np.exp(a + b).sum()
    got, bias = shares(jax.nn.softmax, a, b)
    close(got, [p * (c - p @ c) for c in (a, b)])
    close(bias + sum(got), p)


@pytest.mark.parametrize("fun", [jax.nn.log_softmax, lambda x: jnp.log(jax.nn.softmax(x))])
def test_log_softmax_of_a_source_passes_by_its_gradient(fun):
    """As the softmax, it does not change when a number is added to all logits of a source."""
    a, b = np.array([1.0, 2.0, 0.5]), np.array([0.5, -3.0, 2.0])
    p = np.exp(a + b) / np.exp(a + b).sum()
    for offset in (0.0, 10.0):
        got, _ = shares(fun, a + offset, b)
        close(got, [c - p @ c for c in (a, b)])


# --- Linear layers: every contribution as the layer treats it, the constant to the bias

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


# --- NaN and infinity


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_nan_and_not_a_number(bad):
    a, b = np.array([1.0, bad, 2.0]), np.array([1.0, 1.0, -5.0])
    for fun in (lambda x: x, lambda x: 2 * x + 1, lambda x: x * x, lambda x: jnp.exp(jnp.abs(x))):
        (got_a, got_b), bias = shares(fun, a, b)
        for got in (got_a, got_b, bias):
            np.testing.assert_array_equal(np.isnan(got), [False, True, False])
    got, bias = shares(lambda x: jnp.stack([x.sum(), x[0]]), a, b)
    np.testing.assert_array_equal(np.isnan([*got, bias]), [[True, False]] * 3)


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
