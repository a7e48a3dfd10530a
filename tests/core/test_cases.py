"""Reports of people who use such methods, each with its right value, and relatives of each."""
# ruff: noqa: E501, PLC3002, PLW0108  (tables: one case a line)

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import relu, sigmoid, softmax
from jax.scipy.stats import norm as normal
from oracles import calls

import rfp_jax
from rfp_jax import audit, heatmap, relevance, rules, sources

pytestmark = pytest.mark.usefixtures("x64")


def explain(fun, *args, **options):
    """Relevance forwards; the heatmaps of some weighting of the outputs must add up to it."""
    argnums = tuple(range(len(args)))
    rel = relevance(fun, argnums, **options)(*args)
    weights = jnp.cos(1.0 + jnp.arange(rel.output.size)).reshape(rel.output.shape)
    heats = heatmap(fun, argnums, outputs=weights, **options)(*args)
    for row, heat in zip(rel.sources, heats, strict=True):
        np.testing.assert_allclose((weights * row).sum(), heat.sum(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(rel.bias + sum(rel.sources), rel.output, rtol=1e-10, atol=1e-10)
    return rel


def shares(fun, *args, **options):
    """The relevance of each source and the bias, as numbers."""
    rel = explain(fun, *args, **options)
    return [np.asarray(part) for part in (*rel.sources, rel.bias)]


def agree(got, want, atol=1e-10):
    """Compare each part of a decomposition."""
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=atol)


def draw(*shape, seed=0):
    """Random numbers."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


# --- the direction never changes the answer


def check_chosen(fun, *args, split=None):
    """The chosen outputs have the relevance that all outputs have there."""
    argnums = tuple(range(len(args)))
    every = relevance(fun, argnums, split=split)(*args)
    chosen = relevance(fun, argnums, split=split, outputs="argmax")(*args)
    place = jnp.argmax(every.output, -1)[..., None]

    def pick(row):
        index = jnp.broadcast_to(place, (*row.shape[:-1], 1))
        return jnp.take_along_axis(row, index, -1)[..., 0]

    agree(jax.tree.leaves(chosen), [pick(row) for row in jax.tree.leaves(every)])


def test_outputs_along_time_depend_on_one_another():
    a, b = jnp.array([[[1.0], [2.0]]]), jnp.array([[[10.0], [20.0]]])

    def delayed(a, b):
        return jnp.roll(a, 1, axis=1) + b

    for outputs in ("all", "argmax"):
        rel = relevance(delayed, (0, 1), outputs=outputs)(a, b)
        agree([rel.sources[0].ravel(), rel.sources[1].ravel()], [[2.0, 1.0], [10.0, 20.0]])
        np.testing.assert_array_equal(rel.bias, np.zeros_like(rel.bias))


def test_contrastive_logits():
    u, v = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([[0.0, 1.0], [3.0, 0.0]])
    rel = relevance(lambda u, v: u @ v.T, (0, 1), outputs="argmax")(u, v)
    agree([*rel.sources, rel.bias], [[1.5, 1.0], [1.5, 1.0], [0.0, 0.0]])


def _conv(x, w):
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _labelled(x, y):
    """A recurrent labelling [batch, time, K]."""
    w, v, k = draw(3, 4, seed=1), draw(4, 4, seed=2), draw(4, 5, seed=3)

    def step(h, now):
        h = jnp.tanh(now @ w + h @ v + 0.1)
        return h, h @ k

    joined = jnp.swapaxes(x + y, 0, 1)
    return jnp.swapaxes(lax.scan(step, jnp.zeros((2, 4)), joined)[1], 0, 1)


def _batch_norm(x, y):
    mean, var = x.mean(0, keepdims=True), x.var(0, keepdims=True)
    return ((x - mean) / jnp.sqrt(var + 1e-5) + y) @ draw(3, 4, seed=4) + 0.3


MIXING = {
    "segmentation": (
        lambda x, y: _conv(
            relu(_conv(x + 2 * y, draw(3, 3, 3, 4, seed=1)) + 0.1), draw(3, 3, 4, 5)
        ),
        (2, 4, 5, 3),
    ),
    "pixels alone": (
        lambda x, y: relu(x @ draw(3, 4, seed=1) + y @ draw(3, 4, seed=2)) @ draw(4, 5),
        (2, 4, 5, 3),
    ),
    "recurrent labelling": (_labelled, (2, 6, 3)),
    "batch norm in training": (_batch_norm, (4, 3)),
    "contrastive": (lambda x, y: jnp.tanh(x) @ jnp.tanh(y).T, (4, 3)),
    "attention over samples": (lambda x, y: softmax(x @ x.T) @ y, (4, 3)),
    "running sum": (lambda x, y: jnp.cumsum(x, 1) + y, (2, 6, 3)),
    "sorted": (lambda x, y: jnp.sort(x, 0) + y, (4, 3)),
    "flipped": (lambda x, y: x[::-1] * 2 + y, (4, 3)),
    "reshaped": (lambda x, y: x.T.reshape(3, 3) @ draw(3, 3) + y, (3, 3)),
    "transposed": (lambda x, y: x.T + 2 * y, (3, 3)),
}


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("splits", [False, True])
def test_chosen_outputs_are_those_of_all(name, splits):
    fun, shape = MIXING[name]
    split = (sources.axis(-1), None) if splits else None
    check_chosen(fun, draw(*shape, seed=7), draw(*shape, seed=8), split=split)


def test_reverse_where_samples_do_not_interact():
    fun, shape = MIXING["pixels alone"]
    x, y = draw(*shape, seed=7), draw(*shape, seed=8)
    one = relevance(fun, (0, 1), outputs="argmax", direction="forward")(x, y)
    other = relevance(fun, (0, 1), outputs="argmax", direction="reverse")(x, y)
    agree(jax.tree.leaves(one), jax.tree.leaves(other))


# --- the writing never changes the answer: functions of one variable

X = 1.504
PIECES = {
    "log1p": (jnp.log1p, np.log1p(X), 0.0),
    "log(1 + x)": (lambda x: jnp.log(1 + x), np.log1p(X), 0.0),
    "log(x + 2)": (lambda x: jnp.log(x + 2), np.log((X + 2) / 2), np.log(2)),
    "log10 of decibels": (lambda x: 10 * jnp.log10(1 + 3 * x), 10 * np.log10(1 + 3 * X), 0.0),
    "sigmoid": (sigmoid, 1 / (1 + np.exp(-X)) - 0.5, 0.5),
    "1 / (1 + exp(-x))": (lambda x: 1 / (1 + jnp.exp(-x)), 1 / (1 + np.exp(-X)) - 0.5, 0.5),
    "(1 + exp(-x))**-1": (lambda x: (1 + jnp.exp(-x)) ** -1, 1 / (1 + np.exp(-X)) - 0.5, 0.5),
    "1 / (1 + x)": (lambda x: 1 / (1 + x), 1 / (1 + X) - 1, 1.0),
    "rsqrt(1 + x)": (lambda x: lax.rsqrt(1 + x), (1 + X) ** -0.5 - 1, 1.0),
    "(1 + x)**-.5": (lambda x: (1 + x) ** -0.5, (1 + X) ** -0.5 - 1, 1.0),
    "softplus": (jax.nn.softplus, np.log1p(np.exp(X)) - np.log(2), np.log(2)),
    "log(1 + exp)": (
        lambda x: jnp.log(1 + jnp.exp(x)),
        np.log1p(np.exp(X)) - np.log(2),
        np.log(2),
    ),
    "sqrt(1 + x)": (lambda x: jnp.sqrt(1 + x), None, None),
    "exp(-x**2)": (lambda x: jnp.exp(-(x**2)), np.exp(-(X**2)) - 1, 1.0),
    "1 / (1 + x**2)": (lambda x: 1 / (1 + x * x), 1 / (1 + X * X) - 1, 1.0),
    "log of a jitted sum": (lambda x: jnp.log(jax.jit(lambda x: 1 + x)(x)), np.log1p(X), 0.0),
}


@pytest.mark.parametrize("name", PIECES)
def test_a_function_of_one_variable(name):
    fun, share, bias = PIECES[name]
    if share is None:  # the line starts at the variable 1 + x, where the root is 0
        share, bias = np.sqrt(1 + X) / (1 + X) * X, np.sqrt(1 + X) / (1 + X)
    agree(shares(fun, X), [share, bias])


@pytest.mark.parametrize(
    "fun",
    [
        lambda a, b: jnp.log(1 + (a + b)),
        lambda a, b: jnp.log((a + b) + 1),
        lambda a, b: jnp.log((1 + a) + b),
        lambda a, b: jnp.log(a + (1 + b)),
        lambda a, b: jnp.log1p(a + b),
        lambda a, b: jnp.log(jnp.stack([jnp.ones(()), a, b]).sum()),
    ],
)
def test_a_logarithm_of_several_sources_however_bracketed(fun):
    agree(shares(fun, 2.0, 1.0), [np.log(4) * 2 / 3, np.log(4) / 3, 0.0])


@pytest.mark.parametrize(
    "fun",
    [
        lambda a, b: 1 / (1 + (a + b)),
        lambda a, b: 1 / ((1 + a) + b),
        lambda a, b: (a + (1 + b)) ** -1.0,
    ],
)
def test_a_reciprocal_of_several_sources_however_bracketed(fun):
    agree(shares(fun, 2.0, 1.0), [-0.75 * 2 / 3, -0.25, 1.0])


def test_what_is_0_by_0_at_0_takes_its_limit():
    y = np.sinc(0.5)
    agree(shares(jnp.sinc, 0.5), [y - 1, 1.0])
    agree(shares(jnp.sinc, 0.0), [0.0, 1.0])
    agree(shares(lambda x: jnp.sin(x) / x, 2.0), [np.sin(2.0) / 2 - 1, 1.0], atol=1e-7)
    agree(shares(lambda x: jnp.expm1(x) / x, 2.0), [np.expm1(2.0) / 2 - 1, 1.0], atol=1e-7)


def test_a_root_at_0_is_finite():
    agree(shares(lambda x: jnp.sqrt(x), 0.0), [0.0, 0.0])
    assert np.isfinite(shares(lambda x: jnp.linalg.norm(x), jnp.zeros(3))).all()


# --- gates

GATED = (0.5, 2.0)
S = float(sigmoid(0.5))


@pytest.mark.parametrize(
    "clip",
    [
        relu,
        jax.nn.relu6,
        lambda x: jnp.clip(x, -1, 1),
        lambda x: jnp.clip(x, -2, 2),
        lambda x: jnp.minimum(x, 3),
        jnp.tanh,
        jax.nn.hard_tanh,
        jax.nn.silu,
        lambda x: x,
    ],
)
def test_a_clipped_signal_stays_a_signal(clip):
    y = float(clip(0.5)) * 2
    agree(shares(lambda x, y: clip(x) * y, *GATED), [y / 2, y / 2, 0.0])


GATES = {
    "sigmoid": sigmoid,
    "logistic": lax.logistic,
    "hard sigmoid": jax.nn.hard_sigmoid,
    "relu6(x + 3) / 6": lambda g: jax.nn.relu6(g + 3) / 6,
    "clip(x / 6 + .5)": lambda g: jnp.clip(g / 6 + 0.5, 0, 1),
    "half of 1 + tanh": lambda g: 0.5 * (1 + jnp.tanh(g / 2)),
    "(1 + tanh) / 2": lambda g: (jnp.tanh(g / 2) + 1) / 2,
    "tanh / 2 + .5": lambda g: jnp.tanh(g / 2) / 2 + 0.5,
    "normal cdf": normal.cdf,
    "(1 + erf) / 2": lambda g: (1 + lax.erf(g)) / 2,
    "erfc / 2": lambda g: lax.erfc(g) / 2,
    "2**-d": lambda d: 2.0 ** (-d),
    "exp(-d)": lambda d: jnp.exp(-jnp.abs(d)),
    "exp2": lambda d: jnp.exp2(-d),
    "1 / (1 + exp)": lambda g: 1 / (1 + jnp.exp(-g)),
    "1 - sigmoid": lambda g: 1 - sigmoid(g),
    "squared": lambda g: sigmoid(g) ** 2,
    "of two": lambda g: sigmoid(g) * sigmoid(2 * g),
    "sin": lambda g: 0.5 + 0.5 * jnp.sin(g),
    "exp(-softplus)": lambda g: jnp.exp(-jax.nn.softplus(g)),
    "smoothstep": lambda g: (lambda t: t * t * (3 - 2 * t))(jnp.clip(g, 0, 1)),
    "cond": lambda g: lax.cond(True, sigmoid, jnp.tanh, g),
    "traced cond": lambda g: lax.cond(g < 100, sigmoid, jax.nn.hard_sigmoid, g),
    "switch": lambda g: lax.switch((g > 0).astype(int), [jax.nn.hard_sigmoid, sigmoid], g),
    "jit": jax.jit(sigmoid),
    "scan of one": lambda g: lax.scan(lambda c, x: (c, sigmoid(x)), 0.0, g[None])[1][0],
    "scan": lambda g: lax.scan(lambda c, x: (c, sigmoid(x)), 0.0, jnp.stack([g, g]))[1][1],
    "carried": lambda g: lax.scan(
        lambda c, _: (sigmoid(c + g), None), sigmoid(g), None, length=3
    )[0],
    "carried from 0": lambda g: lax.scan(lambda c, _: (sigmoid(g), None), 0.0, None, length=3)[0],
    "checkpoint": jax.checkpoint(sigmoid),
    "vmap": lambda g: jax.vmap(sigmoid)(g[None])[0],
    "where": lambda g: jnp.where(g > 0, sigmoid(g), 0.0),
    "stacked": lambda g: jnp.stack([sigmoid(g), sigmoid(-g)])[0],
}  # fmt: skip


@pytest.mark.parametrize("name", GATES)
def test_a_gate_is_a_weight_however_it_is_written(name):
    gate = GATES[name]
    x, y = (jnp.asarray(v) for v in GATED)
    agree(shares(lambda x, y: gate(x) * y, x, y), [0.0, float(gate(x)) * 2, 0.0])


def test_a_gate_in_a_while_loop():
    def looped(x, y):
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, sigmoid(x + s[1])), (0, sigmoid(x)))[1] * y  # fmt: skip

    rel = relevance(looped, (0, 1))(*GATED)
    agree([*rel.sources, rel.bias], [0.0, rel.output, 0.0])


@pytest.mark.parametrize(
    "swish",
    [
        lambda x: x * jax.nn.relu6(x + 3) / 6,
        lambda x: x * (jax.nn.relu6(x + 3) / 6),
        jax.nn.hard_swish,
        lambda x: x * jnp.clip(x / 6 + 0.5, 0, 1),
        jax.nn.silu,
        lambda x: x * sigmoid(x),
        lambda x: x * lax.cond(True, sigmoid, jnp.tanh, x),
        jax.nn.gelu,
        lambda x: jax.nn.gelu(x, approximate=False),
        lambda x: x * normal.cdf(x),
        jax.nn.mish,
    ],
)
def test_a_signal_times_its_own_gate_is_one_function(swish):
    agree(shares(swish, 0.5), [float(swish(0.5)), 0.0])


# --- products


@pytest.mark.parametrize(
    "fun",
    [
        lambda a, b, c: (a * b) * c,
        lambda a, b, c: a * (b * c),
        lambda a, b, c: jnp.einsum("i,i,i->", *(v[None] for v in (a, b, c))),
        lambda a, b, c: jnp.stack([a, b, c]).prod(),
        lambda a, b, c: lax.cumprod(jnp.stack([a, b, c]))[-1],
        lambda a, b, c: jax.jit(lambda a, b: a * b)(a, b) * c,
        lambda a, b, c: lax.cond(True, jnp.multiply, jnp.add, a, b) * c,
        lambda a, b, c: (2 * a) * (b / 2) * c,
        lambda a, b, c: -(a * (-b * c)),
        lambda a, b, c: (a[None] @ b[None]) * c,
        lambda a, b, c: jnp.outer(a[None], b[None])[0, 0] * c,
    ],
)
def test_a_product_of_three_signals_is_symmetric(fun):
    a, b, c = (jnp.asarray(v) for v in (2.0, 3.0, 5.0))
    agree(shares(fun, a, b, c), [10.0, 10.0, 10.0, 0.0])


@pytest.mark.parametrize("axes", ["i,i,i->", "i,i,i->i", "ij,ij,ij->i", "ij,jk,ki->"])
def test_an_einsum_of_three_operands_is_symmetric(axes):
    square = [jnp.full((2,) * len(part), z) for part, z in zip(axes.split("->")[0].split(","), (2.0, 3.0, 5.0), strict=True)]  # fmt: skip
    *rows, bias = shares(lambda *x: jnp.einsum(axes, *x), *square)
    total = np.einsum(axes, *square) / 3
    agree([*rows, bias], [total, total, total, 0 * total])


@pytest.mark.parametrize(
    "fun",
    [
        lambda x, g: x * (1 + g),
        lambda x, g: x + x * g,
        lambda x, g: (g + 1) * x,
        lambda x, g: x * g + x,
        lambda x, g: x - x * (-g),
        lambda x, g: x * jnp.stack([jnp.ones(()), g]).sum(),
        lambda x, g: jnp.stack([x, x * g]).sum(),
    ],
)
@pytest.mark.parametrize("g", [0.0, 0.5])
def test_a_constant_times_a_contribution_belongs_to_it(fun, g):
    agree(shares(fun, jnp.asarray(2.0), jnp.asarray(g)), [2 + g, g, 0.0])


def test_modulation_of_features_by_a_condition():
    """FiLM, DiT: `norm(x) * (1 + scale(c)) + shift(c)`."""
    x, c = draw(4, 6, seed=1), draw(4, 3, seed=2)
    scale, shift = draw(3, 6, seed=3), draw(3, 6, seed=4)

    def film(x, c):
        return x * (1 + c @ scale) + c @ shift

    want = [x + x * (c @ scale) / 2, x * (c @ scale) / 2 + c @ shift, 0 * x]
    agree(shares(film, x, c), want)
    written = shares(lambda x, c: x + x * (c @ scale) + c @ shift, x, c)
    agree(written, want)


EXPERTS = {
    "relu": lambda g: relu(g) / relu(g).sum(),
    "relu, guarded": lambda g: relu(g) / (relu(g).sum() + 1e-9),
    "relu, bounded": lambda g: relu(g) / jnp.maximum(relu(g).sum(), 1e-9),
    "sigmoid": lambda g: sigmoid(g) / sigmoid(g).sum(),
    "softmax": softmax,
    "exp": lambda g: jnp.exp(g) / jnp.exp(g).sum(),
    "square": lambda g: g**2 / (g**2).sum(),
    "abs": lambda g: jnp.abs(g) / jnp.abs(g).sum(),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_weighted_by_what_sums_to_1(name):
    weigh = EXPERTS[name]
    g, e = jnp.array([1.0, 2.0, -1.0]), jnp.array([3.0, 4.0, 5.0])
    want = weigh(g) @ e
    agree(shares(lambda g, e: weigh(g) @ e, g, e), [0.0, want, 0.0])
    agree(shares(lambda g, e: (weigh(g) * e).sum(), g, e), [0.0, want, 0.0])


# --- weights that are resized, averaged, scaled

IMAGE, SMALL = np.arange(1.0, 5), np.array([0.3, -0.4])
FIXED = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]])
RESIZED = {
    "repeat": lambda g: jnp.repeat(sigmoid(g), 2),
    "matrix": lambda g: sigmoid(g) @ FIXED,
    "device matrix": lambda g: sigmoid(g) @ jnp.asarray(FIXED),
    "einsum": lambda g: jnp.einsum("i,ij->j", sigmoid(g), FIXED),
    "bilinear": lambda g: jax.image.resize(sigmoid(g), (4,), "linear"),
    "nearest": lambda g: jax.image.resize(sigmoid(g), (4,), "nearest"),
    "indexed": lambda g: sigmoid(g)[jnp.array([0, 0, 1, 1])],
    "tile": lambda g: jnp.tile(sigmoid(g), 2),
    "pooled": lambda g: lax.reduce_window(jnp.repeat(sigmoid(g), 4), 0.0, lax.add, (2,), (2,), "VALID") / 2,
    "mean": lambda g: jnp.broadcast_to(sigmoid(g).mean(), (4,)),
    "blurred": lambda g: lax.conv_general_dilated(jnp.repeat(sigmoid(g), 2)[None, :, None], np.full((3, 1, 1), 1 / 3), (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))[0, :, 0],
    "max pooled": lambda g: lax.reduce_window(jnp.repeat(sigmoid(g), 4), -jnp.inf, lax.max, (2,), (2,), "VALID"),
    "padded": lambda g: jnp.pad(sigmoid(g), 1),
    "updated": lambda g: jnp.zeros(4).at[:2].set(sigmoid(g)),
    "sorted": lambda g: jnp.repeat(jnp.sort(sigmoid(g)), 2),
    "halved": lambda g: jnp.repeat(sigmoid(g), 2) / 2,
    "doubled": lambda g: jnp.repeat(2 * sigmoid(g), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", RESIZED)
@pytest.mark.parametrize("jits", [False, True])
def test_a_resized_gate_stays_a_gate(name, jits):
    resize = RESIZED[name]

    def gated(image, gate):
        return (resize(gate) * image).sum()

    want = [float(gated(IMAGE, SMALL)), 0.0, 0.0]
    if jits:
        rel = jax.jit(relevance(gated, (0, 1)))(IMAGE, SMALL)
        agree([*rel.sources, rel.bias], want)
    else:
        agree(shares(gated, IMAGE, SMALL), want)


@pytest.mark.parametrize(
    "average",
    [
        lambda a: a.mean(0),
        lambda a: jnp.einsum("hqk,h->qk", a, np.full(3, 1 / 3)),
        lambda a: jnp.einsum("hqk,hg->gqk", a, np.full((3, 1), 1 / 3))[0],
        lambda a: a.sum(0) / 3,
        lambda a: 0.2 * a[0] + 0.3 * a[1] + 0.5 * a[2],
        lambda a: a.max(0),
    ],
)
def test_averaged_heads_of_attention_are_weights(average):
    scores, values = draw(3, 4, 5, seed=1), draw(5, 2, seed=2)
    attended = average(softmax(scores)) @ values
    got = shares(lambda s, v: average(softmax(s)) @ v, scores, values)
    agree(got, [0 * attended, attended, 0 * attended])


def test_channel_attention_on_an_image():
    """Squeeze and excitation: the gate is spread over the image."""
    image, w = draw(2, 4, 4, 3, seed=1), draw(3, 3, seed=2)

    def excited(x, y):
        gate = sigmoid(y.mean((1, 2)) @ w + 0.3)
        return (x * gate[:, None, None]).mean((1, 2))

    y = draw(2, 4, 4, 3, seed=3)
    want = excited(image, y)
    agree(shares(excited, image, y), [want, 0 * want, 0 * want])


# --- scales


def _revin(x, w=(0.5, -1.0, 2.0, 0.3), root=jnp.sqrt):
    mean = x.mean()
    scale = root(((x - mean) ** 2).mean() + 1e-5)
    return ((x - mean) / scale) @ jnp.array(w) * scale + mean


@pytest.mark.parametrize(
    "fun",
    [
        _revin,
        lambda x: _revin(x, root=lambda v: v**0.5),
        lambda x: _revin(x, root=lambda v: 1 / lax.rsqrt(v)),
        lambda x: (lambda m, s: ((x - m) / s) @ jnp.array([0.5, -1, 2, 0.3]) * s + m)(x.mean(), x.std()),
        lambda x: (lambda m, s: ((x - m) * (1 / s)) @ jnp.array([0.5, -1, 2, 0.3]) * s + m)(x.mean(), jnp.sqrt(x.var() + 1e-5)),
    ],
)  # fmt: skip
def test_a_scale_is_a_weight_where_it_divides_and_where_it_multiplies(fun):
    heat = heatmap(fun)(jnp.array([1.0, 2, 4, 3]))
    np.testing.assert_allclose(heat, [0.3, -2.4, 7.2, 0.3], atol=1e-9)


# --- softmax

ATTENTION = {
    "softmax": lambda s, v: softmax(s) @ v,
    "exp of log_softmax": lambda s, v: jnp.exp(jax.nn.log_softmax(s)) @ v,
    "quotient": lambda s, v: (jnp.exp(s) / jnp.exp(s).sum(-1, keepdims=True)) @ v,
    "quotient after": lambda s, v: (jnp.exp(s) @ v) / jnp.exp(s).sum(-1, keepdims=True),
    "stable": lambda s, v: (lambda e: (e @ v) / e.sum(-1, keepdims=True))(
        jnp.exp(s - lax.stop_gradient(s.max(-1, keepdims=True)))
    ),
    "max inside": lambda s, v: (lambda e: (e @ v) / e.sum(-1, keepdims=True))(
        jnp.exp(s - s.max(-1, keepdims=True))
    ),
    "einsum": lambda s, v: jnp.einsum("qk,kd->qd", softmax(s), v),
    "transposed": lambda s, v: (v.T @ softmax(s).T).T,
    "logsumexp": lambda s, v: jnp.exp(s - jax.nn.logsumexp(s, -1, keepdims=True)) @ v,
    "reciprocal": lambda s, v: (lambda e: e * (1 / e.sum(-1, keepdims=True)))(jnp.exp(s)) @ v,
    "sum of products": lambda s, v: (softmax(s)[:, :, None] * v[None]).sum(1),
    "jit": lambda s, v: jax.jit(softmax)(s) @ v,
    "cond": lambda s, v: lax.cond(True, softmax, jnp.tanh, s) @ v,
    "masked": lambda s, v: softmax(jnp.where(np.ones((3, 4), bool), s, -jnp.inf)) @ v,
    "shifted": lambda s, v: softmax(s + 10.0) @ v,
}


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("preset", ["lrp0", "cp_lrp", "attnlrp"])
def test_attention_has_one_answer_however_it_is_written(name, preset):
    scores, values = draw(3, 4, seed=1), draw(4, 2, seed=2)
    p = np.asarray(softmax(scores))
    y = p @ values
    if preset == "attnlrp":
        by_scores = (p * (scores - (p * scores).sum(1, keepdims=True))) @ values / 2
        want = [by_scores, y / 2, y / 2 - by_scores]
    else:
        want = [0 * y, y, 0 * y]
    agree(shares(ATTENTION[name], scores, values, rules=preset), want)


LOGITS = np.array([1.0, 0, 2, 0.5]), np.array([0.0, 3, 1, -1])


@pytest.mark.parametrize("offset", [0.0, 10.0, -3.0])
@pytest.mark.parametrize(
    "write",
    [
        softmax,
        lambda u: jnp.exp(jax.nn.log_softmax(u)),
        lambda u: jnp.exp(u) / jnp.exp(u).sum(),
        lambda u: jnp.exp(u - jax.nn.logsumexp(u)),
        lambda u: jax.nn.softmax(u[None])[0],
        lambda u: (lambda e: e / e.sum())(jnp.exp(u - u.max())),
    ],
)
def test_probabilities_do_not_change_with_a_shift_of_the_logits(offset, write):
    la, lb = LOGITS
    place = jnp.arange(4.0)
    p = np.asarray(softmax(la + lb))
    want = [(p * (c - p @ c)) @ place for c in (np.asarray(la), np.asarray(lb))]
    y = p @ place
    agree(want, [0.4508, -0.3492], atol=1e-4)
    got = shares(
        lambda a, b: write(a * (la + offset) + b * lb) @ place, np.float64(1), np.float64(1)
    )
    agree(got, [*want, y - sum(want)])


def test_a_source_that_lowers_a_probability_has_negative_relevance():
    for_b = jnp.array([0.0, 3.0])
    a, b, bias = shares(lambda a, b: softmax(a * jnp.zeros(2) + b * for_b)[0], 1.0, 1.0)
    assert a == 0
    assert b < 0
    assert np.isclose(a + b + bias, softmax(for_b)[0])


def test_late_fusion_of_probabilities():
    """A mean of two classifiers' probabilities: each classifier's own explanation, halved."""
    la, lb = draw(3, 4, seed=1), draw(3, 4, seed=2)

    def fused(a, b):
        return (softmax(a) + softmax(b)) / 2

    alone = [explain(softmax, x) for x in (la, lb)]
    got = shares(fused, la, lb)
    want = [rel.sources[0] / 2 for rel in alone]
    agree(got, [*want, sum(rel.bias for rel in alone) / 2])


def test_log_probabilities_do_not_change_with_a_shift_of_the_logits():
    u = draw(3, 4, seed=3)
    p = softmax(u)
    want = u - (p * u).sum(1, keepdims=True)
    for write in (
        jax.nn.log_softmax,
        lambda u: jnp.log(softmax(u)),
        lambda u: u - jax.nn.logsumexp(u, 1, keepdims=True),
        lambda u: u - jnp.log(jnp.exp(u).sum(1, keepdims=True)),
    ):
        agree(shares(write, u), [want, jax.nn.log_softmax(u) - want])


def test_a_masked_token_has_no_relevance_under_uniform():
    scores, values = draw(4, seed=1), draw(4, seed=2)
    mask = jnp.array([1.0, 1, 0, 1])
    added = relevance(lambda s, v: softmax(s + (1 - mask) * -1e4) @ v, (0, 1), rules="uniform", split=(sources.axis(0),) * 2)(scores, values)  # fmt: skip
    chosen = relevance(lambda s, v: softmax(jnp.where(mask > 0, s, -1e4)) @ v, (0, 1), rules="uniform", split=(sources.axis(0),) * 2)(scores, values)  # fmt: skip
    agree(jax.tree.leaves(added), jax.tree.leaves(chosen))
    assert added.sources[0][2] == 0
    assert added.sources[1][2] == 0


# --- numbers that are none, complex numbers, literals

GAPS = np.array([[1.0, np.nan], [np.nan, 2.0]])


@pytest.mark.parametrize(
    ("fill", "want"),
    [
        (jnp.nan_to_num, [[1.0, 0], [0, 2]]),
        (lambda x: jnp.where(jnp.isnan(x), 0, x), [[1.0, 0], [0, 2]]),
        (lambda x: jnp.where(jnp.isnan(x), 0.0, 3 * x), [[3.0, 0], [0, 6]]),
        (lambda x: jnp.where(jnp.isfinite(x), jnp.tanh(x), 0), [[np.tanh(1.0), 0], [0, np.tanh(2.0)]]),
        (lambda x: jnp.nan_to_num(x, nan=-1.0), [[1.0, 0], [0, 2]]),
        (lambda x: jnp.nan_to_num(x) @ np.array([[1.0, 1], [1, -1]]), [[1.0, 1], [2, -2]]),
        (lambda x: jnp.nanmean(x, 1, keepdims=True) * np.ones((1, 2)), [[1.0, 1], [2, 2]]),
        (lambda x: jnp.nansum(x, 1, keepdims=True) * np.ones((1, 2)), [[1.0, 1], [2, 2]]),
    ],
)  # fmt: skip
def test_what_the_model_fills_contributes_nothing(fill, want):
    y = jnp.ones((2, 2))
    rel = explain(lambda x, y: fill(x) + y, GAPS, y)
    agree(rel.sources, [want, y])
    heats = heatmap(lambda x, y: fill(x) + y, (0, 1), outputs=jnp.ones((2, 2)))(GAPS, y)
    assert np.isfinite(heats).all()
    np.testing.assert_array_equal(heats[0][np.isnan(GAPS)], [0.0, 0.0])


def test_gaps_filled_from_the_other_source():
    y = jnp.full((2, 2), 5.0)
    rel = explain(lambda x, y: jnp.where(jnp.isnan(x), y, x) * 2, GAPS, y)
    agree([*rel.sources, rel.bias], [[[2.0, 0], [0, 4]], [[0, 10.0], [10, 0]], np.zeros((2, 2))])


def test_a_complex_source_of_a_real_output():
    z, w = jnp.array([1 + 2j, 3 - 1j]), jnp.array([0.5j, 1.0])

    def real(z, w):
        return jnp.real(z * (1 + 2j)) + jnp.real(w)

    for direction in ("auto", "forward", "reverse"):
        rel = relevance(real, (0, 1), outputs="argmax", direction=direction)(z, w)
        agree([*rel.sources, rel.bias], [5.0, 1.0, 0.0])
        assert not any(map(jnp.iscomplexobj, (*rel.sources, rel.bias)))


def test_literals_in_loops_and_branches():
    x = jnp.array([1.0, 2.0])
    cases = [
        (lambda x: lax.scan(lambda h, v: (0.9 * h + v, None), 0.0, x)[0], x, 2.9),
        (lambda x: lax.scan(lambda h, v: (0.9 * h + v, h), 1.0, x)[1][1], x, 1.0),
        (lambda x: lax.scan(lambda h, v: (0.0, h + v), 0.0, x)[1].sum(), x, 3.0),
        (lambda x: lax.cond(x > 100.0, lambda x: x, lambda x: 0.0, x), 2.0, 0.0),
        (lambda x: lax.cond(x > 1.0, lambda x: x, lambda x: 0.0, x), 2.0, 2.0),
        (lambda x: lax.cond(x > 1.0, lambda x: 3.0, lambda x: x, x), 2.0, 0.0),
        (lambda x: lax.switch(1, [lambda x: 0.0, lambda x: x, lambda x: 7.0], x), 2.0, 2.0),
        (lambda x: lax.fori_loop(0, 3, lambda i, h: h + x, 0.0), 2.0, 6.0),
        (lambda x: lax.fori_loop(0, 3, lambda i, h: h + i * x, 0.0), 2.0, 6.0),
    ]
    for fun, at, want in cases:
        rel = explain(fun, at)
        np.testing.assert_allclose(rel.sources[0], want, atol=1e-12)


def test_literals_in_a_while_loop():
    def fun(x):
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] + x), (0, 0.0))[1]

    assert float(relevance(fun)(2.0).sources) == 6.0
    zeroed = relevance(lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, 0.0), (0, x))[1])  # fmt: skip
    assert float(zeroed(2.0).sources) == 0.0


# --- what may be asked for


@pytest.mark.parametrize(
    "index", [np.int64(1), np.int32(1), np.array(1), jnp.array(1), 1, np.uint8(1)]
)
def test_an_output_by_any_integer(index):
    x = jnp.array([[1.0, 2, 3], [4, 5, 6]])
    rel = relevance(lambda x, y: x + y, (0, 1), outputs=index)(x, 2 * x)
    agree([rel.output, *rel.sources], [[6.0, 15], [2.0, 5], [4.0, 10]])


def test_labels_with_an_ignored_value():
    x = jnp.array([[1.0, 2, 3], [4, 5, 6]])
    for labels in (jnp.array([1, 255]), np.array([1, 255], np.uint8), np.array([1, 255])):
        for direction in ("forward", "reverse"):
            rel = relevance(lambda x, y: x + y, (0, 1), outputs=labels, ignore_index=255, direction=direction)(x, 2 * x)  # fmt: skip
            agree([rel.output, *rel.sources], [[6.0, 0], [2.0, 0], [4.0, 0]])
    negative = relevance(lambda x: 1 * x, outputs=np.array([-1, 2]), ignore_index=-1)(x)
    agree([negative.sources], [[0.0, 6.0]])
    with pytest.raises(ValueError, match="255"):
        relevance(lambda x: 1 * x, outputs=np.array([1, 255]))(x)
    heat = heatmap(lambda x: 2 * x, outputs=np.array([1, 255]), ignore_index=255)(x)
    np.testing.assert_array_equal(heat, [[0.0, 4, 0], [0, 0, 0]])


def test_labels_of_pixels_with_an_ignored_value():
    x = draw(2, 3, 4, 5)
    labels = np.array([[[0, 1, 255, 4]] * 3] * 2)
    rel = relevance(lambda x, y: x @ draw(5, 5, seed=1) + y, (0, 1), outputs=labels, ignore_index=255)(x, x)  # fmt: skip
    assert rel.output.shape == (2, 3, 4)
    np.testing.assert_array_equal(rel.sources[0][..., 2], np.zeros((2, 3)))
    np.testing.assert_allclose(rel.sources[1][..., 1], x[..., 1, 1])


def test_weights_and_masks():
    x = jnp.array([[1.0, 2, 3], [4, 5, 6]])
    weights = [
        (jnp.array([0.5, 0.5, 0]), [1.5, 4.5]),
        (np.array([True, False, True]), [4.0, 10.0]),
        (jnp.array([[1.0, 0, 0], [0, 0, 1]]), [1.0, 6.0]),
        (np.array([[True, True, False], [False, False, False]]), [3.0, 0.0]),
    ]
    for chosen, want in weights:
        for direction in ("forward", "reverse"):
            rel = relevance(lambda x: 1 * x, outputs=chosen, direction=direction)(x)
            agree([rel.output, rel.sources], [want, want])


@pytest.mark.parametrize("outputs", [1.5, "top", np.array([0, 1, 2]), np.array([True]), None])
def test_what_does_not_fit_is_refused(outputs):
    with pytest.raises((TypeError, ValueError), match="outputs="):
        relevance(lambda x: 1 * x, outputs=outputs)(jnp.ones((2, 3)))


# --- optional sources


def test_an_optional_source_keeps_its_place():
    def fused(x, y):
        return x if y is None else x + y

    rel = relevance(fused, (0, 1))(1.0, None)
    assert rel.sources[1] is None
    assert float(rel.sources[0]) == 1.0
    x = jnp.arange(6.0).reshape(2, 3)
    rel = relevance(fused, (0, 1), split=(sources.axis(1), sources.axis(1)))(x, None)
    assert rel.sources[0].shape == (3, 2, 3)
    assert rel.sources[1] is None
    rel = relevance(fused, (0, 1), split=(None, sources.axis(1)))(x, None)
    np.testing.assert_array_equal(rel.sources[0], x)
    rel = relevance(fused, (0, 1), outputs="argmax")(x, None)
    np.testing.assert_array_equal(rel.sources[0], [2.0, 5.0])
    heats = heatmap(fused, (0, 1))(x, None)
    assert heats[1] is None
    assert audit(fused, (0, 1))(x, None).passed


def test_an_optional_source_in_a_dict():
    def fused(inputs):
        return sum(v for v in inputs.values() if v is not None)

    rel = relevance(fused)({"a": jnp.ones(2), "b": None, "c": 2 * jnp.ones(2)})
    assert rel.sources["b"] is None
    np.testing.assert_array_equal(rel.sources["c"], [2.0, 2.0])


def test_all_sources_missing_are_refused():
    with pytest.raises((TypeError, ValueError)):
        relevance(lambda x: jnp.ones(2))(None)


# --- nothing stops in silence


@pytest.mark.parametrize(
    ("fun", "primitive"),
    [
        (lambda x, y: jnp.log(x) + y, "log"),
        (lambda x, y: 10 * jnp.log10(x) + y, "log"),
        (lambda x, y: jnp.floor(x).astype(int).astype(float) + y, "convert_element_type"),
        (lambda x, y: (x > 0).astype(float) + y, "gt"),
        (lambda x, y: lax.stop_gradient(x) + y, "stop_gradient"),
        (lambda x, y: jnp.argmax(jnp.stack([x, 2 * x])).astype(float) + y, "argmax"),
        (lambda x, y: jax.jit(jnp.log)(x) + y, "log"),
        (lambda x, y: lax.cond(True, jnp.log, jnp.exp, x) + y, "log"),
        (lambda x, y: lax.scan(lambda h, v: (h + jnp.log(v), None), 0.0, jnp.stack([x, x]))[0] + y, "log"),
        (lambda x, y: lax.cond(y > 0, lambda x: jnp.log(x), lambda x: jnp.log(2 * x), x) + y, "log"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("view", [relevance, heatmap])
def test_a_source_whose_relevance_stops_is_warned_of(fun, primitive, view):
    with pytest.warns(rfp_jax.RelevanceStopsWarning) as caught:
        view(fun, (0, 1))(2.0, 1.0)
    (warning,) = caught
    text = str(warning.message)
    assert "args[0]" in text
    assert f"'{primitive}'" in text
    assert "test_cases.py" in text
    assert warning.filename == __file__, "it points at a library"
    assert f"{__file__}:{warning.lineno}" in text
    assert "rules.secant" in text
    assert "rules.tangent" in text


def test_a_source_that_stops_in_one_place_alone_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relevance(lambda x, y: jnp.log(x) + x + y, (0, 1))(2.0, 1.0)
        relevance(lambda x, y: jnp.where(x > 0, x, y), (0, 1))(2.0, 1.0)
        relevance(lambda x, y: y * sigmoid(x), (0, 1))(2.0, 1.0)
        relevance(lambda x, y: y, (0, 1))(2.0, 1.0)
        relevance(lambda x: jnp.ones_like(x))(2.0)


def test_the_remedies_let_relevance_pass():
    def decibels(x, y):
        return 10 * jnp.log10(x) + y

    by_secant = rules.lrp0.override(lambda eq: eq.name == "log", rules.secant(1.0))
    rel = explain(decibels, 100.0, 1.0, rules=by_secant)
    agree([*rel.sources, rel.bias], [100 * 20 / 99, 1.0, 20 - 100 * 20 / 99])
    by_tangent = rules.lrp0.override(lambda eq: "log" in eq.name, rules.tangent())
    rel = explain(decibels, 100.0, 1.0, rules=by_tangent)
    agree([*rel.sources, rel.bias], [10 / np.log(10), 1.0, 20 - 10 / np.log(10)])
    at_reference = explain(jnp.log, 1.0, rules=rules.lrp0.with_rules({"log": rules.secant(1.0)}))
    agree(at_reference.sources, [1.0])
    assert audit(decibels, (0, 1), rules=by_secant)(100.0, 1.0).passed
    assert audit(decibels, (0, 1), rules=by_tangent)(100.0, 1.0).passed


def test_a_remedy_by_the_line_alone():
    def two(x, y):
        return jnp.log(x) + jnp.log(y)

    line = two.__code__.co_firstlineno + 1
    here = rules.lrp0.override(lambda eq: f"test_cases.py:{line}" in eq.source, rules.tangent())
    agree(explain(two, 2.0, 3.0, rules=here).sources, [1.0, 1.0])


def test_a_source_that_steers_alone_is_hinted_at():
    report = audit(lambda x, y: sigmoid(x) * y, (0, 1))(0.5, 2.0)
    (hint,) = report.hints
    assert hint.kind == "steers"
    assert "args[0]" in hint.text
    assert not audit(lambda x, y: sigmoid(x) * y + x, (0, 1))(0.5, 2.0).hints


# --- a certificate that tests the rules


def _times(factor, rule):
    return lambda f, *x: (lambda frozen: frozen._replace(push=lambda *c: jax.tree.map(lambda p: factor * p, frozen.push(*c))))(rule(f, *x))  # fmt: skip


def _deep(x):
    w = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 4, 4)) / 6, x.dtype)
    for _ in range(4):
        x = relu(_conv(x, w) + x + jnp.asarray(0.1, x.dtype))
    return x.mean((1, 2)) @ w[0, 0]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
def test_a_convolution_that_pushes_threefold_fails_in_any_precision(dtype):
    x = draw(2, 6, 6, 4).astype(dtype)
    assert audit(_deep)(x).passed
    wrong = rules.lrp0.with_rules(
        {"conv_general_dilated": _times(3, rules.lrp0.table["conv_general_dilated"])}
    )
    report = audit(_deep, rules=wrong)(x)
    assert not report.passed
    assert {entry.primitive for entry in report.guilty} == {"conv_general_dilated"}
    assert len(report.guilty) == 4


def test_an_error_of_1e_4_in_a_long_loop_fails():
    def loop(x):
        return lax.scan(lambda h, _: (jnp.tanh(h * 1.01), None), x, None, length=2000)[0]

    x = draw(2, 4).astype(jnp.float32)
    assert audit(loop)(x).passed
    wrong = rules.lrp0.with_rules({"tanh": _times(1.0001, rules.elementwise)})
    (guilty,) = audit(loop, rules=wrong)(x).guilty
    assert guilty.primitive == "tanh"


def test_one_source_without_bias_does_not_hide_a_rule():
    w, v, x = draw(4, 6), draw(6, 3, seed=1), draw(2, 4, seed=2)
    wrong = rules.lrp0.with_rules({"tanh": lambda eq, a: rules.Frozen(eq(a), lambda c: 3 * c)})
    report = audit(lambda x: jnp.tanh(x @ w) @ v, rules=wrong)(x)
    assert not report.passed
    (guilty,) = report.guilty
    assert guilty.primitive == "tanh"
    assert "test_cases.py" in guilty.source
    assert "tanh" in report.verdict


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_constant_that_enters_a_loop_is_accounted_for(start):
    w = draw(4, 4)

    def gru(x):
        def step(h, v):
            z = sigmoid(v + h @ w)
            return (1 - z) * h + z * jnp.tanh(v + (z * h) @ w), h

        h, hs = lax.scan(step, jnp.full(4, start), x)
        return h + hs.sum(0)

    assert audit(gru)(draw(5, 4, seed=1)).passed

    def branch(x):
        return lax.cond(x.sum() > -1e9, lambda x: x * 2 + start, lambda x: jnp.full_like(x, 7.0), x)

    assert audit(branch)(draw(5, 4, seed=1)).passed

    def loop(x):
        state = (0, jnp.full(4, start))
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.tanh(s[1] + x)), state)[
            1
        ]

    assert audit(loop)(draw(4, seed=1)).passed


def test_side_effects_do_not_disturb_the_certificate(capfd):
    def printing(x):
        jax.debug.print("{}", x)
        jax.debug.callback(lambda _: None, x)
        return jnp.tanh(x)

    assert audit(printing)(draw(2, 4)).passed
    assert audit(jax.jit(printing))(draw(2, 4)).passed
    in_a_loop = audit(lambda x: lax.scan(lambda h, v: (printing(h + v), None), x[0], x)[0])
    assert in_a_loop(draw(2, 4)).passed


# --- cost of tracing


def _count_of_asked_rules(fun, *args):
    asked = []
    counting = rules.lrp0.override(lambda eq: bool(asked.append(eq.name)), rules.tangent())
    relevance(fun, tuple(range(len(args))), rules=counting)(*args)
    return len(asked)


def test_nested_branches_cost_no_more_than_the_program():
    def equations(depth):
        return _count_of_asked_rules(_chain(depth), jnp.asarray(0.5))

    def _chain(depth):
        body = jnp.tanh
        for level in range(depth):
            body = _branch(body, level)
        return body

    def _branch(inner, level):
        return lambda x: lax.cond(x > level, inner, lambda x: x * 2.0, x)

    assert equations(12) <= 3 * equations(4) + 10


def test_a_long_chain_costs_no_more_than_the_program():
    def horner(steps):
        def fun(x):
            y = x
            for _ in range(steps):
                y = y * x + 0.5
            return y

        return fun

    def size(steps):
        jaxpr = jax.make_jaxpr(relevance(horner(steps)))(jnp.asarray(0.5))
        return sum(1 for _ in calls.equations(jaxpr))

    assert size(100) <= 2.5 * size(50)
