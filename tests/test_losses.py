"""The relevance loss against its definition, written out in numpy and in PyTorch."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import rfp_jax
from rfp_jax.losses import cross_entropy, relevance_loss, source_losses


def some_relevance(rng, sources=3, batch=5, classes=4):
    shares = tuple(rng.normal(size=(batch, classes)) for _ in range(sources))
    bias = rng.normal(size=(batch, classes))
    labels = rng.integers(0, classes, batch)
    return SimpleNamespace(sources=shares, bias=bias), labels


def torch_cross_entropy(logits, labels):
    loss = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels))
    return float(loss)


@pytest.mark.usefixtures("x64")
def test_loss_is_its_definition():
    relevance, labels = some_relevance(np.random.default_rng(0))
    of_sum = torch_cross_entropy(sum(relevance.sources) + relevance.bias, labels)
    own = [torch_cross_entropy(share, labels) for share in relevance.sources]
    as_jax = jax.tree.map(jnp.asarray, relevance.__dict__)
    rel, y = SimpleNamespace(**as_jax), jnp.asarray(labels)
    for weight in (0.0, 0.3, 2.0):
        expected = of_sum + weight * np.mean(own)
        np.testing.assert_allclose(relevance_loss(rel, y, weight), expected, rtol=1e-13)
    np.testing.assert_allclose(source_losses(rel, y), own, rtol=1e-13)
    of_bias = torch_cross_entropy(relevance.bias, labels)
    np.testing.assert_allclose(cross_entropy(rel.bias, y), of_bias, rtol=1e-13)


def test_cross_entropy_survives_large_logits():
    loss = cross_entropy(jnp.array([[1e4, 0.0]]), jnp.array([1]))
    np.testing.assert_allclose(loss, 1e4, rtol=1e-6)


@pytest.mark.parametrize("label", [-1, 3])
def test_cross_entropy_of_a_label_that_is_no_class_is_nan(label):
    logits = jnp.array([[1.0, 2, 3], [3.0, 2, 1]])
    assert np.isnan(cross_entropy(logits, jnp.array([0, label])))
    assert np.isfinite(cross_entropy(logits, jnp.array([0, 2])))


@pytest.mark.usefixtures("x64")
def test_another_loss_serves_regression():
    relevance, _ = some_relevance(np.random.default_rng(1), classes=1)
    rel = SimpleNamespace(**jax.tree.map(jnp.asarray, relevance.__dict__))
    target = jnp.ones((5, 1))

    def squared_error(prediction, target):
        return jnp.mean((prediction - target) ** 2)

    of_sum = np.mean((sum(relevance.sources) + relevance.bias - 1) ** 2)
    own = [np.mean((share - 1) ** 2) for share in relevance.sources]
    actual = relevance_loss(rel, target, 0.5, loss=squared_error)
    np.testing.assert_allclose(actual, of_sum + 0.5 * np.mean(own), rtol=1e-13)


def test_sources_keep_their_names():
    relevance = SimpleNamespace(
        sources={"optical": jnp.array([[5.0, 0.0]]), "sar": jnp.array([[0.0, 5.0]])},
        bias=jnp.zeros((1, 2)),
    )
    losses = source_losses(relevance, jnp.array([0]))
    assert losses["optical"] < 0.01
    assert losses["sar"] > 4.9


def network(params, x1, x2):
    hidden = jax.nn.relu(x1 @ params["w1"] + x2 @ params["w2"] + params["b"][None])
    return hidden @ params["w3"]


@pytest.mark.slow
def test_gradient_at_weight_zero_is_that_of_the_plain_network():
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        shapes = {"w1": (3, 8), "w2": (2, 8), "b": (8,), "w3": (8, 4)}
        params = {name: jnp.asarray(rng.normal(size=shape)) for name, shape in shapes.items()}
        x1, x2 = jnp.asarray(rng.normal(size=(6, 3))), jnp.asarray(rng.normal(size=(6, 2)))
        labels = jnp.asarray(rng.integers(0, 4, 6))

        def through_relevance(params, weight):
            rel = rfp_jax.relevance(network, argnums=(1, 2))(params, x1, x2)
            return relevance_loss(rel, labels, weight)

        plain = jax.grad(lambda params: cross_entropy(network(params, x1, x2), labels))(params)
        at_zero = jax.jit(jax.grad(through_relevance))(params, 0.0)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), plain, at_zero)
        weighted = jax.grad(through_relevance)(params, 1.0)
        for name in ("w1", "w2", "w3"):
            assert np.max(np.abs(plain[name] - weighted[name])) > 1e-3
        # No source's relevance depends on the bias while no unit changes sides.
        np.testing.assert_allclose(plain["b"], weighted["b"], atol=1e-12)


@pytest.mark.slow
def test_training_with_the_loss_makes_each_source_speak_for_the_class():
    """Two equally telling sources: the plain loss may lean on one, the relevance loss may not."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 120)
    x1 = jnp.asarray(np.eye(3)[labels] + 0.1 * rng.normal(size=(120, 3)), jnp.float32)
    x2 = jnp.asarray(0.3 * np.eye(3)[labels] + 0.03 * rng.normal(size=(120, 3)), jnp.float32)
    y = jnp.asarray(labels)
    shapes = {"w1": (3, 8), "w2": (3, 8), "b": (8,), "w3": (8, 3)}
    start = {k: jnp.asarray(0.3 * rng.normal(size=s), jnp.float32) for k, s in shapes.items()}
    explain = rfp_jax.relevance(network, argnums=(1, 2))

    def train(weight):
        @jax.jit
        def step(params):
            gradient = jax.grad(lambda p: relevance_loss(explain(p, x1, x2), y, weight))(params)
            return jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient)

        params = start
        for _ in range(150):
            params = step(params)
        return source_losses(explain(params, x1, x2), y)

    assert train(1.0)[1] < 0.7 * train(0.0)[1]


def test_bad_input_is_refused():
    relevance = SimpleNamespace(sources=(jnp.zeros((2, 3)),), bias=jnp.zeros((2, 3)))
    labels = jnp.array([0, 1])
    for weight in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=f"weight must not be negative, got {weight}"):
            relevance_loss(relevance, labels, weight)
    with pytest.raises(ValueError, match="at least one source"):
        relevance_loss(SimpleNamespace(sources=(), bias=jnp.zeros((2, 3))), labels, 1.0)
    with pytest.raises(ValueError, match=r"\[B, K\] and labels \[B\], got \(2, 3\) and \(3,\)"):
        relevance_loss(relevance, jnp.array([0, 1, 2]), 1.0)
    with pytest.raises(ValueError, match="labels must be integers, got float32"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2))
