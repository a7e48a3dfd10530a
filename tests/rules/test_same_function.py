"""Functions in several writings, on sources and behind a layer: one relevance, both directions."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import relu, sigmoid, softmax, softplus

from rfp_jax import RelevanceStopsWarning, heatmap, relevance

pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.default_rng(0)
W, B = RNG.normal(size=(3, 3)) * 0.7, RNG.normal(size=(1, 3)) * 0.5
SOURCES = tuple(RNG.normal(size=(2, 3)) for _ in range(3))
SOURCES[0][0] *= -1  # so that a layer has values of both signs


def total(x):
    return x.sum(1, keepdims=True)


def norm(x):
    return jnp.linalg.norm(x, axis=1, keepdims=True)


ANGLE = np.array([[0.3], [1.1]])
MASK = np.array([[1.0, 0.0, 1.0]] * 2)


def rotated(x):
    cos, sin = np.cos(ANGLE), np.sin(ANGLE)
    one, other = x[:, :1], x[:, 1:2]
    return jnp.concatenate([one * cos - other * sin, one * sin + other * cos], 1)


def rotated_as_complex(x):
    z = (x[:, :1] + 1j * x[:, 1:2]) * np.exp(1j * ANGLE)
    return jnp.concatenate([z.real, z.imag], 1)


def top_two(p, a, b):
    values, places = lax.top_k(p(a), 2)
    return (softmax(values) * jnp.take_along_axis(b, places, 1)).sum(1)


def top_two_masked(p, a, b):
    values, _ = lax.top_k(p(a), 2)
    return (softmax(jnp.where(p(a) >= values[:, 1:], p(a), -jnp.inf)) * b).sum(1)


def top_two_renormalized(p, a, b):
    weights, places = lax.top_k(softmax(p(a)), 2)
    return (weights / total(weights) * jnp.take_along_axis(b, places, 1)).sum(1)


FORMS = {
    # weights: functions of one variable that are positive by construction
    "root": (
        lambda p, a, b: jnp.sqrt(1 + p(a) ** 2) * b,
        lambda p, a, b: (1 + p(a) ** 2) ** 0.5 * b,
        lambda p, a, b: jnp.exp(0.5 * jnp.log(1 + p(a) ** 2)) * b,
        lambda p, a, b: b / lax.rsqrt(1 + p(a) ** 2),
    ),
    "softplus": (
        lambda p, a, b: softplus(p(a)) * b,
        lambda p, a, b: jnp.log(1 + jnp.exp(p(a))) * b,
        lambda p, a, b: jnp.log1p(jnp.exp(p(a))) * b,
        lambda p, a, b: -jnp.log(sigmoid(-p(a))) * b,
    ),
    "cosh": (
        lambda p, a, b: jnp.cosh(p(a)) * b,
        lambda p, a, b: (jnp.exp(p(a)) + jnp.exp(-p(a))) / 2 * b,
    ),
    "1 + tanh": (
        lambda p, a, b: (1 + jnp.tanh(p(a))) * b,
        lambda p, a, b: 2 * sigmoid(2 * p(a)) * b,
        lambda p, a, b: 2 * b * sigmoid(2 * p(a)),
    ),
    "exp": (
        lambda p, a, b: jnp.exp(p(a)) * b,
        lambda p, a, b: (1 + jnp.expm1(p(a))) * b,
        lambda p, a, b: jnp.exp(p(a) / 2) * b * jnp.exp(p(a) / 2),
    ),
    "elu + 1": (
        lambda p, a, b: (1 + jax.nn.elu(p(a))) * b,
        lambda p, a, b: jnp.where(p(a) > 0, p(a) + 1, jnp.exp(p(a))) * b,
    ),
    # weighted means, divided before or after the product
    **{
        name: (
            lambda p, a, b, g=g: total(g(p(a)) / (total(g(p(a))) + 0.1) * b),
            lambda p, a, b, g=g: total(g(p(a)) * b) / (total(g(p(a))) + 0.1),
            lambda p, a, b, g=g: (
                jnp.einsum("ij,ij->i", g(p(a)), b)[:, None] / (total(g(p(a))) + 0.1)
            ),
            lambda p, a, b, g=g: total(g(p(a)) * b) * (1 / (total(g(p(a))) + 0.1)),
        )
        for name, g in {
            "relu experts": relu,
            "softplus experts": softplus,
            "square experts": jnp.square,
            "sigmoid experts": sigmoid,
        }.items()
    },
    "each term of a weighted mean": (
        lambda p, a, b: relu(p(a)) / (total(relu(p(a))) + 0.1) * b,
        lambda p, a, b: relu(p(a)) * b / (total(relu(p(a))) + 0.1),
        lambda p, a, b: relu(p(a)) * (b / (total(relu(p(a))) + 0.1)),
        lambda p, a, b: b / (total(relu(p(a))) + 0.1) * relu(p(a)),
        lambda p, a, b: b * relu(p(a)) * (1 / (total(relu(p(a))) + 0.1)),
    ),
    "top two of three": (top_two, top_two_masked, top_two_renormalized),
    # polynomials, expanded and factored
    "product as squares": (
        lambda p, a, b: p(a) * p(b),
        lambda p, a, b: ((p(a) + p(b)) ** 2 - (p(a) - p(b)) ** 2) / 4,
    ),
    "binomial": (
        lambda p, a, b: (p(a) + p(b)) ** 2,
        lambda p, a, b: p(a) ** 2 + 2 * p(a) * p(b) + p(b) ** 2,
        lambda p, a, b: (p(a) + p(b)) * (p(a) + p(b)),
    ),
    "difference of squares": (
        lambda p, a, b: (p(a) + p(b)) * (p(a) - p(b)),
        lambda p, a, b: p(a) ** 2 - p(b) ** 2,
    ),
    "square of a sum": (
        lambda p, a, b: (p(a) + 1) ** 2 + b,
        lambda p, a, b: p(a) ** 2 + 2 * p(a) + 1 + b,
    ),
    "squared ReLU": (
        lambda p, a, b: relu(p(a)) ** 2 + b,
        lambda p, a, b: p(a) * relu(p(a)) + b,
        lambda p, a, b: jnp.where(p(a) > 0, p(a) * p(a), 0) + b,
        lambda p, a, b: jnp.where(p(a) > 0, p(a), 0) ** 2 + b,
    ),
    "half a square": (
        lambda p, a, b: p(a) * p(a) * 0.5 + b,
        lambda p, a, b: p(a) * p(a) / 2 + b,
        lambda p, a, b: p(a) ** 2 / 2 + b,
        lambda p, a, b: p(a) * (p(a) / 2) + b,
        lambda p, a, b: jnp.where(np.ones(3) > 0, p(a) * p(a), 0) / 2 + b,
        lambda p, a, b: lax.cond(True, lambda x: x * x, lambda x: x, p(a)) / 2 + b,
    ),
    "masked square": (
        lambda p, a, b: p(a) * p(a) * MASK + b,
        lambda p, a, b: jnp.where(MASK > 0, p(a) * p(a), 0) + b,
        lambda p, a, b: jnp.where(MASK > 0, p(a), 0) ** 2 + b,
        lambda p, a, b: lax.select_n(MASK > 0, jnp.zeros((2, 3)), p(a) * p(a)) + b,
    ),
    "Huber": (
        lambda p, a, b: jnp.where(jnp.abs(p(a)) < 1, 0.5 * p(a) ** 2, jnp.abs(p(a)) - 0.5) + b,
        lambda p, a, b: jnp.where(jnp.abs(p(a)) >= 1, jnp.abs(p(a)) - 0.5, p(a) * p(a) / 2) + b,
    ),
    "cosine": (
        lambda p, a, b: total(p(a) * b) / (norm(p(a)) * norm(b)),
        lambda p, a, b: total(p(a) / norm(p(a)) * (b / norm(b))),
        lambda p, a, b: total(p(a) * b) * lax.rsqrt(total(p(a) ** 2) * total(b**2)),
        lambda p, a, b: total(p(a) * b) / jnp.maximum(norm(p(a)) * norm(b), 1e-8),
    ),
    "rotary positions": tuple(
        (lambda p, a, b, r=r: r(p(a)) @ r(b).T) for r in (rotated, rotated_as_complex)
    ),
    "chosen logarithm of a softmax": (
        lambda p, a, b: jax.nn.log_softmax(p(a) + b)[:, 0],
        lambda p, a, b: jnp.log(softmax(p(a) + b)[:, 0]),
        lambda p, a, b: jnp.log(softmax(p(a) + b))[:, 0],
        lambda p, a, b: (p(a) + b)[:, 0] - jax.nn.logsumexp(p(a) + b, 1),
        lambda p, a, b: jnp.log(
            jnp.take_along_axis(softmax(p(a) + b), jnp.zeros((2, 1), int), 1)[:, 0]
        ),
    ),
    "cosh - 1": (
        lambda p, a, b: (jnp.cosh(p(a)) - 1) * b,
        lambda p, a, b: 2 * jnp.sinh(p(a) / 2) ** 2 * b,
    ),
    # a scale that divides a signal and multiplies it again
    **{
        name: (
            lambda p, a, b, s=s: p(a) / s(p(a)) * s(p(a)) + b,
            lambda p, a, b, s=s: p(a) * (1 / s(p(a))) * s(p(a)) + b,
            lambda p, a, b, s=s: jax.jit(lambda x, d: x / d)(p(a), s(p(a))) * s(p(a)) + b,
            lambda p, a, b: p(a) + b,
        )
        for name, s in {
            "mean magnitude": lambda x: jnp.abs(x).mean(1, keepdims=True),
            "greatest magnitude": lambda x: jnp.abs(x).max(1, keepdims=True),
            "spread": lambda x: x.max(1, keepdims=True) - x.min(1, keepdims=True),
            "deviation": lambda x: x.std(1, keepdims=True),
            "mean of squares": lambda x: jnp.sqrt((x**2).mean(1, keepdims=True)),
        }.items()
    },
    # sums of exponentials of several values
    "softmax of two": (
        lambda p, a, b: softmax(jnp.stack([p(a), b]), 0)[0],
        lambda p, a, b: jnp.exp(p(a)) / (jnp.exp(p(a)) + jnp.exp(b)),
        lambda p, a, b: jnp.exp(p(a)) * (1 / (jnp.exp(p(a)) + jnp.exp(b))),
        lambda p, a, b: jnp.exp(p(a) - jnp.log(jnp.exp(p(a)) + jnp.exp(b))),
    ),
    "logsumexp of two": (
        lambda p, a, b: jax.nn.logsumexp(jnp.stack([p(a), b]), 0),
        lambda p, a, b: jnp.log(jnp.exp(p(a)) + jnp.exp(b)),
    ),
    "one of two passes": (
        lambda p, a, b: softmax(jnp.stack([p(a), b]), 0)[0] * SOURCES[2] * b,
        lambda p, a, b: jnp.exp(p(a)) / (jnp.exp(p(a)) + jnp.exp(b)) * (SOURCES[2] * b),
        lambda p, a, b: sigmoid(p(a) - b) * SOURCES[2] * b,
    ),
}


def test_values_have_both_signs():
    for x in (SOURCES[0], SOURCES[0] @ W + B):
        assert x.min() < -0.1
        assert x.max() > 0.1


@pytest.mark.parametrize("behind", [False, True], ids=["sources", "layer"])
@pytest.mark.parametrize("name", FORMS)
def test_each_form_has_the_relevance_of_the_first(name, behind):
    def layer(x):
        return x @ W + B if behind else x

    results = []
    for form in FORMS[name]:

        def f(a, b, form=form):
            return form(layer, a, b)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RelevanceStopsWarning)  # weights alone pass none
            rel = relevance(f, (0, 1))(*SOURCES[:2])
            heats = heatmap(f, (0, 1), outputs=jnp.ones_like(rel.output))(*SOURCES[:2])
        for row, heat in zip(rel.sources, heats, strict=True):
            np.testing.assert_allclose(row.sum(), heat.sum(), rtol=1e-9, atol=1e-10)
        results.append(rel)
    first, *others = results
    for other in others:
        for one, two in zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-10)


def path(polynomial, starts, ends, contributions, steps=20001):
    """Aumann and Shapley by the trapezoidal rule and differences, in NumPy."""
    t = np.linspace(0, 1, steps)
    at = [b + t * (x - b) for b, x in zip(starts, ends, strict=True)]
    given = np.zeros(steps)
    for i, c in enumerate(contributions):
        up, down = list(at), list(at)
        up[i], down[i] = at[i] + 1e-5, at[i] - 1e-5
        given += c * (polynomial(*up) - polynomial(*down)) / 2e-5
    return np.trapezoid(given, t)


@pytest.mark.parametrize(
    "polynomial",
    [
        lambda x, y: x**2,
        lambda x, y: x**3 - 2 * x,
        lambda x, y: (x + y) ** 3,
        lambda x, y: x**2 * y + y**2,
        lambda x, y: (x - y) * (x + y) * x,
    ],
)
def test_a_polynomial_is_shared_from_the_constants(polynomial):
    """The bias of the layers below is where the path starts."""
    a, b = 1.3, -0.6

    def f(a, b):
        return polynomial(2 * a + 0.5, a - 3 * b + 0.25)

    rel = relevance(f, (0, 1))(a, b)
    ends, starts = (2 * a + 0.5, a - 3 * b + 0.25), (0.5, 0.25)
    np.testing.assert_allclose(
        rel.sources[0], path(polynomial, starts, ends, (2 * a, a)), rtol=1e-7
    )
    np.testing.assert_allclose(
        rel.sources[1], path(polynomial, starts, ends, (0, -3 * b)), rtol=1e-7
    )
    np.testing.assert_allclose(rel.bias, polynomial(*starts), rtol=1e-9)


@pytest.mark.slow
def test_what_vanishes_at_zero_is_a_signal():
    """A root, a magnitude and a square are shared with what they multiply; so is a clip."""
    for f in (
        lambda a, b: jnp.sqrt(jnp.abs(a)) * b,
        lambda a, b: jnp.abs(a) * b,
        lambda a, b: jnp.log1p(a**2) * b,
        lambda a, b: jnp.maximum(a, 1.0) * b,
        lambda a, b: (1 + a**2) * b,
        lambda a, b: (1 + relu(a)) * b,
    ):
        assert abs(float(relevance(f, (0, 1))(1.5, 2.0).sources[0])) > 0.1


def test_a_payload_is_not_a_gate_because_its_key_is_one():
    """Each result of a sort has elements of its own operand."""

    def f(a, b):
        _, sorted_b = lax.sort([sigmoid(a), b], num_keys=1)
        return sorted_b * b

    a, b = jnp.array([0.2, 0.5]), jnp.array([2.0, 3.0])
    np.testing.assert_allclose(relevance(f, (0, 1))(a, b).sources[1], b * b)


def test_a_formula_that_stands_twice_is_computed_once():
    """Also where one of the two is jitted."""

    def once(a, b):
        e = jnp.tanh(a @ W)
        return e * b + e

    def twice(a, b):
        return jnp.tanh(a @ W) * b + jax.jit(lambda a: jnp.tanh(a @ W))(a)

    def size(f):
        return len(jax.make_jaxpr(relevance(f, (0, 1)))(*SOURCES[:2]).eqns)

    assert size(twice) == size(once)


def test_equal_layers_keep_rules_of_their_own():
    """A rule by place holds for its place alone, though the equations are equal."""
    from rfp_jax import rules

    def f(x):
        with jax.named_scope("one"):
            y = jnp.tanh(x)
        with jax.named_scope("two"):
            z = jnp.tanh(x)
        return jnp.stack([y, z])

    own = rules.lrp0.override(lambda eq: "two" in eq.path, rules.constant)
    rel = relevance(f, rules=own)(jnp.array([0.5]))
    np.testing.assert_allclose(rel.sources[:, 0], [np.tanh(0.5), 0.0])
