"""Randomized parameters: what an explanation loses with them."""

import jax
import numpy as np
import pytest

from rfp_jax.attribution import (
    agreement,
    occlusion,
    permute_parameters,
    randomization,
)
from tests.attribution.four_sources import ARGNUMS, Case, network

pytestmark = pytest.mark.usefixtures("x64")


def explain_by_occlusion(args):
    attribute = occlusion(network, ARGNUMS)
    return lambda params: attribute(params, *args[1:])


def test_randomization_compares_with_the_original_explanation():
    case, other = Case(batch=10), Case(seed=1)
    explain = explain_by_occlusion(case.args)
    original = explain(case.params)
    layers = ["w3", "w2", "w1"]
    result = randomization(explain, case.params, other.params, layers)
    assert result.layers == ("w3", "w2", "w1")
    for step in range(3):
        mixed = {**case.params, **{name: other.params[name] for name in layers[: step + 1]}}
        expected = agreement(original, explain(mixed))
        np.testing.assert_allclose(
            result.rank_correlation[step], np.mean(expected.rank_correlation), atol=1e-12
        )
        np.testing.assert_allclose(result.l1[step], np.mean(expected.l1), atol=1e-12)
    alone = randomization(explain, case.params, other.params, layers, cascading=False)
    expected = agreement(original, explain({**case.params, "w1": other.params["w1"]}))
    np.testing.assert_allclose(
        alone.rank_correlation[2], np.mean(expected.rank_correlation), atol=1e-12
    )


def test_randomization_of_everything_tells_a_good_explanation_from_a_blind_one():
    case = Case(batch=30)
    random = Case(seed=1).params
    good = randomization(explain_by_occlusion(case.args), case.params, random)
    assert good.layers == ("all",)
    assert abs(good.rank_correlation[0]) < 0.3
    blind = randomization(lambda params: case.sources[0], case.params, random)
    np.testing.assert_allclose(blind.rank_correlation, [1.0])
    assert blind.l1.tolist() == [0.0]


def test_randomization_reaches_into_nested_variables():
    variables = {"params": {"Dense_1": {"kernel": 1.0, "bias": 2.0}, "Dense_10": {"kernel": 3.0}}}
    random = jax.tree.map(lambda value: value + 10.0, variables)
    row = np.arange(4.0)[None]

    def explain(variables):
        inner = variables["params"]
        return row * inner["Dense_1"]["kernel"] + inner["Dense_10"]["kernel"] * 100

    steps = randomization(explain, variables, random, ["params/Dense_1", "params/Dense_10"])
    np.testing.assert_allclose(steps.l1, [10 * row.mean(), 10 * row.mean() + 1000])
    with pytest.raises(ValueError, match=r"no variable at 'params/Dense'; there are: params/Dense"):
        randomization(explain, variables, random, ["params/Dense"])
    with pytest.raises(ValueError, match="structure and the shapes"):
        randomization(explain, variables, {"params": {}})


def test_permuted_parameters_keep_their_values():
    params = Case().params
    permuted = permute_parameters(jax.random.key(0), params)
    for name, value in params.items():
        assert np.any(permuted[name] != value)
        np.testing.assert_array_equal(np.sort(permuted[name], axis=None), np.sort(value, axis=None))
