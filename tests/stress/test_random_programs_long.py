"""Hundreds of random programs, in every preset and with every treatment of the bias."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from transforms.test_random_programs import BIASES, PRESETS, check

from tests.oracles.programs import programs

pytestmark = [
    pytest.mark.usefixtures("x64"),
    pytest.mark.filterwarnings("ignore::rfp_jax.RelevanceStopsWarning"),
]


@pytest.mark.parametrize("seed", range(10, 20))
def test_programs_have_one_decomposition(seed, subtests):
    choices = itertools.product(PRESETS, BIASES)
    for program, (preset, bias) in zip(programs(seed), itertools.cycle(choices)):
        output = program.fun(*map(jnp.asarray, program.sources))
        with subtests.test(program.name):
            if np.isfinite(output).all():
                check(program, preset, bias)
