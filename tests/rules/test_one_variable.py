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


SMALL = {
    "sqrt(x**2 + 1e-8)": (lambda x: jnp.sqrt(x**2 + 1e-8), lambda x: np.sqrt(x**2 + 1e-8)),
    "log(x**2 + 1e-6)": (lambda x: jnp.log(x**2 + 1e-6), lambda x: np.log(x**2 + 1e-6)),
    "exp(-(x / 1e-3)**2)": (lambda x: jnp.exp(-(x**2) / 1e-6), lambda x: np.exp(-(x**2) / 1e-6)),
    "1 / (x**2 + 1e-6)": (lambda x: 1 / (x**2 + 1e-6), lambda x: 1 / (x**2 + 1e-6)),
    "1 + log(1 + 1e4 |x|)": (
        lambda x: 1 + jnp.log1p(jnp.abs(x) * 1e4),
        lambda x: 1 + np.log1p(np.abs(x) * 1e4),
    ),
    "sigmoid": (sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "cosh": (jnp.cosh, np.cosh),
}


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("name", SMALL)
def test_a_curve_that_bends_next_to_0_has_its_secant(name, dtype):
    """The tangent is taken where it leads to y as well, and not where z is small in itself."""
    fun, curve = SMALL[name]
    x = np.asarray([0.0, 1e-12, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 0.5], dtype)
    if name.startswith("exp"):
        x = x[:-1]  # where it underflows it is a constant, like a mask
    rel = rfp_jax.relevance(fun)(jnp.asarray(x))
    y, start = curve(x.astype(np.float64)), curve(np.zeros(()))
    rounding = 20 * float(jnp.finfo(dtype).eps) * (np.abs(y) + np.abs(start))
    assert (np.abs(rel.sources - (y - start)) <= rounding).all()


STEEP = [
    lambda x: jnp.log(x + 0.3),
    lambda x: lax.rsqrt(x + 0.3),
    lambda x: 1 / (x + 0.3),
    lambda x: 2 * jnp.log(x + 0.3) - jnp.log(x + 0.3),
    lambda x: (x + 0.3) * jnp.log(x + 0.3) / (x + 0.3),  # 0 times infinity at 0
    jnp.sinc,
    lambda x: x * jnp.log(x),
]


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("fun", STEEP)
def test_relevance_of_a_multiple_is_the_multiple(fun, dtype):
    """The unit of y does not decide whether F(0) is finite."""
    x = jnp.asarray(0.7, dtype)
    one = rfp_jax.relevance(fun)(x)
    for factor in (1e-2, 1e-3, 1e-5, 1e-9, 1e9):
        scale = jnp.asarray(factor, dtype)
        rel = rfp_jax.relevance(lambda x, scale: scale * fun(x))(x, scale)
        got = [rel.sources / scale, rel.bias / scale]
        np.testing.assert_allclose(got, [one.sources, one.bias], rtol=1e-5, atol=1e-6)


def test_a_power_that_is_nearly_1_is_infinite_at_0_all_the_same():
    for power in (-0.9, -1e-2, -1e-3, -1e-6):
        y = (X + 0.3) ** power
        written = [y - 0.3**power, 0.3**power]
        agree(shares(lambda x, p=power: (x + 0.3) ** p, X), written, atol=1e-15)


@pytest.mark.parametrize(
    "fun",
    [
        lambda w, x: jnp.expm1(w * x) / (w * x),
        lambda w, x: w * x * jnp.log(w * x),
        lambda w, x: (w * x + 0.2) ** -w,
        lambda w, x: jnp.log(w * x + 0.3),
        lambda w, x: jnp.sinc(w * x),
    ],
)
def test_derivatives_of_relevance_where_the_plain_function_has_none_at_0(fun):
    def loss(w, x):
        rel = rfp_jax.relevance(fun, 1)(w, x)
        return jnp.sin(rel.sources) + rel.bias**2

    w, x, step = jnp.asarray(0.6), jnp.asarray(0.8), 1e-6
    along = (loss(w + step, x) - loss(w - step, x)) / (2 * step)
    across = (loss(w, x + step) - loss(w, x - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(loss, (0, 1))(w, x), [along, across], atol=1e-7)


def test_a_range_beyond_the_greatest_number_is_unbounded():
    """`sin(x) / x` is bounded by the least divisor, whose square is beyond all numbers."""
    agree(shares(lambda x: jnp.sinc(x) ** 2, 0.5), [np.sinc(0.5) ** 2 - 1, 1.0])
    agree(shares(lambda x: jnp.sinc(x) ** 3, 0.5), [np.sinc(0.5) ** 3 - 1, 1.0])


def test_compiled_or_not_a_square_has_its_secant():
    """Rounding errors decide nothing: XLA may compute them twice, and differently."""
    a, b = np.random.default_rng(0).normal(size=(2, 48))

    def squared(a, b):
        return jnp.square(jnp.sin(a) - b)

    wanted = np.sin(a) * (np.sin(a) - b), -b * (np.sin(a) - b), np.zeros(48)
    for explain in (
        rfp_jax.relevance(squared, (0, 1)),
        jax.jit(rfp_jax.relevance(squared, (0, 1))),
    ):
        rel = explain(jnp.asarray(a), jnp.asarray(b))
        agree([*rel.sources, rel.bias], wanted, atol=1e-14)
