"""Weights stay weights where they are resized, averaged, or scale a signal."""
# ruff: noqa: E501, PLC3002  (tables: one case a line)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import sigmoid, softmax

from tests.oracles.compiled import heatmap, relevance
from tests.oracles.decomposition import agree, draw, shares

pytestmark = pytest.mark.usefixtures("x64")

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


RELUS = {
    "max": lambda g: jnp.maximum(g, 0),
    "where": lambda g: jnp.where(g > 0, g, 0),
    "where not": lambda g: jnp.where(g < 0, 0, g),
    "where it is less": lambda g: jnp.where(jnp.less(0, g), g, 0),
    "times a mask": lambda g: g * (g > 0),
    "square of abs": lambda g: jnp.abs(g) ** 2,
    "negated where negative": lambda g: jnp.where(g < 0, -g, g),
    "greater of both": lambda g: jnp.maximum(g, -g),
    "times its sign": lambda g: g * jnp.sign(g),
}


@pytest.mark.parametrize("name", RELUS)
def test_parts_of_a_positive_sum_are_weights_however_they_are_positive(name):
    """Experts whose weights are `relu(g) / sum(relu(g))`, as people write it."""

    def mixed(g, v):
        part = RELUS[name](g)
        return (part / (part.sum(1, keepdims=True) + 1e-3) * v).sum(1)

    g, v = jnp.array([[1.0, -2.0, 0.5], [3.0, 0.1, -1.0]]), draw(2, 3, seed=1)
    agree(shares(mixed, g, v), [[0, 0], mixed(g, v), [0, 0]])


def test_a_signal_that_is_chosen_by_another_stays_one():
    """The range of a choice is that of its cases: only where a value chooses itself is it known."""
    g, v = draw(2, 3, seed=1), draw(2, 3, seed=2)
    chooser = np.array([[1.0, 2.0, -1.0], [-1.0, 3.0, 1.0]])

    def mixed(g, v):
        part = jnp.where(chooser > 0, g, 0)
        return part / part.sum(1, keepdims=True) * v

    def by_each_other(g, v):
        return jax.nn.relu(g * v * (v > 0)) * v

    for fun in (mixed, by_each_other):
        got = shares(fun, g, v)
        agree(got[0] + got[1], fun(g, v))
        assert np.abs(got[0]).max() > 0.1
    agree(*([part] for part in shares(mixed, g, v)[:2]))


MASK = np.tril(np.ones((4, 4), bool))
MASKED = {
    "where": lambda s: softmax(jnp.where(MASK, s, -jnp.inf)),
    "large": lambda s: softmax(jnp.where(MASK, s, -1e30)),
    "added": lambda s: softmax(s + np.where(MASK, 0, -np.inf)),
    "exponentials": lambda s: (jnp.exp(s) * MASK) / (jnp.exp(s) * MASK).sum(1, keepdims=True),
    "exponentials chosen": lambda s: (lambda e: e / e.sum(1, keepdims=True))(jnp.where(MASK, jnp.exp(s), 0)),
    "less the logarithm": lambda s: jnp.where(MASK, jnp.exp(s - jax.nn.logsumexp(jnp.where(MASK, s, -jnp.inf), axis=1, keepdims=True)), 0),
    "renormalized": lambda s: (lambda p: p * MASK / (p * MASK).sum(1, keepdims=True))(softmax(s)),
    "row by row": lambda s: jnp.stack([jnp.pad(softmax(s[i, : i + 1]), (0, 3 - i)) for i in range(4)]),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKED)
def test_masked_attention_is_a_weight_in_every_writing(name):
    q, k, v = (draw(4, 3, seed=seed) for seed in range(3))
    want = MASKED["where"](q @ k.T) @ v

    def attended(q, k, v):
        return MASKED[name](q @ k.T) @ v

    agree(shares(attended, q, k, v), [0 * want, 0 * want, want, 0 * want])


def test_attention_without_softmax_is_a_weight_in_every_order_of_its_products():
    """Linear attention, Katharopoulos et al. 2020: features `elu + 1` are positive."""
    q, k, v = (draw(4, 3, seed=seed) for seed in range(3))

    def features(x):
        return jax.nn.elu(x) + 1

    def whole(q, k, v):
        a = features(q) @ features(k).T
        return (a / a.sum(1, keepdims=True)) @ v

    def late(q, k, v):
        a = features(q) @ features(k).T
        return (a @ v) / a.sum(1, keepdims=True)

    def linear(q, k, v):
        a, b = features(q), features(k)
        return (a @ (b.T @ v)) / (a @ b.sum(0))[:, None]

    want = whole(q, k, v)
    for written in (whole, late, linear):
        agree(shares(written, q, k, v), [0 * want, 0 * want, want, 0 * want])


def test_attention_of_attention_is_a_weight_however_it_is_bracketed():
    one, two, v = draw(4, 4, seed=0), draw(4, 4, seed=1), draw(4, 3, seed=2)
    for attended in (
        lambda one, two, v: (softmax(two) @ softmax(one)) @ v,
        lambda one, two, v: softmax(two) @ (softmax(one) @ v),
    ):
        want = attended(one, two, v)
        agree(shares(attended, one, two, v), [0 * want, 0 * want, want, 0 * want])
