"""Products of signals, modulation by a condition, mixtures of experts."""
# ruff: noqa: E501  (tables: one case a line)

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import relu, sigmoid, softmax

from tests.oracles.decomposition import agree, draw, shares

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize(
    "fun",
    [
        lambda a, b, c: (a * b) * c,
        lambda a, b, c: a * (b * c),
        lambda a, b, c: jnp.einsum("i,i,i->", *(v[None] for v in (a, b, c))),
        lambda a, b, c: jnp.stack([a, b, c]).prod(),
        lambda a, b, c: lax.cumprod(jnp.stack([a, b, c]))[-1],
        lambda a, b, c: jax.jit(lambda a, b: a * b)(a, b) * c,
        lambda a, b, c: lax.cond(True, jnp.multiply, jnp.add, a, b) * c,
        lambda a, b, c: (2 * a) * (b / 2) * c,
        lambda a, b, c: -(a * (-b * c)),
        lambda a, b, c: (a[None] @ b[None]) * c,
        lambda a, b, c: jnp.outer(a[None], b[None])[0, 0] * c,
    ],
)
def test_a_product_of_three_signals_is_symmetric(fun):
    a, b, c = (jnp.asarray(v) for v in (2.0, 3.0, 5.0))
    agree(shares(fun, a, b, c), [10.0, 10.0, 10.0, 0.0])


@pytest.mark.parametrize("axes", ["i,i,i->", "i,i,i->i", "ij,ij,ij->i", "ij,jk,ki->"])
def test_an_einsum_of_three_operands_is_symmetric(axes):
    square = [jnp.full((2,) * len(part), z) for part, z in zip(axes.split("->")[0].split(","), (2.0, 3.0, 5.0), strict=True)]  # fmt: skip
    *rows, bias = shares(lambda *x: jnp.einsum(axes, *x), *square)
    total = np.einsum(axes, *square) / 3
    agree([*rows, bias], [total, total, total, 0 * total])


@pytest.mark.parametrize(
    "fun",
    [
        lambda x, g: x * (1 + g),
        lambda x, g: x + x * g,
        lambda x, g: (g + 1) * x,
        lambda x, g: x * g + x,
        lambda x, g: x - x * (-g),
        lambda x, g: x * jnp.stack([jnp.ones(()), g]).sum(),
        lambda x, g: jnp.stack([x, x * g]).sum(),
    ],
)
@pytest.mark.parametrize("g", [0.0, 0.5])
def test_a_constant_times_a_contribution_belongs_to_it(fun, g):
    agree(shares(fun, jnp.asarray(2.0), jnp.asarray(g)), [2 + g, g, 0.0])


def test_modulation_of_features_by_a_condition():
    """FiLM, DiT: `norm(x) * (1 + scale(c)) + shift(c)`."""
    x, c = draw(4, 6, seed=1), draw(4, 3, seed=2)
    scale, shift = draw(3, 6, seed=3), draw(3, 6, seed=4)

    def film(x, c):
        return x * (1 + c @ scale) + c @ shift

    want = [x + x * (c @ scale) / 2, x * (c @ scale) / 2 + c @ shift, 0 * x]
    agree(shares(film, x, c), want)
    written = shares(lambda x, c: x + x * (c @ scale) + c @ shift, x, c)
    agree(written, want)


