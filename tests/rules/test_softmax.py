"""Softmax: attention in all its writings, and probabilities that stand for themselves."""
# ruff: noqa: E501, PLC3002  (tables: one case a line)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import softmax

from rfp_jax import relevance, sources
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
