"""Joined arrays before weights: each goes through its own block, and that is what it costs."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from rfp_jax import audit, relevance
from rfp_jax.rules import _joined

pytestmark = pytest.mark.usefixtures("x64")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def convolve(x, kernel, numbers=("NHWC", "HWIO", "NHWC"), **options):
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=numbers, **options)


def by_zeros(fun, sources):
    """The paper's definition for a linear operation: each source alone, all others zero."""
    nothing = fun(*map(np.zeros_like, sources))
    alone = [
        fun(*(x if i == j else np.zeros_like(x) for j, x in enumerate(sources))) - nothing
        for i in range(len(sources))
    ]
    return alone, nothing


NET = {
    "convolution": lambda a, b, c: convolve(
        jnp.concatenate([a, b, c], -1), numbers(3, 3, 7, 4, seed=5)
    ),
    "channels first": lambda a, b, c: convolve(
        jnp.concatenate([a, b, c], -1).transpose(0, 3, 1, 2),
        numbers(4, 7, 3, 3, seed=5),
        ("NCHW", "OIHW", "NCHW"),
    ),
    "joined channels first": lambda a, b, c: convolve(
        jnp.concatenate([x.transpose(0, 3, 1, 2) for x in (a, b, c)], 1),
        numbers(4, 7, 3, 3, seed=5),
        ("NCHW", "OIHW", "NCHW"),
    ),
    "dense": lambda a, b, c: jnp.concatenate([a, b, c], -1) @ numbers(7, 5, seed=5),
    "weights first": lambda a, b, c: jnp.einsum(
        "of,bhwf->bhwo", numbers(5, 7, seed=5), jnp.concatenate([a, b, c], -1)
    ),
    "with a constant between": lambda a, b, c: (
        jnp.concatenate([a, jnp.ones((2, 4, 6, 2)), b, c], -1) @ numbers(9, 5, seed=5)
    ),
    "twice the same": lambda a, b, c: (
        jnp.concatenate([a, b, a + c[..., :1]], -1) @ numbers(9, 5, seed=5)
    ),
    "along what is not summed": lambda a, b, c: (
        jnp.concatenate([a[..., :1], b[..., :1], c], 1) @ numbers(1, 5, seed=5)
    ),
    "two summed axes": lambda a, b, c: jnp.einsum(
        "bhwf,wfo->bho", jnp.concatenate([a, b, c], -1), numbers(6, 7, 5, seed=5)
    ),
    "in groups": lambda a, b, c: convolve(
        jnp.concatenate([a, b, c, c], -1), numbers(3, 3, 4, 6, seed=5), feature_group_count=2
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("net", NET)
def test_relevance_is_that_of_each_source_alone(net):
    sources = [numbers(2, 4, 6, n, seed=n) for n in (3, 3, 1)]
    alone, nothing = by_zeros(NET[net], sources)
    rel = jax.jit(relevance(NET[net], (0, 1, 2)))(*sources)
    np.testing.assert_allclose(np.stack(rel.sources), np.stack(alone), atol=1e-12)
    np.testing.assert_allclose(rel.bias, nothing, atol=1e-12)
    report = audit(NET[net], (0, 1, 2))(*sources)
    assert report.residual < 1e-12
    assert {entry.kind for entry in report.entries} == {"linear"}


def test_one_source_in_two_of_three_places():
    a, b = numbers(2, 3, seed=1), numbers(2, 4, seed=2)

    def net(a, b):
        return jnp.concatenate([a, b, 2 * a], -1) @ numbers(10, 5, seed=5)

    alone, _ = by_zeros(net, [a, b])
    np.testing.assert_allclose(np.stack(relevance(net, (0, 1))(a, b).sources), alone, atol=1e-12)


FLATTENED = {  # the shapes of two arrays, the axis along which they are joined, and the new shape
    "channels last": ((2, 3, 4, 2), (2, 3, 4, 5), 3, (2, -1)),
    "channels first": ((2, 2, 3, 4), (2, 5, 3, 4), 1, (2, -1)),
    "rows": ((2, 3, 4, 2), (2, 1, 4, 2), 1, (2, -1)),
    "sides of one": ((2, 1, 1, 3), (2, 1, 1, 1), 3, (2, -1)),
    "places stay": ((2, 3, 4, 2), (2, 3, 4, 5), 3, (6, -1)),
    "samples joined": ((2, 3, 4), (1, 3, 4), 0, (3, -1)),
    "places become samples": ((2, 3, 4, 2), (2, 3, 4, 5), 3, (24, -1)),
    "split again": ((2, 12, 2), (2, 12, 5), 2, (2, 3, -1)),
}


@pytest.mark.parametrize("case", FLATTENED)
@pytest.mark.parametrize("is_constant", [False, True], ids=["two sources", "one is a constant"])
@pytest.mark.parametrize("rows", [1, _joined.ROWS], ids=["by blocks", "few rows"])
def test_relevance_of_a_flattened_join(case, is_constant, rows, monkeypatch):
    monkeypatch.setattr(_joined, "ROWS", rows)  # the arrays here are small
    *shapes, axis, shape = FLATTENED[case]
    x, y = (numbers(*one, seed=i) for i, one in enumerate(shapes))
    weights = numbers(np.concatenate([x, y], axis).reshape(shape).shape[-1], 3, seed=5)

    def net(x, y):
        return jnp.concatenate([x, y], axis).reshape(shape) @ weights

    (own, other), _ = by_zeros(net, [x, y])
    if is_constant:
        rel = relevance(net)(x, y)
        np.testing.assert_allclose(rel.sources, own, atol=1e-12)
        np.testing.assert_allclose(rel.bias, other, atol=1e-12)
    else:
        rel = relevance(net, (0, 1))(x, y)
        np.testing.assert_allclose(np.stack(rel.sources), np.stack([own, other]), atol=1e-12)
        report = audit(net, (0, 1))(x, y)  # the transpose, too
        assert report.residual < 1e-12
        assert not report.guilty


def test_each_source_costs_its_own_block():
    """Ten bands and two: the second pass over the weights is shared between them."""
    optical, sar = numbers(1, 8, 8, 10), numbers(1, 8, 8, 2)
    kernel = numbers(3, 3, 12, 16, seed=5)

    def first(optical, sar):
        return convolve(jnp.concatenate([optical, sar], -1), kernel)

    text = jax.jit(relevance(first, (0, 1))).lower(optical, sar).compile().as_text()
    assert sorted(_input_channels(text)) == [2, 10, 12]


def _input_channels(text):
    """The channels that each convolution of a compiled program reads."""
    shapes = dict(re.findall(r"(%\S+) = f64\[([\d,]*)\]", text))
    calls = re.findall(r" convolution\((?:f64\S+ )?(%[^,)]+)", text)
    return [int(shapes[name].split(",")[-1]) for name in calls]
