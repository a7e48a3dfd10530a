"""Programs that nobody wrote: the decomposition is the same whichever way it is asked for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import audit, relevance, rules
from tests.oracles.blocks import BLOCKS
from tests.oracles.programs import COUNT, SAMPLES, programs

pytestmark = [
    pytest.mark.usefixtures("x64"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::rfp_jax.RelevanceStopsWarning"),
]

SEED = 1
PRESETS = (rules.lrp0, rules.attnlrp, rules.lrp0, rules.uniform, rules.lrp0, rules.cp_lrp)
BIASES = ("keep", "propagate", "keep", "share")
CLOSE = 1e-8
LEAST = np.float64(1e-4)  # an output of less is what rounding left


@functools.cache
def drawn(seed):
    return list(programs(seed))


def test_each_block_is_drawn():
    names = " ".join(program.name for program in drawn(SEED))
    assert [name for name in BLOCKS if name not in names] == []


@pytest.mark.parametrize("place", range(COUNT))
def test_a_program_has_one_decomposition(place):
    check(drawn(SEED)[place], PRESETS[place % len(PRESETS)], BIASES[place % len(BIASES)])


def check(program, preset, bias):
    """Parts add up; compiled, backwards, without the other sample and exchanged they are equal."""
    a, b = map(jnp.asarray, program.sources)
    fun, options = program.fun, {"rules": preset, "bias": bias}
    explain = relevance(fun, (0, 1), **options)
    rel = jax.jit(explain)(a, b)
    parts = [*rel.sources, rel.bias]
    size = max(float(jnp.abs(part).max()) for part in [*parts, rel.output, LEAST])

    def equal(got, want, what):
        for one, other in zip(got, want, strict=True):
            message = f"{program.name}: {what}"
            np.testing.assert_allclose(one, other, rtol=0, atol=CLOSE * size, err_msg=message)

    equal([rel.output], [fun(a, b)], "output")
    equal([sum(parts)], [rel.output], "sum")
    eager = explain(a, b)
    equal([*eager.sources, eager.bias], parts, "operation by operation")
    alone = jax.jit(explain)(a[:1], b[:1])
    equal([*alone.sources, alone.bias], [part[:1] for part in parts], "a sample alone")
    exchanged = jax.jit(relevance(lambda b, a: fun(a, b), (1, 0), **options))(b, a)
    equal([*exchanged.sources, exchanged.bias], parts, "sources exchanged")
    if bias != "share" and "while" not in program.name:
        weights = jnp.cos(1.0 + jnp.arange(rel.output.size)).reshape(rel.output.shape)
        pull = relevance(fun, (0, 1), outputs=weights, direction="reverse", **options)
        rows = [_of_each_sample(weights * part) for part in rel.sources]
        equal(map(_of_each_sample, jax.jit(pull)(a, b).sources), rows, "backwards")
    if jnp.abs(rel.output).max() > LEAST:
        certificate = audit(fun, (0, 1), rules=preset)(a, b)
        assert certificate.passed, f"{program.name}: {certificate}"


def _of_each_sample(part):
    return part.reshape(SAMPLES, -1).sum(1)
