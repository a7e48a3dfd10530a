"""Functions that are infinite at 0 start at the constant part, which rounding must not make up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from rfp_jax import RelevanceStopsWarning, heatmap, relevance

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 6))
A, B = RNG.normal(size=(2, 3, 6))


def layer(a, b):
    """No constant is added."""
    return a @ W.astype(a.dtype) + b @ W.astype(b.dtype)


def total(x):
    return x.sum(-1)


ADDING_NOTHING = {
    "log of a power": lambda a, b: jnp.log(total(layer(a, b) ** 2)),
    "log of a ReLU": lambda a, b: jnp.log(total(jax.nn.relu(layer(a, b)) + jnp.abs(b))),
    "log of products": lambda a, b: jnp.log(total((layer(a, b) * a) ** 2)),
    "log of an activation function": lambda a, b: jnp.log(total(jax.nn.silu(layer(a, b)) ** 2)),
    "log of a spectrum": lambda a, b: jnp.log(total(jnp.abs(jnp.fft.rfft(layer(a, b))))),
    "log of a greatest": lambda a, b: jnp.log(jnp.max(layer(a, b) ** 2, -1)),
    "log of a loop": lambda a, b: jnp.log(
        total(lax.scan(lambda h, x: (h, (x * x + x * x) / 2), 0.0, layer(a, b))[1])
    ),
    "log in a loop": lambda a, b: lax.map(lambda x: jnp.log(total(x * x)), layer(a, b)),
    "log in a branch": lambda a, b: lax.cond(
        total(total(a)) < 1e6,
        lambda x: jnp.log(total(x**2)),
        lambda x: jnp.log(2 * total(x**2)),
        layer(a, b),
    ),
    "reciprocal": lambda a, b: 1 / total(layer(a, b) ** 2),
    "reciprocal root": lambda a, b: total(layer(a, b) ** 2) ** -0.5,
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ADDING_NOTHING)
def test_where_nothing_was_added_relevance_stops(name, dtype):
    """The remainder of a sum is not 0 in floating point; a reciprocal of that would be huge."""
    with jax.enable_x64(dtype == "float64"):
        a, b = jnp.asarray(A, dtype), jnp.asarray(B, dtype)
        with pytest.warns(RelevanceStopsWarning):
            rel = relevance(ADDING_NOTHING[name], (0, 1))(a, b)
        with pytest.warns(RelevanceStopsWarning):
            heats = heatmap(ADDING_NOTHING[name], (0, 1), outputs=jnp.ones(3, dtype))(a, b)
    np.testing.assert_array_equal(rel.bias, rel.output)
    for part in (*rel.sources, *heats):
        np.testing.assert_array_equal(part, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "network",
    [
        lambda x: jnp.log(total(x**2)),
        lambda x: jnp.log(total(x * x)),
        lambda x: jnp.log(total((x * x[:, ::-1]) ** 2)),
        lambda x: jnp.log(jnp.log1p(total(x * jnp.tanh(x)))),
        lambda x: lax.map(lambda row: jnp.log(total(row**2)), x),
    ],
)
def test_a_bias_of_zeros_is_nothing(network, dtype):
    """As a network has it before it is trained; the form of the program does not say so."""
    with jax.enable_x64(dtype == "float64"):
        a, b, zeros = jnp.asarray(A, dtype), jnp.asarray(B, dtype), jnp.zeros((3, 6), dtype)
        rel = relevance(lambda a, b, bias: network(layer(a, b) + bias), (0, 1))(a, b, zeros)
    for part in rel.sources:
        np.testing.assert_array_equal(part, 0)


@pytest.mark.parametrize("floor", [1e-2, 1e-10])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("behind", [lambda f: f, jax.jit, jax.checkpoint])
def test_what_was_added_is_followed_exactly(floor, dtype, behind):
    """`log(power + floor)` starts at the floor, however far that is below rounding errors."""
    with jax.enable_x64(dtype == "float64"):
        a, b = jnp.asarray(A, dtype), jnp.asarray(B, dtype)

        def level(a, b):
            return jnp.log(behind(lambda x: total(x**2) + floor)(layer(a, b)))

        rel = relevance(level, (0, 1))(a, b)
        heats = heatmap(level, (0, 1), outputs=jnp.ones(3, dtype))(a, b)
    x, from_a, from_b = (A + B) @ W, A @ W, B @ W
    z = (x**2).sum(-1)
    slope = (np.log(z + floor) - np.log(floor)) / z
    for c, row, heat in zip((from_a, from_b), rel.sources, heats, strict=True):
        want = slope * (x * c).sum(-1)
        np.testing.assert_allclose(row, want, rtol=2e-4)
        np.testing.assert_allclose(np.asarray(heat).sum(), want.sum(), rtol=2e-4)
    np.testing.assert_allclose(rel.bias, np.log(floor), rtol=1e-4)


@pytest.mark.parametrize("at_zero", [0.0, 0.25])
def test_the_constant_of_layers_below_counts(at_zero):
    """Constants that layers, products and functions of one variable add, in float64."""

    def below(a, b):
        h = jnp.tanh(a @ W + 0.5) * (b @ W + 1.0) + at_zero
        return total(h**2)

    with jax.enable_x64(True):
        start = np.asarray(below(0 * A, 0 * B))
        pre = relevance(below, (0, 1))(A, B)
        rel = relevance(lambda a, b: jnp.log(below(a, b)), (0, 1))(A, B)
    output, *before, constant = map(np.asarray, jax.tree.leaves(pre))
    assert not np.allclose(start, constant), "the bias is not what the network gives for zeros"
    slope = (np.log(output) - np.log(constant)) / (output - constant)
    for row, own in zip(rel.sources, before, strict=True):
        np.testing.assert_allclose(row, slope * own, rtol=1e-9)


def test_a_quotient_that_is_finite_at_zero_follows_nothing():
    """`x / (1 + exp(-x))` costs what SiLU costs: its start is known."""

    def size(silu):
        network = relevance(lambda a, b: silu(jnp.tanh(layer(a, b) + 0.5) @ W), (0, 1))
        return str(jax.make_jaxpr(network)(A, B)).count("dot_general")

    with jax.enable_x64(True):
        assert size(lambda x: x / (1 + jnp.exp(-x))) == size(jax.nn.silu)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("compiled", [False, True])
def test_what_was_added_is_followed_where_it_is_shared_out(compiled):
    """No constant remains of z, but the line starts at the one that was shared: all of y is given.

    The remainder of z is its rounding errors, or 0, so one place would be given all, the next none.
    """
    a, b = jnp.abs(A) + 0.1, jnp.abs(B) + 0.1

    def network(a, b):
        return jnp.log((a * a + b * b + 0.5).mean(-1))

    explained = relevance(network, (0, 1), bias="share")
    rel = (jax.jit(explained) if compiled else explained)(a, b)
    parts = [x * x + 0.5 * x * x / (a * a + b * b) for x in (np.asarray(a), np.asarray(b))]
    sizes = [part.mean(-1) for part in parts]
    want = [np.log(sum(sizes)) * size / sum(sizes) for size in sizes]
    np.testing.assert_allclose(rel.sources, want, rtol=1e-10)
    np.testing.assert_allclose(rel.bias, 0, atol=1e-12)
