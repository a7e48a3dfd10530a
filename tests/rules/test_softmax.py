"""Softmax: attention in all its writings, and probabilities that stand for themselves."""
# ruff: noqa: E501, PLC3002  (tables: one case a line)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import softmax

import rfp_jax
from rfp_jax import sources
from tests.oracles.compiled import heatmap, relevance
from tests.oracles.decomposition import agree, draw, explain, shares

pytestmark = pytest.mark.usefixtures("x64")

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


MASK = np.array([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]], bool)


def _normalized(e):
    return e / e.sum(1, keepdims=True)


MASKED = {
    "where -inf": lambda s: softmax(jnp.where(MASK, s, -jnp.inf)),
    "where=": lambda s: softmax(s, where=MASK),
    "chosen exponentials": lambda s: _normalized(jnp.where(MASK, jnp.exp(s), 0)),
    "exponentials times a mask": lambda s: _normalized(jnp.exp(s) * MASK),
    "added": lambda s: softmax(s + np.where(MASK, 0, -1e30)),
    "reciprocal": lambda s: (lambda e: e * (1 / e.sum(1, keepdims=True)))(jnp.exp(s) * MASK),
    "masked sum": lambda s: jnp.where(MASK, jnp.exp(s) / jnp.where(MASK, jnp.exp(s), 0).sum(1, keepdims=True), 0),
    "logsumexp": lambda s: jnp.where(MASK, jnp.exp(s - jax.nn.logsumexp(jnp.where(MASK, s, -jnp.inf), 1, keepdims=True)), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("preset", ["lrp0", "attnlrp"])
def test_a_masked_softmax_has_one_answer_however_it_is_written(name, preset):
    """It passes by its gradient, which does not change with a constant beside the exponentials."""
    s, p = draw(3, 4), MASKED["where -inf"](draw(3, 4))
    got = shares(MASKED[name], s, rules=preset)
    agree(got, [(want := p * (s - (p * s).sum(1, keepdims=True))), p - want])


@pytest.mark.parametrize(
    "fun",
    [
        lambda s: 2 * softmax(s),
        lambda s: 2 * jnp.exp(jax.nn.log_softmax(s)),
        lambda s: jnp.exp(jax.nn.log_softmax(s)) / 0.5,
        lambda s: _normalized(jnp.exp(s)) * 2,
        lambda s: 2 * jnp.exp(s) / jnp.exp(s).sum(1, keepdims=True),
        lambda s: jnp.exp(s) / (0.5 * jnp.exp(s).sum(1, keepdims=True)),
    ],
)
def test_a_scaled_softmax_is_one_wherever_the_scale_stands(fun):
    s, p = draw(3, 4), softmax(draw(3, 4))
    agree(shares(fun, s)[:1], [2 * p * (s - (p * s).sum(1, keepdims=True))])


WITH_NAN = np.array([[0.5, np.nan, -0.2], [0.01, -0.01, np.nan]])
FILLED = {
    "greatest": (lambda x: jnp.nanmax(x, 1), WITH_NAN),
    "softmax": (lambda x: softmax(jnp.where(jnp.isnan(x), -jnp.inf, x), axis=1)[:, 0], WITH_NAN),
    "by its sign": (lambda x: softmax(jnp.where(x > 0, x, -1e308), axis=1)[:, 0], WITH_NAN * 0.1),
}


@pytest.mark.parametrize("none", [-np.inf, -1e30, -1e9, np.finfo("float64").min])
def test_a_signal_that_masks_itself_passes_where_it_is_seen(none):
    """No line leads from a mask's -inf at 0 to the signal."""
    s = jnp.array([[0.5, -1.0, 2.0]])
    p = softmax(jnp.array([[0.5, -np.inf, 2.0]]))
    want = p * (jnp.array([[0.5, 0.0, 2.0]]) - (p * jnp.array([[0.5, 0.0, 2.0]])).sum())
    got = shares(lambda s: softmax(jnp.where(s > 0, s, none)), s)
    agree(got, [want, p - want])


@pytest.mark.parametrize("name", FILLED)
def test_what_is_masked_by_its_own_value_is_finite_both_ways(name):
    fun, x = FILLED[name]
    rel, heat = relevance(fun)(x), heatmap(lambda x: fun(x).sum()[None])(x)
    assert np.isfinite(heat).all()
    np.testing.assert_allclose(rel.sources.sum(), heat.sum(), atol=1e-10)


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


PRIOR = np.array([[0.1, 0.2, 0.3, 0.4]])
EXPERTS = {  # the logits, and products of probabilities
    "two experts": (
        lambda a, b: a + b,
        lambda a, b: _normalized(softmax(a) * softmax(b)),
        lambda a, b: _normalized(softmax(b) * softmax(a)),
        lambda a, b: _normalized(jnp.exp(a) * jnp.exp(b)),
        lambda a, b: _normalized(softmax(a) * jnp.exp(b)),
        lambda a, b: _normalized(jnp.exp(jax.nn.log_softmax(a)) * softmax(b)),
        lambda a, b: _normalized(jnp.stack([softmax(a), softmax(b)]).prod(0)),
        lambda a, b: (lambda p: p * (1 / p.sum(1, keepdims=True)))(softmax(a) * softmax(b)),
    ),
    "with a prior": (
        lambda a, b: a + b + np.log(PRIOR),
        lambda a, b: _normalized(PRIOR * softmax(a) * softmax(b)),
        lambda a, b: _normalized(softmax(a) * (softmax(b) * PRIOR)),
        lambda a, b: _normalized(softmax(a) * softmax(b) / (1 / PRIOR)),
    ),
    "geometric mean": (
        lambda a, b: (a + b) / 2,
        lambda a, b: _normalized(jnp.sqrt(softmax(a) * softmax(b))),
        lambda a, b: _normalized((softmax(a) * softmax(b)) ** 0.5),
    ),
    "sharpened": (
        lambda a, b: 2 * (a + b),
        lambda a, b: _normalized(softmax(a + b) ** 2),
        lambda a, b: _normalized(jnp.square(softmax(a + b))),
    ),
    "some of the classes": (
        lambda a, b: (a + b)[:, 1:],
        lambda a, b: _normalized(softmax(a + b)[:, 1:]),
    ),
    "masked classes": (
        lambda a, b: jnp.where(MASK, a + b, -jnp.inf),
        lambda a, b: _normalized(softmax(a + b) * MASK),
        lambda a, b: _normalized(jnp.where(MASK, softmax(a + b), 0)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERTS)
def test_normalized_products_of_probabilities_are_a_softmax_of_sums(name):
    """Fusion by the product rule, and what else is normalized again."""
    logits, *products = EXPERTS[name]
    a, b = draw(3, 4, seed=1), draw(3, 4, seed=2)
    want = shares(lambda a, b: softmax(logits(a, b)), a, b)
    assert not np.allclose(want[0], 0)
    for product in products:
        agree(shares(product, a, b), want)


def test_differences_of_exponentials_over_their_sum():
    """The contrast of two softmax weights, as an index of two bands has it."""
    a, b = draw(3, 4, seed=1), draw(3, 4, seed=2)

    def of_weights(a, b):
        one, other = softmax(jnp.stack([a, b]), 0)
        return one - other

    def quotient(a, b):
        return (jnp.exp(a) - jnp.exp(b)) / (jnp.exp(a) + jnp.exp(b))

    agree(shares(quotient, a, b), shares(of_weights, a, b))


def test_the_logarithm_of_a_logsumexp_is_a_function_of_one_variable():
    """No softmax stands below it: the secant, from its constant part, for the logarithm of 0 is none."""
    u = draw(3, 4, seed=3)
    below = explain(lambda u: jax.nn.logsumexp(u, 1), u)
    z, b = np.asarray(below.output), np.asarray(below.bias)
    assert (b > 0).all(), "the entropy"
    given = (np.log(z) - np.log(b)) / (z - b) * below.sources[0]
    agree(shares(lambda u: jnp.log(jnp.log(jnp.exp(u).sum(1))), u), [given, np.log(z) - given])


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


def _experts(a, b):
    product = softmax(a) * softmax(b)
    return product / product.sum(-1, keepdims=True)


@pytest.mark.parametrize("bias", ["keep", "share", "propagate"])
def test_experts_pass_by_their_logits_whatever_becomes_of_biases(bias):
    """Shares of p, its bias among them, are no contributions to log p."""
    a, b = np.asarray(draw(2, 4)), np.asarray(draw(2, 4, seed=1))
    p = np.exp(a + b) / np.exp(a + b).sum(-1, keepdims=True)
    parts = np.stack([p * (c - (p * c).sum(-1, keepdims=True)) for c in (a, b)])
    rest = p - parts.sum(0)
    if bias == "share":
        parts, rest = parts + rest * np.abs(parts) / np.abs(parts).sum(0), np.zeros_like(p)
    rel = rfp_jax.relevance(_experts, (0, 1), bias=bias)(jnp.asarray(a), jnp.asarray(b))
    agree([*rel.sources, rel.bias], [*parts, rest])


def test_rounding_errors_are_given_no_bias():
    """Shared biases make p its source's alone; a softmax does not change with what all get."""

    def experts(a, b):  # of two classes
        product = softmax(a)[:, :2] * softmax(b)[:, :2]
        return product / product.sum(-1, keepdims=True)

    parts = rfp_jax.relevance(experts, (0, 1), bias="share")
    a, b = draw(2, 4), draw(2, 4, seed=1)
    for rel in (parts(a, b), jax.jit(parts)(a, b)):
        np.testing.assert_allclose(rel.sources, np.zeros((2, 2, 2)), atol=1e-14)
        np.testing.assert_allclose(rel.bias, rel.output)


def test_what_cancels_with_a_shared_bias_is_given_no_later_one():
    """A logit less the greatest is 0, of which nobody has a part; rounding leaves something."""

    def weight(a):
        powers = jnp.abs(jnp.fft.rfft(a @ draw(6, 6, seed=1))) ** 2
        logit = jnp.log(powers + 1e-3).max(-1)
        return jnp.exp(logit - lax.stop_gradient(logit))

    parts = rfp_jax.relevance(weight, bias="share")
    a = draw(20, 6)
    for rel in (parts(a), jax.jit(parts)(a)):
        np.testing.assert_array_equal(rel.sources, 0)
        np.testing.assert_allclose(rel.bias, 1)
