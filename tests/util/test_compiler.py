"""Options of XLA: the kernels that they leave out, the same results, and versions without them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from rfp_jax._util import compiler
from rfp_jax.models import SmallNet
from rfp_jax.tables._evaluate import devices
from rfp_jax.tables._evaluate.samples import Schema


def fused_convolutions(program):
    """How many of a compiled program's convolutions are in kernels of YNNPACK."""
    computations = program.as_text().split("\n\n")
    kernels = [text for text in computations if " convolution(" in text and "ENTRY" not in text]
    return len(kernels)


@pytest.fixture(scope="module")
def network():
    keys = jax.random.split(jax.random.key(0), 3)
    left, right = (jax.random.normal(key, (16, 28, 14, 1)) for key in keys[:2])
    return SmallNet().init(keys[2], left, right), left, right


def explain(*arguments):
    return rfp_jax.relevance(SmallNet().apply, (1, 2))(*arguments)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are for CPUs")
def test_on_a_cpu_they_leave_out_the_kernels_that_cost_more(network):
    lowered = jax.jit(explain).lower(*network)
    default = lowered.compile()
    chosen = lowered.compile(rfp_jax.compiler_options())
    if not fused_convolutions(default):
        pytest.skip("this XLA has no such kernels")
    assert fused_convolutions(chosen) == 0


def test_results_are_the_same(network):
    lowered = jax.jit(explain).lower(*network)
    expected = lowered.compile()(*network)
    found = lowered.compile(rfp_jax.compiler_options())(*network)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), found, expected)


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_accelerators_need_none(platform):
    assert rfp_jax.compiler_options(platform) == {}


def test_a_version_of_xla_that_does_not_know_them_gets_none(monkeypatch):
    monkeypatch.setattr(compiler, "_PLAIN_CONVOLUTIONS", {"xla_no_such_option": ""})
    compiler._is_known.cache_clear()
    try:
        assert rfp_jax.compiler_options("cpu") == {}
    finally:
        compiler._is_known.cache_clear()


def test_the_answer_is_the_callers_own():
    rfp_jax.compiler_options("cpu").clear()
    assert rfp_jax.compiler_options("cpu") == compiler._PLAIN_CONVOLUTIONS


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are for CPUs")
def test_evaluation_compiles_with_them(network):
    variables, *sources = network
    schema = Schema(tuple(jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in sources), None, {})
    step = devices.compile_batch(explain, variables, schema, 4, jax.devices("cpu")[:1])
    assert fused_convolutions(step.run) == 0
    found = step([np.asarray(x[:4]) for x in sources])
    np.testing.assert_allclose(
        jnp.stack(found.sources),
        jnp.stack(explain(variables, *(x[:4] for x in sources)).sources),
        atol=2e-6,
    )
