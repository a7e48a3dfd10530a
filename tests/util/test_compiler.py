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
    """Count a compiled program's convolutions that are in kernels of YNNPACK."""
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


@pytest.mark.slow
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


def program(dtype, network="conv"):
    from flax import linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(2, (3, 3))(x) if network == "conv" else nn.Dense(2)(x)
            return jax.lax.map(nn.relu, x).sum((1, 2))

    image = jnp.ones((1, 6, 6, 1), dtype)
    variables = Net().init(jax.random.key(0), image)
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype), variables)
    explain = rfp_jax.relevance(Net().apply, 1)
    return explain, variables, image


@pytest.mark.parametrize(
    ("dtype", "network", "helped"),
    [("float32", "conv", True), ("bfloat16", "conv", True), ("float64", "conv", False),
     ("float32", "dense", False)],
)  # fmt: skip
def test_options_are_for_convolutions_that_are_not_in_double_precision(dtype, network, helped):
    with jax.enable_x64(dtype == "float64"):
        explain, *arguments = program(dtype, network)
        traced = jax.jit(jax.jit(explain)).trace(*arguments)
    found = compiler.options_for(traced.jaxpr, "cpu")
    assert found == (rfp_jax.compiler_options("cpu") if helped else {})
    assert compiler.options_for(traced.jaxpr, "gpu") == {}


def test_jit_is_jax_jit_with_the_options_that_suit(network, monkeypatch):
    asked = []
    jitted = jax.jit

    def watched(fun, **options):
        asked.append(options)
        return jitted(fun, **options)

    monkeypatch.setattr(jax, "jit", watched)
    explain_quickly = rfp_jax.jit(explain)
    found = explain_quickly(*network)
    explain_quickly(*network)  # decided once
    assert asked == [{}, {"compiler_options": rfp_jax.compiler_options()}]
    monkeypatch.undo()
    expected = jax.jit(explain)(*network)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), found, expected)


def test_jit_works_inside_transformations_with_static_arguments_and_numbers():
    def fun(x, power, scale=1.0):
        return scale * x**power

    quick = rfp_jax.jit(fun, static_argnums=1)
    assert float(quick(jnp.array(3.0), 2, scale=2.0)) == 18.0
    assert float(quick(jnp.array(3.0), 3, scale=3.0)) == 81.0
    assert float(jax.grad(quick)(3.0, 2)) == 6.0
    assert jax.jit(lambda x: quick(x, 2))(jnp.arange(3.0)).tolist() == [0.0, 1.0, 4.0]
    assert quick.__name__ == "fun"
    with pytest.raises(TypeError, match="chooses compiler_options itself"):
        rfp_jax.jit(fun, compiler_options={})


def test_jit_lowers_what_a_call_computes(network):
    quick = rfp_jax.jit(explain)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), network)
    assert str(quick.trace(*shapes).jaxpr) == str(jax.jit(explain).trace(*shapes).jaxpr)
    program = quick.lower(*shapes).compile()
    if jax.default_backend() == "cpu":
        assert fused_convolutions(program) == 0
    jax.tree.map(np.testing.assert_array_equal, program(*network), quick(*network))


def test_jit_lowers_other_programs_as_jax_jit_does():
    quick = rfp_jax.jit(lambda x, power: x**power, static_argnums=1)
    lowered = quick.lower(jax.ShapeDtypeStruct((2,), jnp.float32), 3)
    assert lowered.compile()(jnp.array([2.0, 3.0])).tolist() == [8.0, 27.0]


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


@pytest.mark.slow
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


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are for CPUs")
@pytest.mark.parametrize("as_the_suite", [True, False])
def test_a_program_that_runs_once_is_traced_once_and_optimized_little(
    monkeypatch, network, as_the_suite
):
    """Whoever tells JAX to optimize even less, as this suite does, is not contradicted."""
    traced, options = [], []
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", as_the_suite)
    whole = jax.stages.Lowered.compile

    def compile(lowered, compiler_options=None):
        options.append(compiler_options)
        return whole(lowered, compiler_options)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile)

    def counted(*arguments):
        traced.append(1)
        return explain(*arguments)

    try:
        found = compiler.run_once(counted, *network)
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
    assert len(traced) == 1
    chosen = options[-1]  # before it, XLA may have been asked what it knows
    level = {} if as_the_suite else {"xla_backend_optimization_level": "1"}
    assert chosen == {**level, **rfp_jax.compiler_options()}
    expected = jax.jit(explain)(*network)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), found, expected)
