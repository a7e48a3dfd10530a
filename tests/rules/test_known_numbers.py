"""Numbers that are known fill masked places, however they are written; an argument's never do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from rfp_jax import audit, gate, relevance

pytestmark = pytest.mark.usefixtures("x64")

FULL = (1, 2, 4, 4)
SEEN = np.tril(np.ones((4, 4), bool))
QUERY, KEY, VALUE = np.random.default_rng(0).normal(size=(3, 1, 2, 4, 3))


def made(value):
    """A constant that was made beforehand, as a module's are."""
    return lambda: value


FILLS = {
    "number": lambda fill: lambda: fill,
    "array of no axes": lambda fill: lambda: np.array(fill),
    "array of one element": lambda fill: lambda: np.full((1, 1, 1, 1), fill),
    "array of all": lambda fill: lambda: np.full(FULL, fill),
    "row": lambda fill: lambda: np.full(4, fill),
    "JAX, no axes": lambda fill: made(jnp.array(fill)),
    "JAX, one element": lambda fill: made(jnp.full((1, 1), fill)),
    "made inside": lambda fill: lambda: jnp.full(FULL, fill),
    "spread inside": lambda fill: lambda: jnp.broadcast_to(jnp.full((4, 1), fill), FULL),
    "computed inside": lambda fill: lambda: jnp.full(FULL, 2 * jnp.sin(0.0) + fill),
}


def in_place(weights, fill):
    return jnp.where(SEEN, weights, fill)


def in_call(weights, fill):
    return jax.jit(in_place)(weights, fill)


def in_branch(weights, fill):
    return lax.cond(weights.sum() > -1e30, in_place, lambda weights, _: weights, weights, fill)


def in_loop(weights, fill):
    def step(carry, _):
        return carry, in_place(weights, fill)

    return lax.scan(step, 0.0, None, length=2)[1][1]


def in_branch_of_loop(weights, fill):
    def step(carry, _):
        return carry, in_branch(weights, fill)

    return lax.scan(step, 0.0, None, length=2)[1][1]


