"""Functions of one variable have one answer, however they are written."""
# ruff: noqa: PLW0108  (tables: one case a line)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import sigmoid

import rfp_jax
from tests.oracles.decomposition import agree, shares

pytestmark = pytest.mark.usefixtures("x64")

X = 1.504
PIECES = {
    "log1p": (jnp.log1p, np.log1p(X), 0.0),
    "log(1 + x)": (lambda x: jnp.log(1 + x), np.log1p(X), 0.0),
    "log(x + 2)": (lambda x: jnp.log(x + 2), np.log((X + 2) / 2), np.log(2)),
    "log10 of decibels": (lambda x: 10 * jnp.log10(1 + 3 * x), 10 * np.log10(1 + 3 * X), 0.0),
    "sigmoid": (sigmoid, 1 / (1 + np.exp(-X)) - 0.5, 0.5),
    "1 / (1 + exp(-x))": (lambda x: 1 / (1 + jnp.exp(-x)), 1 / (1 + np.exp(-X)) - 0.5, 0.5),
    "(1 + exp(-x))**-1": (lambda x: (1 + jnp.exp(-x)) ** -1, 1 / (1 + np.exp(-X)) - 0.5, 0.5),
    "1 / (1 + x)": (lambda x: 1 / (1 + x), 1 / (1 + X) - 1, 1.0),
    "rsqrt(1 + x)": (lambda x: lax.rsqrt(1 + x), (1 + X) ** -0.5 - 1, 1.0),
    "(1 + x)**-.5": (lambda x: (1 + x) ** -0.5, (1 + X) ** -0.5 - 1, 1.0),
    "softplus": (jax.nn.softplus, np.log1p(np.exp(X)) - np.log(2), np.log(2)),
    "log(1 + exp)": (
        lambda x: jnp.log(1 + jnp.exp(x)),
        np.log1p(np.exp(X)) - np.log(2),
        np.log(2),
    ),
    "sqrt(1 + x)": (lambda x: jnp.sqrt(1 + x), None, None),
    "exp(-x**2)": (lambda x: jnp.exp(-(x**2)), np.exp(-(X**2)) - 1, 1.0),
    "1 / (1 + x**2)": (lambda x: 1 / (1 + x * x), 1 / (1 + X * X) - 1, 1.0),
    "log of a jitted sum": (lambda x: jnp.log(jax.jit(lambda x: 1 + x)(x)), np.log1p(X), 0.0),
}


@pytest.mark.parametrize("name", PIECES)
def test_a_function_of_one_variable(name):
    fun, share, bias = PIECES[name]
    if share is None:  # the line starts at the variable 1 + x, where the root is 0
        share, bias = np.sqrt(1 + X) / (1 + X) * X, np.sqrt(1 + X) / (1 + X)
    agree(shares(fun, X), [share, bias])


@pytest.mark.parametrize(
    "fun",
    [
        lambda a, b: jnp.log(1 + (a + b)),
        lambda a, b: jnp.log((a + b) + 1),
        lambda a, b: jnp.log((1 + a) + b),
        lambda a, b: jnp.log(a + (1 + b)),
        lambda a, b: jnp.log1p(a + b),
        lambda a, b: jnp.log(jnp.stack([jnp.ones(()), a, b]).sum()),
    ],
)
def test_a_logarithm_of_several_sources_however_bracketed(fun):
    agree(shares(fun, 2.0, 1.0), [np.log(4) * 2 / 3, np.log(4) / 3, 0.0])


@pytest.mark.parametrize(
    "fun",
    [
        lambda a, b: 1 / (1 + (a + b)),
        lambda a, b: 1 / ((1 + a) + b),
        lambda a, b: (a + (1 + b)) ** -1.0,
    ],
)
def test_a_reciprocal_of_several_sources_however_bracketed(fun):
    agree(shares(fun, 2.0, 1.0), [-0.75 * 2 / 3, -0.25, 1.0])


def test_what_is_0_by_0_at_0_takes_its_limit():
    y = np.sinc(0.5)
    agree(shares(jnp.sinc, 0.5), [y - 1, 1.0])
    agree(shares(jnp.sinc, 0.0), [0.0, 1.0])
    agree(shares(lambda x: jnp.sin(x) / x, 2.0), [np.sin(2.0) / 2 - 1, 1.0], atol=1e-7)
    agree(shares(lambda x: jnp.expm1(x) / x, 2.0), [np.expm1(2.0) / 2 - 1, 1.0], atol=1e-7)


def test_a_limit_that_is_approached_steeply():
    """`x log x` and its relatives are 0 at 0: what extrapolates from a distance misses that."""
    agree(shares(lambda x: x * jnp.log(x), 0.25), [0.25 * np.log(0.25), 0.0], atol=1e-15)
    agree(shares(lambda x: 3 + x * x * jnp.log(x), 2.0), [4 * np.log(2.0), 3.0], atol=1e-15)
    p = jnp.array([0.1, 0.2, 0.7])
    written = shares(lambda x: -(x * jnp.log(x)).sum(), p)
    agree(written, shares(lambda x: jax.scipy.special.entr(x).sum(), p), atol=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16])
def test_what_has_no_limit_has_none_in_any_precision(dtype):
    """A step of the size of half precision must not take `log` and `1/x` for steady."""
    for fun in (lambda x: 1 / x, jnp.log):
        with pytest.warns(rfp_jax.errors.RelevanceStopsWarning):
            rel = rfp_jax.relevance(fun)(jnp.asarray(4.0, dtype))
        assert float(rel.sources) == 0
        assert rel.bias == rel.output


def test_a_root_at_0_is_finite():
    agree(shares(lambda x: jnp.sqrt(x), 0.0), [0.0, 0.0])
    assert np.isfinite(shares(lambda x: jnp.linalg.norm(x), jnp.zeros(3))).all()
