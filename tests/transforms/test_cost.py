"""Bounds on relevance's cost: counted by XLA, the same on every machine and every run."""

import os

import jax
import jax.numpy as jnp
import pytest

from rfp_jax import heatmap, relevance, sources
from rfp_jax.models import FusionResNet18, ResNet50, SmallNet


@pytest.fixture(autouse=True)
def optimized():
    """Count what users run: the suite compiles without most optimizations."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    quick = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] != "0"
    jax.config.update("jax_disable_most_optimizations", quick)


def spec(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def make(model, *sources):
    variables = jax.eval_shape(model.init, jax.random.key(0), *sources)
    return model.apply, (variables, *sources)


NETWORKS = {
    "SmallNet": lambda: make(SmallNet(), *[spec(64, 28, 14, 1)] * 2),
    "ResNet-50": lambda: make(ResNet50(), spec(1, 64, 64, 10), spec(1, 64, 64, 2)),
    "FusionResNet18": lambda: make(FusionResNet18(), spec(1, 64, 64, 10), spec(1, 64, 64, 2)),
}

LIMITS = {  # operations, bytes and peak memory, relative to the forward pass
    "SmallNet": (2.0, 3.5, 2.3),
    "ResNet-50": (2.92, 2.9, 1.2),
    "FusionResNet18": (1.90, 1.7, 1.2),
}


def cost(fun, args):
    compiled = jax.jit(fun).lower(*args).compile()
    memory = compiled.memory_analysis()
    taken = memory.argument_size_in_bytes + memory.output_size_in_bytes
    counted = compiled.cost_analysis()
    return counted["flops"], counted["bytes accessed"], taken + memory.temp_size_in_bytes


@pytest.mark.parametrize("network", NETWORKS)
def test_relevance_of_two_sources(network):
    fun, args = NETWORKS[network]()
    plain, explained = cost(fun, args), cost(relevance(fun, (1, 2)), args)
    for name, one, other, limit in zip(
        ("operations", "bytes", "memory"), explained, plain, LIMITS[network], strict=True
    ):
        assert one / other <= limit, name


@pytest.mark.parametrize("network", ["SmallNet", "FusionResNet18"])
def test_heatmap_costs_one_more_pass(network):
    fun, args = NETWORKS[network]()
    plain, explained = cost(fun, args), cost(heatmap(fun, (1, 2)), args)
    assert explained[0] / plain[0] <= 2.05


def convolutions(fun, args):
    return jax.jit(fun).lower(*args).as_text().count("stablehlo.convolution")


def test_number_of_convolutions():
    """A branch's source: the plain pass and its own. Two joined sources: one more each."""
    fun, args = NETWORKS["FusionResNet18"]()
    plain = convolutions(fun, args)
    explained = convolutions(relevance(fun, (1, 2)), args)
    assert plain == 40
    assert explained <= 2 * plain
    fun, args = NETWORKS["ResNet-50"]()
    plain = convolutions(fun, args)
    explained = convolutions(relevance(fun, (1, 2)), args)
    assert plain == 53
    assert explained <= 3 * plain + 2  # the joined input's own, which XLA drops as unused


def test_sources_of_one_array_do_not_repeat_the_plain_pass():
    """Sixteen bands: the network is frozen once; only its linear part is mapped over them."""

    def net(w, x):
        return jax.nn.relu(x @ w) @ w

    args = (spec(16, 16), spec(4, 16))
    text = jax.jit(relevance(net, 1, split=sources.axis(-1))).lower(*args).as_text()
    assert text.count("stablehlo.dot_general") == 4  # two plain, two in the body of the loop
