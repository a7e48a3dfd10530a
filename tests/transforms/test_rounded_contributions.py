"""Contributions in half precision beside float32: their error stays below the stated bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from rfp_jax import relevance, rules, sources
from rfp_jax.models import ResNet50, SmallNet
from tests.oracles import blocks, calls

BF16, F16 = jnp.bfloat16, jnp.float16
ROUNDOFF = {BF16: 2.0**-8, F16: 2.0**-11}
FLOAT32 = 1e-5
"""The errors of float32 itself, relative to the same size."""


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layered(weights, *xs):
    x = jnp.concatenate(xs, -1)
    for w in weights:
        x = jax.nn.relu(x @ w)
    return x


def by_hand(weights, *xs):
    """For each source its contributions in float64, and what they would be if nothing canceled."""
    parts = [np.zeros((len(xs[0]), sum(x.shape[1] for x in xs))) for _ in xs]
    for i, x in enumerate(xs):
        start = sum(x.shape[1] for x in xs[:i])
        parts[i][:, start : start + x.shape[1]] = x
    sizes = list(map(np.abs, parts))
    y = jnp.concatenate(xs, -1)
    for w in weights:
        y = y @ w
        is_on = np.asarray(y >= 0)
        y = jax.nn.relu(y)
        wide = w.astype(np.float64)
        parts = [part @ wide * is_on for part in parts]
        sizes = [size @ np.abs(wide) * is_on for size in sizes]
    return parts, sizes


@settings(max_examples=40, deadline=None)
@given(
    depth=st.integers(1, 8),
    dtype=st.sampled_from([BF16, F16]),
    max_error=st.sampled_from([1e-3, 0.01, 0.03, 0.1, 0.5]),
    seed=st.integers(0, 99),
)
def test_the_error_stays_below_the_bound(depth, dtype, max_error, seed):
    xs = numbers(3, 4, seed=seed), numbers(3, 2, seed=seed + 1)
    weights = [numbers(6, 6, seed=seed + 2 + i) for i in range(depth)]
    rel = relevance(layered, (1, 2), dtype=dtype, max_error=max_error)(weights, *xs)
    for found, part, size in zip(rel.sources, *by_hand(weights, *xs), strict=True):
        assert found.dtype == jnp.float32
        assert (np.abs(found - part) <= (max_error + FLOAT32) * size).all()


@pytest.mark.parametrize("dtype", [BF16, F16])
def test_rounding_is_what_a_product_by_hand_in_half_precision_has(dtype):
    """The bound is neither idle nor far away: one product has an error near u, 3 u at most."""
    xs, weights = (numbers(400, 3), numbers(400, 3, seed=1)), [numbers(6, 50, seed=2)]
    rel = relevance(layered, (1, 2), dtype=dtype, max_error=1.0)(weights, *xs)
    errors = [
        np.abs(found - part)[size > 0] / size[size > 0]
        for found, part, size in zip(rel.sources, *by_hand(weights, *xs), strict=True)
    ]
    worst = max(error.max() for error in errors)
    assert 0.9 * ROUNDOFF[dtype] <= worst <= 3.1 * ROUNDOFF[dtype]


def test_below_one_rounding_nothing_is_rounded():
    args = [numbers(6, 6, seed=2)], numbers(3, 4), numbers(3, 2)
    exact = relevance(layered, (1, 2))(*args)
    rel = relevance(layered, (1, 2), dtype=BF16, max_error=0.9 * ROUNDOFF[BF16])(*args)
    for found, right in zip(rel.sources, exact.sources, strict=True):
        np.testing.assert_array_equal(found, right)


def products(fun, *args):
    """The dtypes in which products are computed."""
    names = ("dot_general", "conv_general_dilated")
    found = [
        eqn for eqn in calls.equations(jax.make_jaxpr(fun)(*args)) if eqn.primitive.name in names
    ]
    return [eqn.invars[0].aval.dtype for eqn in found]


def spec(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def network(model, *shapes):
    given = [spec(*shape) for shape in shapes]
    return model.apply, (jax.eval_shape(model.init, jax.random.key(0), *given), *given)


NETWORKS = {  # and their pushes that multiply: a convolution of a whole source is none
    "SmallNet": (lambda: network(SmallNet(), (4, 28, 14, 1), (4, 28, 14, 1)), 2 + 4),
    "ResNet-50": (lambda: network(ResNet50(), (1, 64, 64, 10), (1, 64, 64, 2)), 2 * 53),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_products_of_pushes_are_in_half_precision_as_far_as_the_bound_goes(name):
    make, pushes = NETWORKS[name]
    fun, args = make()
    counts = []
    for max_error in (1e-3, 0.05, 0.5, 100.0):
        dtypes = products(relevance(fun, (1, 2), dtype=BF16, max_error=max_error), *args)
        counts.append(dtypes.count(jnp.dtype(BF16)))
    assert counts == sorted(counts)
    assert 0 == counts[0] < counts[1] < counts[2]
    assert counts[3] == pushes


LOOPS = {
    "scan": lambda x: lax.scan(lambda h, w: (jnp.tanh(h @ w), h[0]), x, numbers(3, 5, 5))[0],
    "while": lambda x: lax.while_loop(
        lambda h: jnp.abs(h).max() > 0.1, lambda h: h @ (0.3 * np.eye(5, dtype=np.float32)), x
    ),
    "cond": lambda x: lax.cond(x.sum() > 0, jnp.tanh, lambda x: x * 0 + 1, x),
    "a loop in a loop": lambda x: lax.fori_loop(
        0, 2, lambda _, h: lax.fori_loop(0, 2, lambda _, h: jnp.sin(h), h), x
    ),
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("bias", ["keep", "propagate"])
def test_nothing_is_rounded_in_loops_and_branches(name, bias):
    w = numbers(5, 5, seed=3)

    def fun(a, b):
        return LOOPS[name](jax.nn.relu((a + b) @ w + 0.1)) @ w

    args = numbers(2, 5, seed=4), numbers(2, 5, seed=5)
    exact = relevance(fun, (0, 1), bias=bias)(*args)
    explained = relevance(fun, (0, 1), bias=bias, dtype=BF16, max_error=0.1)
    rel = explained(*args)
    inside = [
        eqn
        for outer in jax.make_jaxpr(explained)(*args).eqns
        if outer.primitive.name in ("scan", "while", "cond")
        for eqn in calls.equations(outer.params.get("jaxpr") or outer.params.get("body_jaxpr") or
                                   outer.params["branches"][0])
    ]  # fmt: skip
    assert inside
    assert not any(v.aval.dtype == BF16 for eqn in inside for v in eqn.outvars)
    for found, right in zip((*rel.sources, rel.bias), (*exact.sources, exact.bias), strict=True):
        size = np.abs(np.stack(exact.sources)).max()
        np.testing.assert_allclose(found, right, atol=0.1 * size)
    assert float(jnp.abs(rel.sources[0] - exact.sources[0]).max()) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rfp_jax.errors.RelevanceStopsWarning")
@pytest.mark.parametrize("name", sorted(blocks.BLOCKS))
def test_what_networks_are_made_of(name):
    """float32 beside float64, where the error of a few roundings is far below all else."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        block, w = blocks.BLOCKS[name](rng), rng.normal(size=(blocks.C, blocks.C))
        fun = lambda a, b: block((a + b) @ w + 0.1)  # noqa: E731
        args = tuple(map(jnp.asarray, rng.normal(size=(2, 2, blocks.T, blocks.C))))
        exact = relevance(fun, (0, 1))(*args)
        rel = relevance(fun, (0, 1), dtype=jnp.float32, max_error=0.1)(*args)
    size = max(float(np.abs(c).max()) for c in exact.sources)
    for found, right in zip(rel.sources, exact.sources, strict=True):
        assert found.dtype == right.dtype
        np.testing.assert_allclose(found, right, atol=1e-4 * size, rtol=1e-5)


