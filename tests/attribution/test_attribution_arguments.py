"""Arguments that do not fit an attribution method are refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax.attribution import (
    accuracy,
    deletion,
    gradient_x_input,
    integrated_gradients,
    occlusion,
    perceptual_score,
    perceptual_score_exact,
    shape_score,
    shapley_sampled,
)
from tests.attribution.four_sources import ARGNUMS, Case, arranged, network

pytestmark = pytest.mark.usefixtures("x64")


def test_arguments_that_do_not_fit_are_refused():
    case = Case()
    for argnums, error, message in (
        ((1, 9), ValueError, "points past the 4 positional arguments"),
        ((), ValueError, "argnums is empty"),
        ((1, -3), ValueError, "names an argument twice"),
        ("ab", TypeError, "int or a tuple of ints, got 'ab'"),
    ):
        with pytest.raises(error, match=message):
            occlusion(network, argnums)(*case.args)
    with pytest.raises(ValueError, match="hold no array"):
        occlusion(lambda x: jnp.ones(3))({})
    with pytest.raises(ValueError, match="a number or arranged like the sources"):
        occlusion(network, ARGNUMS, baseline=(0.0, 1.0))(*case.args)
    with pytest.raises(ValueError, match=r"dtype int\d+ cannot hold the baseline 0.5"):
        occlusion(lambda x: 1.5 * x, baseline=0.5)(jnp.arange(3))
    with pytest.raises(TypeError, match="floating-point sources, got int"):
        gradient_x_input(lambda x: x * 1.5)(jnp.arange(3))


def test_data_that_do_not_fit_are_refused():
    case = Case()
    with pytest.raises(ValueError, match="same number of samples"):
        shape_score(network, ARGNUMS)(case.labels[:-1], *case.args)
    with pytest.raises(ValueError, match="same number of samples"):
        perceptual_score_exact(lambda x: x)(jnp.zeros(0, int), jnp.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"output must be \[B, K\] and labels \[B\]"):
        accuracy(jnp.zeros(3), jnp.zeros(3, int))
    with pytest.raises(ValueError, match="relevance must be arranged like the sources"):
        deletion(network, ARGNUMS)((np.zeros((6, 5)),), case.labels, *case.args)
    with pytest.raises(ValueError, match="each relevance shaped like them"):
        deletion(network, ARGNUMS)(arranged([np.zeros((6, 4))] * 4), case.labels, *case.args)
    without = np.where(np.arange(6) == 2, -1, case.labels)
    with pytest.raises(ValueError, match=r"targets must be 0 to 4, got -1 to \d: leave out"):
        deletion(network, ARGNUMS)(arranged([np.zeros((6, 5))] * 4), without, *case.args)


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="permutations must be at least 1, got 0"):
        shapley_sampled(network, ARGNUMS, permutations=0)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        perceptual_score(network, ARGNUMS, draws=0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        integrated_gradients(network, ARGNUMS, steps=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        shape_score(network, ARGNUMS, batch_size=0)
