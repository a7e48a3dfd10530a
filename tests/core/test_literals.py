"""Numbers that are not finite, complex numbers, and literals in loops and branches."""
# ruff: noqa: E501  (tables: one case a line)

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.oracles.compiled import heatmap, relevance
from tests.oracles.decomposition import agree, explain

pytestmark = pytest.mark.usefixtures("x64")

GAPS = np.array([[1.0, np.nan], [np.nan, 2.0]])


@pytest.mark.parametrize(
    ("fill", "want"),
    [
        (jnp.nan_to_num, [[1.0, 0], [0, 2]]),
        (lambda x: jnp.where(jnp.isnan(x), 0, x), [[1.0, 0], [0, 2]]),
        (lambda x: jnp.where(jnp.isnan(x), 0.0, 3 * x), [[3.0, 0], [0, 6]]),
        (lambda x: jnp.where(jnp.isfinite(x), jnp.tanh(x), 0), [[np.tanh(1.0), 0], [0, np.tanh(2.0)]]),
        (lambda x: jnp.nan_to_num(x, nan=-1.0), [[1.0, 0], [0, 2]]),
        (lambda x: jnp.nan_to_num(x) @ np.array([[1.0, 1], [1, -1]]), [[1.0, 1], [2, -2]]),
        (lambda x: jnp.nanmean(x, 1, keepdims=True) * np.ones((1, 2)), [[1.0, 1], [2, 2]]),
        (lambda x: jnp.nansum(x, 1, keepdims=True) * np.ones((1, 2)), [[1.0, 1], [2, 2]]),
    ],
)  # fmt: skip
def test_what_the_model_fills_contributes_nothing(fill, want):
    y = jnp.ones((2, 2))
    rel = explain(lambda x, y: fill(x) + y, GAPS, y)
    agree(rel.sources, [want, y])
    heats = heatmap(lambda x, y: fill(x) + y, (0, 1), outputs=jnp.ones((2, 2)))(GAPS, y)
    assert np.isfinite(heats).all()
    np.testing.assert_array_equal(heats[0][np.isnan(GAPS)], [0.0, 0.0])


def test_gaps_filled_from_the_other_source():
    y = jnp.full((2, 2), 5.0)
    rel = explain(lambda x, y: jnp.where(jnp.isnan(x), y, x) * 2, GAPS, y)
    agree([*rel.sources, rel.bias], [[[2.0, 0], [0, 4]], [[0, 10.0], [10, 0]], np.zeros((2, 2))])


def test_a_complex_source_of_a_real_output():
    z, w = jnp.array([1 + 2j, 3 - 1j]), jnp.array([0.5j, 1.0])

    def real(z, w):
        return jnp.real(z * (1 + 2j)) + jnp.real(w)

    for direction in ("auto", "forward", "reverse"):
        rel = relevance(real, (0, 1), outputs="argmax", direction=direction)(z, w)
        agree([*rel.sources, rel.bias], [5.0, 1.0, 0.0])
        assert not any(map(jnp.iscomplexobj, (*rel.sources, rel.bias)))


def test_literals_in_loops_and_branches():
    x = jnp.array([1.0, 2.0])
    cases = [
        (lambda x: lax.scan(lambda h, v: (0.9 * h + v, None), 0.0, x)[0], x, 2.9),
        (lambda x: lax.scan(lambda h, v: (0.9 * h + v, h), 1.0, x)[1][1], x, 1.0),
        (lambda x: lax.scan(lambda h, v: (0.0, h + v), 0.0, x)[1].sum(), x, 3.0),
        (lambda x: lax.cond(x > 100.0, lambda x: x, lambda x: 0.0, x), 2.0, 0.0),
        (lambda x: lax.cond(x > 1.0, lambda x: x, lambda x: 0.0, x), 2.0, 2.0),
        (lambda x: lax.cond(x > 1.0, lambda x: 3.0, lambda x: x, x), 2.0, 0.0),
        (lambda x: lax.switch(1, [lambda x: 0.0, lambda x: x, lambda x: 7.0], x), 2.0, 2.0),
        (lambda x: lax.fori_loop(0, 3, lambda i, h: h + x, 0.0), 2.0, 6.0),
        (lambda x: lax.fori_loop(0, 3, lambda i, h: h + i * x, 0.0), 2.0, 6.0),
    ]
    for fun, at, want in cases:
        rel = explain(fun, at)
        np.testing.assert_allclose(rel.sources[0], want, atol=1e-12)


def test_literals_in_a_while_loop():
    def fun(x):
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] + x), (0, 0.0))[1]

    assert float(relevance(fun)(2.0).sources) == 6.0
    zeroed = relevance(lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, 0.0), (0, x))[1])  # fmt: skip
    assert float(zeroed(2.0).sources) == 0.0