EXPERTS = {
    "relu": lambda g: relu(g) / relu(g).sum(),
    "relu, guarded": lambda g: relu(g) / (relu(g).sum() + 1e-9),
    "relu, bounded": lambda g: relu(g) / jnp.maximum(relu(g).sum(), 1e-9),
    "sigmoid": lambda g: sigmoid(g) / sigmoid(g).sum(),
    "softmax": softmax,
    "exp": lambda g: jnp.exp(g) / jnp.exp(g).sum(),
    "square": lambda g: g**2 / (g**2).sum(),
    "abs": lambda g: jnp.abs(g) / jnp.abs(g).sum(),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_weighted_by_what_sums_to_1(name):
    weigh = EXPERTS[name]
    g, e = jnp.array([1.0, 2.0, -1.0]), jnp.array([3.0, 4.0, 5.0])
    want = weigh(g) @ e
    agree(shares(lambda g, e: weigh(g) @ e, g, e), [0.0, want, 0.0])
    agree(shares(lambda g, e: (weigh(g) * e).sum(), g, e), [0.0, want, 0.0])


STACKED = [
    lambda a, b, c: jnp.stack([a, b, c]).prod(0),
    lambda a, b, c: jnp.stack([a, b, c], -1).prod(-1),
    lambda a, b, c: jnp.concatenate([a[None], b[None], c[None]]).prod(0),
    lambda a, b, c: jnp.prod(jnp.array([a, b, c]), 0),
]


@pytest.mark.parametrize("stacked", STACKED)
@pytest.mark.parametrize(
    "parts",
    [
        lambda a, b, c: (a, b, c),
        lambda a, b, c: (sigmoid(a), b, c),  # a gate
        lambda a, b, c: (sigmoid(a), sigmoid(b), c),
        lambda a, b, c: (sigmoid(a), sigmoid(b), sigmoid(c)),
        lambda a, b, c: (a * a, b, c + 1),  # a product of its own
        lambda a, b, c: (a * b * b, jnp.tanh(c), -b),
        lambda a, b, c: (a, b, jnp.full_like(c, 2.5)),
        lambda a, b, c: (a, a * sigmoid(b), softmax(c)),
    ],
)
def test_a_product_of_a_stack_is_that_of_its_parts(parts, stacked):
    given = [draw(2, 3, seed=seed) for seed in range(3)]
    right = shares(lambda *x: functools.reduce(jnp.multiply, parts(*x)), *given)
    agree(shares(lambda *x: stacked(*parts(*x)), *given), right)
    behind = shares(lambda *x: stacked(*parts(*x)) * x[0], *given)
    agree(behind, shares(lambda *x: functools.reduce(jnp.multiply, parts(*x)) * x[0], *given))


WEIGHTS = [softmax, sigmoid, jax.nn.softplus, lambda x: jnp.sqrt(1 + x * x)]


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize(
    "norms",
    [
        [
            lambda w: w / jnp.sqrt((w * w).sum(1, keepdims=True)),
            lambda w: w * lax.rsqrt(jnp.sum(w**2, 1, keepdims=True)),
            lambda w: w * (1 / jnp.linalg.norm(w, axis=1, keepdims=True)),
            lambda w: jnp.einsum("ij,i->ij", w, (w * w).sum(1) ** -0.5),
        ],
        [
            lambda w: w / jnp.sqrt((w * w).mean(1, keepdims=True) + 1e-3),
            lambda w: w * lax.rsqrt((w * w).mean(1, keepdims=True) + 1e-3),
        ],
        [
            lambda w: w / w.sum(1, keepdims=True),
            lambda w: w * (1 / w.sum(1, keepdims=True)),
            lambda w: w.sum(1, keepdims=True) ** -1 * w,
        ],
    ],
)
def test_a_norm_of_weights_has_a_constant_scale(norms, weight):
    x = draw(2, 3, seed=4)
    right = shares(lambda x: norms[0](weight(x)), x)
    y = draw(2, 3, seed=5)
    behind = shares(lambda x, y: norms[0](weight(x)) * sigmoid(y), x, y)
    for norm in norms[1:]:
        agree(shares(lambda x, norm=norm: norm(weight(x)), x), right)
        found = shares(lambda x, y, norm=norm: norm(weight(x)) * sigmoid(y), x, y)
        agree(found, behind)


@pytest.mark.parametrize("curve", [jnp.tanh, jnp.cos, lambda x: x * jnp.sin(x), jnp.log1p])
@pytest.mark.parametrize("power", [1, 2])
def test_factors_of_one_variable_are_one_factor(curve, power):
    """Half of the product to each: to y, and to x by the secant of `x^p F(x)`, which starts at 0."""
    x, y = np.abs(draw(3)) + 0.5, draw(3, seed=1)
    product = x**power * np.asarray(curve(x)) * y
    expected = [product / 2, product / 2, 0 * product]
    forms = [
        lambda x, y: (x**power * curve(x)) * y,
        lambda x, y: x**power * (curve(x) * y),
        lambda x, y: (y * x**power) * curve(x),
        lambda x, y: (curve(x) * (2 * y)) * (0.5 * x**power),
    ]
    for form in forms:
        agree(shares(form, jnp.asarray(x), jnp.asarray(y)), expected)


def test_one_factor_shares_on_its_secant():
    """`z sinh(z) y` with z = x + 1 and y = v + 2: the secant from 0 has the slope sinh(z)."""
    x, v = 0.7, 1.3
    z, y = x + 1, v + 2
    slope = np.sinh(z)
    to_x, to_v = slope * x * (y + 2) / 2, v * slope * (z + 1) / 2
    expected = [to_x, to_v, z * slope * y - to_x - to_v]
    for form in (
        lambda x, v: ((x + 1) * jnp.sinh(x + 1)) * (v + 2),
        lambda x, v: (x + 1) * (jnp.sinh(x + 1) * (v + 2)),
    ):
        agree(shares(form, jnp.asarray(x), jnp.asarray(v)), expected)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x, y: jnp.einsum("ij,ji->ij", x, jnp.tanh(x) * y),
        lambda x, y: jax.lax.dot_general(x, jnp.tanh(x) * y, (((), ()), ((0, 1), (1, 0)))),
        lambda x, y: x * (jnp.tanh(x) * y).T,
        lambda x, y: x[::-1] * (jnp.tanh(x) * y),
        lambda x, y: x * (jnp.tanh(x[:1]) * y),
        lambda x, y: jnp.stack([x, (jnp.tanh(x) * y).T]).prod(0),
    ],
)
def test_factors_in_other_places_are_factors_of_their_own(fun):
    """`x_ij tanh(x_ji) y_ji`: a third to each, and conserved."""
    x, y = jnp.asarray(draw(3, 3)), jnp.asarray(draw(3, 3, seed=1))
    product = fun(x, y)
    agree(shares(fun, x, y), [2 * product / 3, product / 3, 0 * product])
