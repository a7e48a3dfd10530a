"""Layers whose input and output have one shape, where fractions travel: their weights still mix.

A layer's bias is an addition, element by element; with as many units before as behind, its rule
must not be taken for the addition's.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import rules
from tests.oracles.compiled import heatmap, relevance

SIZE, CLASSES = 6, 3


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((SIZE, n)) for n in (SIZE, SIZE, CLASSES)]
    biases = [rng.standard_normal(n) for n in (SIZE, SIZE, CLASSES)]
    return weights, biases, rng.standard_normal((1, SIZE))


def slow_heatmap(weights, biases, x, k):
    """Backwards through the definition: ε = 0 for all layers but the first, which is flat."""
    activations, z = [x], None
    for w, b in zip(weights, biases, strict=True):
        z = activations[-1] @ w + b
        activations.append(np.maximum(z, 0))
    relevance_ = np.where(np.arange(CLASSES) == k, z, 0.0)
    for w, b, h in reversed(list(zip(weights[1:], biases[1:], activations[1:-1], strict=True))):
        relevance_ = h * ((relevance_ / (h @ w + b)) @ w.T)
    return np.full(x.shape, relevance_.sum() / x.size)


@pytest.mark.usefixtures("x64")
def test_flat_before_square_layers_is_its_definition_in_both_directions(network):
    weights, biases, x = network

    def net(x):
        h = jax.nn.relu(x @ weights[0] + biases[0][None])
        h = jax.nn.relu(h @ weights[1] + biases[1][None])
        return h @ weights[2] + biases[2][None]

    rule = rules.composite(
        "flat first", first=rules.flat(), dense=rules.epsilon(0), convolution=rules.zero()
    )
    heat = heatmap(net, outputs="all", rules=rule)(x)
    forward = relevance(net, rules=rule)(x).sources
    for k in range(CLASSES):
        expected = slow_heatmap(weights, biases, x, k)
        np.testing.assert_allclose(heat[k], expected, rtol=1e-9)
        np.testing.assert_allclose(forward[0, k], expected.sum(), rtol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("scaled", [False, True])
def test_sources_that_a_square_layer_mixes_stay_apart(network, scaled):
    """Half of the units are of each source; ε passes on what the weights make of each half."""
    weights, biases, _ = network
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 1, SIZE // 2))
    first = rng.standard_normal((2, SIZE // 2, SIZE // 2))

    def net(a, b):
        h = jnp.concatenate([a @ first[0], b @ first[1]], 1) @ weights[0]
        return h * 2.0 + biases[0][None] if scaled else h + biases[0][None]

    rule = rules.composite(
        "flat first", first=rules.flat(), dense=rules.epsilon(0), convolution=rules.zero()
    )
    found = relevance(net, (0, 1), rules=rule)(a, b)
    factor = 2.0 if scaled else 1.0
    for i, (x, got) in enumerate(zip((a, b), found.sources, strict=True)):
        rows = slice(i * SIZE // 2, (i + 1) * SIZE // 2)
        np.testing.assert_allclose(got, factor * x @ first[i] @ weights[0][rows], rtol=1e-9)
    np.testing.assert_allclose(found.bias, biases[0][None], rtol=1e-9)
