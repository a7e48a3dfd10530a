"""Perceptual scores: means over permutations, by definition."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax.attribution import (
    mean_score,
    occlusion,
    perceptual_score,
    perceptual_score_exact,
    shape_score,
)
from tests.attribution.four_sources import ARGNUMS, Case, arranged, listed, network, numpy_network

pytestmark = pytest.mark.usefixtures("x64")


def replaced_accuracy(case, s, order):
    sources = [x[list(order)] if i == s else x for i, x in enumerate(case.sources)]
    return np.mean(numpy_network(case.params, sources).argmax(axis=1) == case.labels)


def test_exact_perceptual_score_is_the_mean_over_all_permutations():
    case = Case(batch=5)
    result = perceptual_score_exact(network, ARGNUMS)(case.labels, *case.args)
    everything = case.accuracy({0, 1, 2, 3})
    replaced = [
        np.mean([replaced_accuracy(case, s, order) for order in permutations(range(5))])
        for s in range(4)
    ]
    np.testing.assert_allclose(result.accuracy, everything)
    np.testing.assert_allclose(listed(result.replaced), replaced, atol=1e-12)
    np.testing.assert_allclose(listed(result.score), everything - np.array(replaced), atol=1e-12)


def right_replacements(case, s):
    """K / N: the mean over samples of the share of replacements that are classified right."""
    count = len(case.labels)
    return np.mean([replaced_accuracy(case, s, [j] * count) for j in range(count)])


def test_exact_perceptual_score_is_k_of_n_replacements():
    case = Case(batch=30)
    result = perceptual_score_exact(network, ARGNUMS, batch_size=11)(case.labels, *case.args)
    expected = [right_replacements(case, s) for s in range(4)]
    np.testing.assert_allclose(listed(result.replaced), expected, atol=1e-12)


def test_sampled_perceptual_score_converges_to_the_exact_one():
    case = Case(batch=30)
    measure = perceptual_score(network, ARGNUMS, draws=800, batch_size=16)
    sampled = measure(jax.random.key(0), case.labels, *case.args)
    everything = case.accuracy({0, 1, 2, 3})
    exact = [everything - right_replacements(case, s) for s in range(4)]
    np.testing.assert_allclose(sampled.accuracy, everything)
    np.testing.assert_allclose(listed(sampled.score), exact, atol=0.015)
    again = measure(jax.random.key(0), case.labels, *case.args)
    np.testing.assert_array_equal(listed(sampled.score), listed(again.score))


def test_every_draw_is_a_permutation():
    """The mean of the data is that of the permuted data, whatever the order."""
    data = jnp.asarray(np.random.default_rng(0).normal(size=(9, 1)))

    def first_output(output, labels):
        return output[:, 0]

    measure = perceptual_score(lambda x: x, draws=1, score=first_output)
    for seed in range(5):
        result = measure(jax.random.key(seed), jnp.arange(9), data)
        np.testing.assert_allclose(result.score, 0, atol=1e-14)
    moved = perceptual_score(lambda x: x, draws=1, score=lambda x, place: x[:, 0] * place)
    assert abs(moved(jax.random.key(0), jnp.arange(9), data).score) > 1e-3


def test_a_source_that_is_not_looked_at_scores_zero():
    case = Case(batch=20)

    def blind(first, last):
        return network(case.params, first, arranged(case.sources)[1], jnp.zeros_like(last))

    args = case.labels, case.sources[0], case.sources[3]
    scores = (
        perceptual_score_exact(blind, (0, 1))(*args).score,
        perceptual_score(blind, (0, 1))(jax.random.key(0), *args).score,
        shape_score(blind, (0, 1))(*args),
    )
    for first, last in scores:
        assert abs(first) > 0.05
        assert abs(last) < 1e-15
    assert np.all(occlusion(blind, (0, 1))(*args[1:])[1] == 0)


def test_mean_score_by_batches_is_the_mean_score():
    case = Case(batch=23)
    for batch_size in (None, 5, 100):
        score = jax.jit(mean_score(network, ARGNUMS, batch_size=batch_size))
        np.testing.assert_allclose(
            score(case.labels, *case.args), case.accuracy({0, 1, 2, 3}), atol=1e-15
        )


def test_the_accuracy_of_halves_has_all_its_digits():
    output = jnp.tile(jnp.array([[1.0, 0.0]], jnp.bfloat16), (1000, 1))
    labels = (jnp.arange(1000) < 27).astype(int)
    assert float(mean_score(lambda x: x)(labels, output)) == pytest.approx(0.973, abs=1e-6)


def test_another_score_than_accuracy():
    case = Case(batch=10)

    def loss(output, labels):
        return -jnp.take_along_axis(output, labels[:, None], axis=1)[:, 0]

    actual = mean_score(network, ARGNUMS, score=loss, batch_size=4)(case.labels, *case.args)
    of_label = case.output({0, 1, 2, 3})[np.arange(10), case.labels]
    np.testing.assert_allclose(actual, -of_label.mean())
