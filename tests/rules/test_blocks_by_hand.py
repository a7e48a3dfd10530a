"""Normalizations, gated, recurrent and attention blocks, by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from tests.oracles import slots
from tests.oracles.compiled import relevance
from tests.rules.by_hand import close, init, numbers, shares, sigmoid

pytestmark = pytest.mark.usefixtures("x64")


def norm(c, total, axes, groups=1, epsilon=1e-6):
    """Each contribution loses its own mean; the total's deviation divides it."""
    if groups > 1:
        c, total = (a.reshape(*a.shape[:-1], groups, -1) for a in (c, total))
    mean = total.mean(axes, keepdims=True)
    deviation = np.sqrt(((total - mean) ** 2).mean(axes, keepdims=True) + epsilon)
    return ((c - c.mean(axes, keepdims=True)) / deviation).reshape(*c.shape[:3], -1)


@pytest.mark.slow
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


@pytest.mark.slow
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
