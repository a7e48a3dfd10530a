"""Shapley values of sources and of accuracies: by definition, and by their laws."""

from itertools import permutations
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax.attribution import (
    occlusion,
    shape_score,
    shape_score_sampled,
    shapley,
    shapley_sampled,
)
from tests.attribution.four_sources import ARGNUMS, Case, arranged, listed, network

pytestmark = pytest.mark.usefixtures("x64")


def brute_force_shapley(value, count):
    """Mean marginal contribution over all orders, straight from the definition."""
    total = [0.0] * count
    for order in permutations(range(count)):
        for place, s in enumerate(order):
            total[s] = total[s] + value({*order[: place + 1]}) - value({*order[:place]})
    return [each / factorial(count) for each in total]


def test_exact_shapley_is_the_mean_over_all_orders(baseline):
    case = Case()
    given, reference = baseline(case)
    expected = brute_force_shapley(lambda present: case.output(present, reference), 4)
    result = listed(shapley(network, ARGNUMS, baseline=given)(*case.args))
    np.testing.assert_allclose(result, expected, atol=1e-12)
    gain = case.output({0, 1, 2, 3}) - case.output(set(), reference)
    np.testing.assert_allclose(sum(result), gain, atol=1e-12)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32"])
def test_outputs_may_be_bools_and_whole_numbers(dtype):
    case = Case()

    def positive(*args):
        return (network(*args) > 0).astype(dtype)

    def value(present):
        return (case.output(present) > 0).astype(float)

    expected = brute_force_shapley(value, 4)
    result = listed(shapley(positive, ARGNUMS)(*case.args))
    np.testing.assert_allclose(result, expected, atol=1e-12)
    sampled = shapley_sampled(positive, ARGNUMS, permutations=3)(jax.random.key(0), *case.args)
    gain = value({0, 1, 2, 3}) - value(set())
    np.testing.assert_allclose(sum(listed(sampled)), gain, atol=1e-12)
    fall = listed(occlusion(positive, ARGNUMS)(*case.args))
    every = {0, 1, 2, 3}
    np.testing.assert_allclose(fall, [value(every) - value(every - {s}) for s in range(4)])
    assert (np.abs(fall) > 0).any()


def test_shapley_of_a_game_known_by_hand():
    """The glove game: one left glove, two right gloves, a pair is worth 1."""

    def game(left, right1, right2):
        return jnp.minimum(left, jnp.maximum(right1, right2))

    values = shapley(game, (0, 1, 2))(1.0, 1.0, 1.0)
    np.testing.assert_allclose(values, [2 / 3, 1 / 6, 1 / 6], atol=1e-15)


def test_sampled_shapley_converges_and_always_adds_up():
    case = Case()
    given, reference = arranged(case.baselines), case.baselines
    exact = np.array(brute_force_shapley(lambda present: case.output(present, reference), 4))
    gain = case.output({0, 1, 2, 3}) - case.output(set(), reference)
    estimate = shapley_sampled(network, ARGNUMS, permutations=400, baseline=given)
    result = listed(estimate(jax.random.key(1), *case.args))
    np.testing.assert_allclose(sum(result), gain, atol=1e-12)
    assert np.abs(result - exact).mean() < 0.05 * np.abs(exact).mean()


def test_sampled_shapley_is_unbiased():
    case = Case()
    exact = np.array(brute_force_shapley(case.output, 4))
    estimate = shapley_sampled(network, ARGNUMS, permutations=1)
    keys = jax.random.split(jax.random.key(5), 600)
    result = jax.lax.map(lambda key: estimate(key, *case.args), keys)
    draws = np.stack(listed(result), axis=1)
    error = draws.mean(axis=0) - exact
    deviation = draws.std(axis=0) / np.sqrt(len(keys)) + 1e-12
    assert np.abs(error / deviation).max() < 5


def test_sampled_shapley_is_exact_for_one_and_two_sources():
    def product(a, b):
        return a * b + a

    one, two = shapley_sampled(product, (0, 1), permutations=1)(jax.random.key(0), 3.0, 2.0)
    assert (float(one), float(two)) == (6.0, 3.0)
    alone = shapley_sampled(product, 0, permutations=1)(jax.random.key(0), 3.0, 2.0)
    assert float(alone) == 9.0


def test_sampled_shapley_takes_many_sources():
    """Forty sources, an additive game: every marginal contribution is the value itself."""
    values = tuple(float(s) for s in range(40))
    result = shapley_sampled(lambda *xs: sum(xs), tuple(range(40)), permutations=2)(
        jax.random.key(0), *values
    )
    np.testing.assert_allclose(result, values, atol=1e-12)
    with pytest.raises(ValueError, match="exact Shapley values of 40 sources need 2\\^40 passes"):
        shapley(lambda *xs: sum(xs), tuple(range(40)))(*values)


@pytest.mark.parametrize("batch_size", [None, 7, 64])
def test_shape_score_is_the_shapley_value_of_accuracies(batch_size):
    case = Case(batch=40)
    given, reference = arranged(case.baselines), case.baselines
    expected = brute_force_shapley(lambda present: case.accuracy(present, reference), 4)
    score = shape_score(network, ARGNUMS, baseline=given, batch_size=batch_size)
    result = listed(score(case.labels, *case.args))
    np.testing.assert_allclose(result, expected, atol=1e-12)
    assert np.abs(expected).max() > 0.05


def test_shape_score_of_two_sources_is_the_published_formula():
    case = Case(batch=40)

    def of_two(first, last):
        return network(case.params, first, arranged(case.sources)[1], last)

    def v(*present):
        return case.accuracy({1, 2, *present})

    one = (v(0, 3) - v(3) + v(0) - v()) / 2
    two = (v(0, 3) - v(0) + v(3) - v()) / 2
    result = shape_score(of_two, (0, 1))(case.labels, case.sources[0], case.sources[3])
    np.testing.assert_allclose(result, [one, two], atol=1e-12)


def test_sampled_shape_score_estimates_the_exact_one():
    case = Case(batch=40)
    exact = brute_force_shapley(case.accuracy, 4)
    estimate = shape_score_sampled(network, ARGNUMS, permutations=300, batch_size=16)
    result = listed(estimate(jax.random.key(0), case.labels, *case.args))
    np.testing.assert_allclose(result, exact, atol=0.02)
    assert sum(result) == pytest.approx(case.accuracy({0, 1, 2, 3}) - case.accuracy(set()))
