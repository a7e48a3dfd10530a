"""Bounds on relevance's cost: counted by XLA, the same on every machine and every run.

XLA counts behind its own optimizations; those of LLVM, which the suite does without, come after.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.speed.unet import kernels, unet
from benchmarks.speed.workloads import VisionTransformer
from rfp_jax import audit, gate, heatmap, relevance, sources
from rfp_jax._transforms import survey
from rfp_jax.models import FusionResNet18, ResNet50, SmallNet
from tests.oracles import calls


def spec(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def make(model, *sources):
    variables = jax.eval_shape(model.init, jax.random.key(0), *sources)
    return model.apply, (variables, *sources)


NETWORKS = {
    "SmallNet": lambda: make(SmallNet(), *[spec(64, 28, 14, 1)] * 2),
    "ResNet-50": lambda: make(ResNet50(), spec(1, 64, 64, 10), spec(1, 64, 64, 2)),
    "FusionResNet18": lambda: make(FusionResNet18(), spec(1, 64, 64, 10), spec(1, 64, 64, 2)),
    "ViT": lambda: make(VisionTransformer(), spec(8, 64, 64, 10), spec(8, 64, 64, 2)),
    "U-Net": lambda: (unet, (_weights(), spec(1, 64, 64, 10), spec(1, 64, 64, 2))),
}


def _weights():
    return jax.eval_shape(partial(kernels, 12))


LIMITS = {  # operations, bytes and peak memory, relative to the forward pass
    "SmallNet": (2.0, 3.5, 2.3),
    "ResNet-50": (2.92, 2.9, 1.2),
    "FusionResNet18": (1.90, 1.7, 1.2),
    "ViT": (2.67, 3.7, 1.7),
    "U-Net": (2.97, 3.8, 2.3),
}


def cost(fun, args):
    compiled = jax.jit(fun).lower(*args).compile()
    memory = compiled.memory_analysis()
    taken = memory.argument_size_in_bytes + memory.output_size_in_bytes
    counted = compiled.cost_analysis()
    return counted["flops"], counted["bytes accessed"], taken + memory.temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_relevance_of_two_sources(network):
    fun, args = NETWORKS[network]()
    plain, explained = cost(fun, args), cost(relevance(fun, (1, 2)), args)
    for name, one, other, limit in zip(
        ("operations", "bytes", "memory"), explained, plain, LIMITS[network], strict=True
    ):
        assert one / other <= limit, name


@pytest.mark.slow
@pytest.mark.parametrize("network", ["SmallNet", "FusionResNet18"])
def test_heatmap_costs_one_more_pass(network):
    fun, args = NETWORKS[network]()
    plain, explained = cost(fun, args), cost(heatmap(fun, (1, 2)), args)
    assert explained[0] / plain[0] <= 2.05


def convolutions(fun, args):
    return jax.jit(fun).lower(*args).as_text().count("stablehlo.convolution")


@pytest.mark.slow
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


def equations(fun, *args):
    """The number of equations, those of bodies of loops among them."""
    return sum(1 for _ in calls.equations(jax.make_jaxpr(fun)(*args)))


@pytest.mark.parametrize("max_bytes", [2**40, 1], ids=["all at one time", "one by one"])
def test_the_program_does_not_grow_with_the_parts_of_a_split(max_bytes):
    fun, (variables, left, right) = NETWORKS["SmallNet"]()
    ids = np.arange(28 * 14).reshape(28, 14, 1)

    def size(count):
        split = sources.segments(ids % count)
        explained = relevance(fun, 1, split=split, max_bytes=max_bytes)
        return equations(explained, variables, left, right)

    assert size(256) == size(16)


def test_the_network_is_not_repeated_for_more_sources():
    """All that 80 sources have beyond 17 stands around the network, however deep it is."""

    def net(w, *xs):
        x = jnp.stack(xs).sum(0)
        for _ in range(len(w)):
            x = jax.nn.relu(x @ w[0])
        return x

    def size(depth, count):
        args = (spec(depth, 4, 4), *[spec(2, 4)] * count)
        return equations(relevance(net, tuple(range(1, 1 + count))), *args)

    deep, flat = (size(depth, 80) - size(depth, 17) for depth in (12, 2))
    assert deep == flat
    assert flat <= 22 * (80 - 17)


def test_a_chain_of_elementwise_functions_is_pushed_as_one():
    """One multiplication an element, however long the chain is."""
    functions = [jnp.tanh, jnp.sin, jnp.exp, jnp.cos, jnp.arctan, jnp.sinh]

    def pushed(length):
        def chain(x):
            for function in functions[:length]:
                x = function(x)
            return x

        x = jnp.full(8, 0.5)
        _, push = jax.linearize(gate(chain), x)
        return [eqn.primitive.name for eqn in calls.equations(jax.make_jaxpr(push)(x))]

    assert pushed(6).count("mul") == 1
    assert sorted(pushed(6)) == sorted(pushed(1))


@pytest.mark.slow
def test_the_certificate_costs_some_forward_passes(monkeypatch):
    """Its operations, of all tests of all equations, as multiples of the forward pass."""
    fun, shapes = NETWORKS["SmallNet"]()
    args = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), shapes)
    counted = []

    def run_once(measure, *arguments):
        compiled = jax.jit(measure).lower(*arguments).compile()
        counted.append(compiled.cost_analysis()["flops"])
        return compiled(*arguments)

    monkeypatch.setattr(survey, "run_once", run_once)
    assert audit(fun, (1, 2))(*args).passed
    (flops,) = counted
    assert flops / cost(fun, shapes)[0] <= 10


def temporary(fun, args):
    return jax.jit(fun).lower(*args).compile().memory_analysis().temp_size_in_bytes


def test_parts_of_a_split_keep_to_their_memory():
    """Parts pushed at one time fit `max_bytes`, beside the frozen program and a single push."""
    fun, args = NETWORKS["SmallNet"]()
    split = sources.segments(np.arange(28 * 14).reshape(28, 14, 1))

    def taken(max_bytes):
        return temporary(relevance(fun, 1, split=split, max_bytes=max_bytes), args)

    single, many = taken(1), taken(2**26)
    assert single <= 2.3 * temporary(fun, args)
    assert single < many <= single + 2**26


FUSIONS = {  # two sources and the layers behind them: pushes of both that are equal
    "a product": lambda a, b, w: a * b,
    "an einsum": lambda a, b, w: jnp.einsum("bi,bi->bi", a, b),
    "of layers": lambda a, b, w: (a @ w) * (b @ w),
    "turned round": lambda a, b, w: -(a * jnp.reshape(b.T, (-1, 4)).T),
    "of powers": lambda a, b, w: (a * a) * (b * b),
}


@pytest.mark.parametrize("name", FUSIONS)
def test_contributions_that_are_equal_by_symmetry_are_pushed_once(name):
    def net(w, a, b):
        x = FUSIONS[name](a, b, w)
        for _ in range(4):
            x = jax.nn.relu(x @ w)
        return x

    args = (spec(64, 64), spec(4, 64), spec(4, 64))
    plain, explained = (cost(fun, args)[0] for fun in (net, relevance(net, (1, 2))))
    assert explained / plain <= 2.05


def test_contributions_that_are_not_equal_are_not_taken_for_equal():
    """Two thirds of `a a b` are of a; with a constant, a product has no symmetry."""
    a, b = jnp.asarray(2.0), jnp.asarray(5.0)
    for fun, right in [
        (lambda a, b: a * a * b, [40 / 3, 20 / 3]),
        (lambda a, b: a * b * b, [50 / 3, 100 / 3]),
        (lambda a, b: a * b + a, [7.0, 5.0]),
        (lambda a, b: (a + 1) * b, [5.0, 10.0]),
        (lambda a, b: (a + 1) * (b + 1), [7.0, 10.0]),
    ]:
        np.testing.assert_allclose(relevance(fun, (0, 1))(a, b).sources, right, rtol=1e-6)