@pytest.mark.parametrize("bias", ["keep", "propagate"])
@pytest.mark.parametrize("steep", [jnp.log, lambda x: 1 / x, lambda x: jnp.sqrt(x * x + 1e-6)])
def test_a_rule_that_asks_for_the_constant_part_gets_it_exactly(steep, bias):
    """The slope starts where the constant is: rounding moves contributions, not slopes."""
    w = np.abs(numbers(5, 5, seed=3))

    def fun(a, b):
        return steep((a + b) @ w + 3.0)

    args = 0.1 * numbers(2, 5, seed=4), 0.1 * numbers(2, 5, seed=5)
    exact = relevance(fun, (0, 1), bias=bias)(*args)
    rel = relevance(fun, (0, 1), bias=bias, dtype=F16, max_error=0.1)(*args)
    size = np.abs(np.stack(exact.sources)).max()
    for found, right in zip(rel.sources, exact.sources, strict=True):
        np.testing.assert_allclose(found, right, atol=4 * ROUNDOFF[F16] * size)


HALF = {"dtype": BF16, "max_error": 1.0}
LIMIT = 0.03


def assert_close(found, right):
    size = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(right))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, atol=LIMIT * size)


@pytest.fixture(scope="module")
def smallnet():
    net = SmallNet()
    a, b = numbers(2, 2, 28, 14, 1)
    return net.apply, (jax.jit(net.init)(jax.random.key(0), a, b), a, b)


