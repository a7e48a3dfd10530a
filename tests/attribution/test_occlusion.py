"""Occlusion and deletion: loops over samples and sources."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from rfp_jax.attribution import (
    deletion,
    occlusion,
)
from tests.attribution.four_sources import ARGNUMS, CLASSES, Case, arranged, listed, network

pytestmark = pytest.mark.usefixtures("x64")


def test_occlusion_is_the_drop_of_the_output(baseline):
    case = Case()
    given, reference = baseline(case)
    everything = case.output({0, 1, 2, 3})
    result = listed(occlusion(network, ARGNUMS, baseline=given)(*case.args))
    for s in range(4):
        expected = everything - case.output({0, 1, 2, 3} - {s}, reference)
        np.testing.assert_allclose(result[s], expected, atol=1e-12)


def test_occlusion_of_a_tree_of_outputs_is_a_tree():
    result = occlusion(lambda x: {"sum": x + 1, "twice": 2 * x})(jnp.array([3.0]))
    assert {name: float(value[0]) for name, value in result.items()} == {"sum": 3.0, "twice": 6.0}


def test_deletion_is_a_loop_over_samples_and_sources():
    case = Case(batch=12)
    given, reference = arranged(case.baselines), case.baselines
    rng = np.random.default_rng(9)
    relevance = [rng.normal(size=(12, CLASSES)) for _ in range(4)]
    target = rng.integers(0, CLASSES, 12)
    delete = deletion(network, ARGNUMS, baseline=given)
    result = delete(arranged(relevance), target, *case.args)
    for i, k in enumerate(target):
        order = sorted(range(4), key=lambda s: -relevance[s][i, k])
        assert result.order[i].tolist() == order
        for step in range(5):
            output = case.output({*order[step:]}, reference)[i]
            np.testing.assert_allclose(result.output[step, i], output[k], atol=1e-12)
            assert result.score[step, i] == (output.argmax() == k)
        everything = case.output({0, 1, 2, 3})[i, k]
        drops = [everything - case.output({0, 1, 2, 3} - {s}, reference)[i, k] for s in range(4)]
        np.testing.assert_allclose(result.drop[i], drops, atol=1e-12)
        assert bool(result.first_hurts_most[i]) == (np.argmax(drops) == order[0])
        curve = np.asarray(result.output[:, i])
        np.testing.assert_allclose(result.area[i], np.trapezoid(curve) / 4)


def test_deletion_of_a_linear_network_is_best_in_the_order_of_relevance():
    """In a linear network relevance is the drop itself, so that no other order is as good."""
    case = Case(batch=20)
    weights = np.random.default_rng(4).normal(size=(12, CLASSES))

    def linear(first, pair, last):
        inputs = [first, pair["b"], pair["c"], last]
        return jnp.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1) @ weights

    args = arranged(case.sources)
    relevance = rfp_jax.relevance(linear, (0, 1, 2))(*args).sources
    delete = deletion(linear, (0, 1, 2))
    by_relevance = delete(relevance, case.labels, *args)
    assert by_relevance.first_hurts_most.all()
    reverse = delete(jax.tree.map(jnp.negative, relevance), case.labels, *args)
    assert np.all(reverse.area >= by_relevance.area)
    assert not reverse.first_hurts_most.all()
    for order in permutations(range(4)):
        ranks = arranged([np.full((20, CLASSES), -float(order.index(s))) for s in range(4)])
        assert np.all(delete(ranks, case.labels, *args).area >= by_relevance.area - 1e-12)
