"""Arguments, trees and auxiliary outputs: the conventions of `jax.grad`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import Relevance, gate, relevance
from tests.transforms.two_sources import close, net

# --- Structure: the conventions of jax.grad


def sums(a, b, c):
    return a + 2.0 * b + 3.0 * c


def test_argnums():
    one, two, three = jnp.float32(1.0), jnp.float32(10.0), jnp.float32(100.0)
    rel = relevance(sums)(one, two, three)
    assert isinstance(rel, Relevance)
    assert (float(rel.sources), float(rel.bias), float(rel.output)) == (1.0, 320.0, 321.0)
    assert float(relevance(sums, 2)(one, two, three).sources) == 300.0
    assert float(relevance(sums, -1)(one, two, three).sources) == 300.0
    rel = relevance(sums, (2, 0))(one, two, three)
    assert list(map(float, rel.sources)) == [300.0, 1.0]
    assert list(map(float, relevance(sums, (-1, 0))(one, two, three).sources)) == [300.0, 1.0]
    assert list(map(float, relevance(sums, [1])(one, two, three).sources)) == [20.0]
    assert isinstance(relevance(sums, (0,))(one, two, three).sources, tuple)
    assert float(relevance(sums, np.int64(1))(one, two, three).sources) == 20.0


def test_python_numbers_are_sources():
    rel = relevance(sums, (0, 1, 2))(1.0, 10.0, 100.0)
    assert list(map(float, rel.sources)) == [1.0, 20.0, 300.0]


def test_trees_of_sources_keep_their_structure():
    sources = {"optical": jnp.ones(3), "radar": (jnp.ones(3), {"vv": 2 * jnp.ones(3)})}

    def fun(scale, sources):
        vh, rest = sources["radar"]
        return scale * (sources["optical"] + 2 * vh) + rest["vv"]

    rel = relevance(fun, 1)(5.0, sources)
    assert jax.tree.structure(rel.sources) == jax.tree.structure(sources)
    close(rel.sources["optical"], np.full(3, 5.0))
    close(rel.sources["radar"][0], np.full(3, 10.0))
    close(rel.sources["radar"][1]["vv"], np.full(3, 2.0))
    rel = relevance(fun, (1,))(5.0, sources)
    assert jax.tree.structure(rel.sources) == jax.tree.structure((sources,))


def test_trees_of_outputs():
    def fun(x, y):
        return {"sum": x + y, "parts": [x * 2.0, jnp.argmax(y), (y.sum(), 7.0)]}

    x, y = jnp.array([1.0, 2.0]), jnp.array([5.0, 3.0])
    rel = relevance(fun, (0, 1))(x, y)
    plain = fun(x, y)
    for part in (rel.output, *rel.sources, rel.bias):
        assert jax.tree.structure(part) == jax.tree.structure(plain)
    close(rel.sources[0]["sum"], x)
    close(rel.sources[1]["parts"][2][0], 8.0)
    close(rel.sources[1]["parts"][2][1], 0.0)
    close(rel.bias["parts"][2][1], 7.0)
    close(rel.sources[1]["parts"][1], 0)  # a place carries no relevance
    close(jax.tree.map(lambda o, a, b, c: o - a - b - c, rel.output, *rel.sources, rel.bias),
          jax.tree.map(jnp.zeros_like, rel.output))  # fmt: skip


def test_has_aux():
    def fun(x):
        return 2 * x, {"hidden": x + 1, "count": 3}

    rel, aux = relevance(fun, has_aux=True)(jnp.array([1.0]))
    close(rel.sources, [2.0])
    close(aux["hidden"], [2.0])
    assert aux["count"] == 3
    rel, aux = jax.jit(relevance(fun, has_aux=True))(jnp.array([1.0]))
    close([rel.sources, aux["hidden"]], [[2.0], [2.0]])


def test_aux_that_is_no_array():
    """As in `jax.grad`: what is not explained may be anything."""
    rel, aux = relevance(lambda x: (2 * x, {"name": "model"}), has_aux=True)(jnp.array([1.0]))
    close(rel.sources, [2.0])
    assert aux == {"name": "model"}


def test_keyword_arguments_and_other_objects():
    rel = relevance(lambda x, mode, *, scale: x * scale if mode == "on" else x)(
        jnp.array([2.0]), "on", scale=3.0
    )
    close(rel.sources, [6.0])


def test_an_output_without_sources_is_all_bias():
    rel = relevance(lambda x: jnp.ones(3), 0)(jnp.ones(2))
    close([rel.sources, rel.bias], [np.zeros(3), np.ones(3)])


def test_a_source_that_is_the_output():
    rel = relevance(lambda x, y: (x, y), (0, 1))(jnp.ones(2), 2 * jnp.ones(2))
    close(rel.sources[0], (np.ones(2), np.zeros(2)))
    close(rel.sources[1], (np.zeros(2), 2 * np.ones(2)))


def test_an_empty_source():
    rel = relevance(lambda x, y: jnp.concatenate([x, y]), (0, 1))(jnp.ones((0,)), jnp.ones(2))
    close(rel.sources, (np.zeros(2), np.ones(2)))


def test_name_and_docstring_are_kept():
    assert relevance(net).__name__ == "net"
    assert gate(net).__doc__ == net.__doc__


@pytest.mark.slow
def test_a_long_chain_of_elementwise_operations():
    """An unrolled recurrence of many steps is a chain, not a recursion."""

    def chain(x):
        h = x
        for _ in range(500):
            h = jnp.sin(h) + 0.5
        return x * h

    x = jnp.array([0.3, 0.7])
    rel = relevance(chain)(x)
    close(rel.sources + rel.bias, chain(x), rtol=1e-5)