OPTIONS = {
    "one output": {"outputs": "argmax"},
    "backwards": {"outputs": "argmax", "direction": "reverse"},
    "parts": {"split": (sources.axis(1), sources.axis(2))},
    "parts one by one": {"split": (sources.axis(1), None), "max_bytes": 1},
    "bias": {"bias": "propagate"},
    "epsilon": {"rules": rules.epsilon(0.1)},
    "gamma": {"rules": rules.gamma(0.25)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_it_goes_with_every_other_option(smallnet, name):
    (fun, args), options = smallnet, OPTIONS[name]
    exact = jax.jit(relevance(fun, (1, 2), **options))(*args)
    rel = jax.jit(relevance(fun, (1, 2), **options, **HALF))(*args)
    assert_close(rel.sources, exact.sources)


@pytest.mark.slow
def test_it_can_be_mapped_and_differentiated(smallnet):
    fun, (variables, a, b) = smallnet

    def alone(a, b, **options):
        return relevance(fun, (1, 2), **options)(variables, a[None], b[None]).sources

    exact = jax.vmap(alone)(a, b)
    assert_close(jax.vmap(lambda a, b: alone(a, b, **HALF))(a, b), exact)

    def loss(variables, **options):
        return (relevance(fun, (1, 2), **options)(variables, a, b).sources[0] ** 2).sum()

    assert_close(jax.grad(lambda v: loss(v, **HALF))(variables), jax.grad(loss)(variables))


def test_what_float16_cannot_hold_is_infinite():
    w = np.full((4, 1), 5e4, np.float32)
    rel = relevance(lambda a, b: (a + b) @ w, (0, 1), dtype=F16, max_error=0.1)(
        np.ones((1, 4), np.float32), np.zeros((1, 4), np.float32)
    )
    assert rel.output.item() == 2e5
    assert not np.isfinite(rel.sources[0]).any()


def test_complex_contributions_stay_as_they_are():
    z = numbers(3) + 1j * numbers(3, seed=1)
    args = z, np.conj(z)
    fun = lambda a, b: jnp.abs((a + b) * (1 + 2j)) * numbers(3, seed=2)  # noqa: E731
    exact = relevance(fun, (0, 1))(*args)
    assert_close(relevance(fun, (0, 1), **HALF)(*args).sources, exact.sources)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error": 0.1}, "max_error=0.1 bounds .*pass the dtype"),
        ({"max_error": 0.0, "dtype": BF16}, "max_error=0.0 must be a positive number"),
        ({"max_error": "0.1", "dtype": BF16}, "max_error='0.1' must be a positive number"),
        ({"max_error": float("nan"), "dtype": BF16}, "max_error=nan must be a positive number"),
        ({**HALF, "bias": "share"}, "max_error=1.0 .*bias='share' .*leave dtype and max_error"),
        ({**HALF, "rules": rules.flat()}, "max_error=1.0 .*the rules .*leave dtype and max_error"),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_call(options, message):
    with pytest.raises(ValueError, match=message):
        relevance(jnp.tanh, **options)


def test_a_dtype_that_is_no_narrower_needs_no_bound():
    message = "dtype=float32 adds, but sources and outputs are float32, .*leave max_error away"
    with pytest.raises(ValueError, match=message):
        relevance(jnp.tanh, dtype=jnp.float32, max_error=0.1)(numbers(3))