PLACES = [in_place, in_call, in_branch, in_loop, in_branch_of_loop]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("place", PLACES)
def test_masked_weights_stay_weights(fill, place):
    """All relevance is the values': `output = p v` with p held constant."""
    make = FILLS[fill](0.0)

    def attention(query, key, value):
        weights = jax.nn.softmax(query @ key.swapaxes(-1, -2))
        return place(weights, make()) @ value

    rel = jax.jit(relevance(attention, (0, 1, 2)))(QUERY, KEY, VALUE)
    np.testing.assert_allclose(rel.sources[2], rel.output, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(np.stack(rel.sources[:2]), 0)
    np.testing.assert_allclose(rel.bias, 0, atol=1e-12)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("place", [in_place, in_call, in_branch])
def test_a_mask_is_not_a_signal(fill, place):
    """`jnp.where(seen, scores, -1e30)` under attnlrp, which passes relevance to the scores."""

    def attention(make, place):
        def fun(query, key, value):
            scores = place(query @ key.swapaxes(-1, -2), make())
            return jax.nn.softmax(scores) @ value

        return jax.jit(relevance(fun, (0, 1, 2), rules="attnlrp"))(QUERY, KEY, VALUE)

    given = attention(FILLS[fill](-1e30), place)
    plain = attention(lambda: -1e30, in_place)
    for one, other in zip(jax.tree.leaves(given), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_an_argument_is_not_known_by_its_value():
    """A number that is passed may be any other at the next call: the mask is a function then."""

    def masked(query, fill):
        return jnp.where(SEEN, jax.nn.softmax(query @ query.swapaxes(-1, -2)), fill) @ VALUE

    explain = jax.jit(relevance(masked))
    zero, half = explain(QUERY, np.zeros(FULL)), explain(QUERY, np.full(FULL, 0.5))
    assert np.abs(zero.sources).max() > 0.01
    assert np.abs(half.sources).max() > 0.01


@pytest.mark.slow
def test_a_carry_that_begins_as_a_number_is_not_one():
    """The second step of the loop masks with what the first one made."""

    def net(query, value):
        weights = jax.nn.softmax(query)

        def step(carry, _):
            return carry + weights.sum(), jnp.where(SEEN, weights, carry)

        return lax.scan(step, jnp.zeros(FULL), None, length=2)[1].sum(0) @ value

    def unrolled(query, value):
        weights = jax.nn.softmax(query)
        carry = jnp.zeros(FULL) + weights.sum()
        return (jnp.where(SEEN, weights, 0.0) + jnp.where(SEEN, weights, carry)) @ value

    query = np.random.default_rng(1).normal(size=FULL)
    rel = relevance(net, (0, 1))(query, VALUE)
    np.testing.assert_allclose(rel.output, unrolled(query, VALUE), rtol=1e-12)
    total = rel.sources[0] + rel.sources[1] + rel.bias
    np.testing.assert_allclose(total, rel.output, rtol=1e-12)


ARGUMENTS = {
    "no axes": jnp.array,
    "one element": lambda number: jnp.full((1, 1), number),
    "a leaf of a tree": lambda number: {"fill": jnp.array(number)},
}

GATES = {
    "fill": lambda x, z: in_place(jax.nn.softmax(x), z),
    "fill in a call": lambda x, z: in_call(jax.nn.softmax(x), z),
    "fill in a loop": lambda x, z: in_loop(jax.nn.softmax(x), z),
    "added": lambda x, z: jax.nn.sigmoid(x) + z,
    "bound": lambda x, z: jnp.maximum(jnp.tanh(x), z),
    "exponent": lambda x, z: x ** (z + 2),
    "branch": lambda x, z: lax.cond(z.sum() > 1, jnp.tanh, jax.nn.sigmoid, x),
}


@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize("name", GATES)
def test_the_number_of_an_argument_does_not_count(name, argument):
    """A number that is passed means the same with and without `jit`."""
    x, z = QUERY[0, 0] @ KEY[0, 0].T, ARGUMENTS[argument](0.0)

    def gated(x, value, z):
        return GATES[name](x, jax.tree.leaves(z)[0]) @ value

    explain = relevance(gated, (0, 1))
    concrete, traced = (call(x, VALUE[0, 0], z) for call in (explain, jax.jit(explain)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), concrete, traced
    )


def filled_attention(fill):
    """Attention whose masked places are filled with a 0 that is closed over."""
    make = FILLS[fill](0.0)

    def attention(query, key, value):
        weights = jax.nn.softmax(query @ key.swapaxes(-1, -2))
        return in_place(weights, make()) @ value

    return attention


@pytest.mark.slow
@pytest.mark.parametrize("fill", FILLS)
def test_what_is_closed_over_counts_in_the_audit_too(fill):
    """A certificate walks the same program as relevance: the weights are no signal there."""
    found = audit(filled_attention(fill), (0, 1, 2))(QUERY, KEY, VALUE)
    assert found.passed
    (*_, product) = (entry for entry in found.entries if entry.primitive == "dot_general")
    assert not product.adds_bias
    steering = [hint.text for hint in found.hints if hint.kind == "steers"]
    assert [text.split(" steers")[0] for text in steering] == ["source args[0]", "source args[1]"]


@pytest.mark.parametrize("fill", FILLS)
def test_what_is_closed_over_counts_in_a_gate_too(fill):
    """Also where the gate is differentiated after it was traced."""
    _, pull = jax.vjp(jax.jit(gate(filled_attention(fill), (0, 1, 2))), QUERY, KEY, VALUE)
    of_query, of_key, of_value = pull(np.ones_like(VALUE))
    np.testing.assert_array_equal([of_query, of_key], 0)
    assert np.abs(of_value).max() > 0.1


@pytest.mark.parametrize("fill", FILLS)
def test_bfloat16_fills_are_known(fill):
    make = FILLS[fill](0.0)
    q, k, v = (jnp.asarray(a, jnp.bfloat16) for a in (QUERY, KEY, VALUE))

    def attention(query, key, value):
        weights = jax.nn.softmax(query @ key.swapaxes(-1, -2))
        return in_call(weights, jnp.asarray(make(), jnp.bfloat16)) @ value

    rel = relevance(attention, (0, 1, 2))(q, k, v)
    np.testing.assert_array_equal(np.stack(rel.sources[:2]).astype(float), 0)
