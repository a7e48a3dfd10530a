"""The certificate tests the rules, one equation at a time."""
# ruff: noqa: E501, PLC3002  (tables: one case a line)

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import relu, sigmoid, softmax

from rfp_jax import audit, relevance, rules
from rfp_jax._transforms import certificate
from tests.oracles.decomposition import convolve, draw

pytestmark = pytest.mark.usefixtures("x64")


def _times(factor, rule):
    return lambda f, *x: (lambda frozen: frozen._replace(push=lambda *c: jax.tree.map(lambda p: factor * p, frozen.push(*c))))(rule(f, *x))  # fmt: skip


def _deep(x):
    w = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 4, 4)) / 6, x.dtype)
    for _ in range(4):
        x = relu(convolve(x, w) + x + jnp.asarray(0.1, x.dtype))
    return x.mean((1, 2)) @ w[0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
def test_a_convolution_that_pushes_threefold_fails_in_any_precision(dtype):
    x = draw(2, 6, 6, 4).astype(dtype)
    assert audit(_deep)(x).passed
    wrong = rules.lrp0.with_rules(
        {"conv_general_dilated": _times(3, rules.lrp0.table["conv_general_dilated"])}
    )
    report = audit(_deep, rules=wrong)(x)
    assert not report.passed
    assert {entry.primitive for entry in report.guilty} == {"conv_general_dilated"}
    assert len(report.guilty) == 4


@pytest.mark.slow
@pytest.mark.parametrize("order", [*itertools.permutations(["bfloat16", "float32", "float64"])])
def test_precisions_may_change_within_a_network(order):
    first, second, third = order
    w, v, x = draw(6, 6), draw(6, 4, seed=1), draw(2, 3, 6, seed=2).astype(first)

    def network(x):
        hidden = jax.nn.gelu(x.astype(second) @ w.astype(second) + jnp.asarray(0.3, second))
        return hidden.astype(third) @ v.astype(third)

    assert audit(network)(x).passed
    wrong = rules.lrp0.with_rules({"dot_general": _times(1.5, rules.lrp0.table["dot_general"])})
    report = audit(network, rules=wrong)(x)
    assert [entry.primitive for entry in report.guilty] == ["dot_general"] * 2


def test_a_constant_that_is_carried_along_is_as_wide_as_what_it_is_beside():
    """An array in bfloat16, sorted by values that are computed in float32."""
    payload = draw(4, 6, seed=1).astype(jnp.bfloat16)

    def network(x):
        keys, carried = lax.sort((x, payload), num_keys=1)
        return keys.reshape(-1) + carried.reshape(-1)

    x = draw(4, 6).astype(jnp.bfloat16)
    assert audit(network)(x).passed
    assert relevance(network, dtype=jnp.float32)(x).sources.dtype == jnp.float32


def test_an_error_of_1e_4_in_a_long_loop_fails():
    def loop(x):
        return lax.scan(lambda h, _: (jnp.tanh(h * 1.01), None), x, None, length=2000)[0]

    x = draw(2, 4).astype(jnp.float32)
    assert audit(loop)(x).passed
    wrong = rules.lrp0.with_rules({"tanh": _times(1.0001, rules.elementwise)})
    (guilty,) = audit(loop, rules=wrong)(x).guilty
    assert guilty.primitive == "tanh"


def test_one_source_without_bias_does_not_hide_a_rule():
    w, v, x = draw(4, 6), draw(6, 3, seed=1), draw(2, 4, seed=2)
    wrong = rules.lrp0.with_rules({"tanh": lambda eq, a: rules.Frozen(eq(a), lambda c: 3 * c)})
    report = audit(lambda x: jnp.tanh(x @ w) @ v, rules=wrong)(x)
    assert not report.passed
    (guilty,) = report.guilty
    assert guilty.primitive == "tanh"
    assert "test_certificate.py" in guilty.source
    assert "tanh" in report.verdict


@pytest.mark.slow
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_constant_that_enters_a_loop_is_accounted_for(start):
    w = draw(4, 4)

    def gru(x):
        def step(h, v):
            z = sigmoid(v + h @ w)
            return (1 - z) * h + z * jnp.tanh(v + (z * h) @ w), h

        h, hs = lax.scan(step, jnp.full(4, start), x)
        return h + hs.sum(0)

    assert audit(gru)(draw(5, 4, seed=1)).passed

    def branch(x):
        return lax.cond(x.sum() > -1e9, lambda x: x * 2 + start, lambda x: jnp.full_like(x, 7.0), x)

    assert audit(branch)(draw(5, 4, seed=1)).passed

    def loop(x):
        state = (0, jnp.full(4, start))
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.tanh(s[1] + x)), state)[
            1
        ]

    assert audit(loop)(draw(4, seed=1)).passed


def test_a_loop_is_tested_once_though_its_carry_widens(monkeypatch):
    """The body is walked for the structure of its carry, too: without testing the laws."""
    tested = []
    errors = certificate.errors

    def counted(equation, *args):
        tested.append(equation.name)
        return errors(equation, *args)

    monkeypatch.setattr(certificate, "errors", counted)
    x = draw(5, 4)
    loop = audit(lambda x: lax.scan(lambda h, v: (jnp.tanh(h + v), None), jnp.zeros(4), x)[0])
    assert loop(x).passed
    assert sorted(tested) == ["add", "tanh"]


def test_side_effects_do_not_disturb_the_certificate(capfd):
    def printing(x):
        jax.debug.print("{}", x)
        jax.debug.callback(lambda _: None, x)
        return jnp.tanh(x)

    assert audit(printing)(draw(2, 4)).passed
    assert audit(jax.jit(printing))(draw(2, 4)).passed
    in_a_loop = audit(lambda x: lax.scan(lambda h, v: (printing(h + v), None), x[0], x)[0])
    assert in_a_loop(draw(2, 4)).passed


LARGE = {
    "air pressure": (lambda x: x - x.mean(1, keepdims=True), 101325.0, 10.0),
    "its square": (lambda x: jnp.diff(x, axis=1) ** 2, 101325.0, 10.0),
    "standardized": (lambda x: (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), 5e3, 10.0),
    "nearly nothing": (lambda x: jnp.tanh(1e-9 * x) + 1e-9 * x, 0.0, 1.0),
    "saturated": (lambda x: softmax(300 * x, axis=1) @ np.eye(8, dtype="float32"), 0.0, 1.0),
    "masked": (lambda x: softmax(jnp.where(x > 0, x, -3e38), axis=1) * x, 0.0, 1.0),
    "a running maximum": (lambda x: lax.scan(lambda m, v: (jnp.maximum(m, v), jnp.exp(m - jnp.maximum(m, v))), jnp.full(4, -1e30, x.dtype), jnp.concatenate([x.T * 0 - 1e30, x.T]))[1], 0.0, 1.0),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_rounding_is_no_fault_whatever_the_size_of_the_numbers(name):
    """Differences leave the rounding of their terms, and squares of small numbers vanish."""
    fun, offset, scale = LARGE[name]
    x = (offset + scale * draw(4, 8)).astype(jnp.float32)
    report = audit(fun)(x)
    assert report.passed, report.verdict


@pytest.mark.slow
@pytest.mark.parametrize(("size", "primitive"), [(1e-9, "tanh"), (1e-9, "sub"), (1e9, "mul")])
def test_a_fault_is_found_whatever_the_size_of_the_numbers(size, primitive):
    def fun(x, y):
        return jnp.tanh(x / size) * size * 0.5 - y

    wrong = rules.lrp0.with_rules({primitive: _times(1.05, rules.lrp0.table[primitive])})
    x, y = (size * draw(4, 8, seed=seed).astype(jnp.float32) for seed in range(2))
    assert audit(fun, (0, 1))(x, y).passed
    assert {e.primitive for e in audit(fun, (0, 1), rules=wrong)(x, y).guilty} == {primitive}


CONFIDENT = {
    "probabilities": lambda x, v: softmax(x) @ jnp.asarray([[1.0], [-2.0], [0.5], [3.0]], x.dtype),
    "one class": lambda x, v: softmax(2 * x + 0.3)[:, :2],
    "attention": lambda x, v: softmax(x) @ v,
    "masked": lambda x, v: softmax(jnp.where(x < 0, x, -jnp.inf)) @ v,
    "a second choice": lambda x, v: softmax(jnp.concatenate([x, x - 7], -1))[:, 2:6] @ v,
    "in pieces": lambda x, v: (lambda e: e @ v / e.sum(-1, keepdims=True))(jnp.exp(x - x.max(-1, keepdims=True))),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["lrp0", "attnlrp"])
@pytest.mark.parametrize("size", [3.0, 10.0, 30.0, 100.0, 1000.0, 30000.0])
@pytest.mark.parametrize("name", CONFIDENT)
def test_confident_probabilities_are_right_within_rounding(name, size, preset):
    """Beside a probability of 1 the contributions of logits cancel to nothing but rounding."""
    for dtype in (jnp.float64, jnp.float32):
        logits, values = (size * draw(2, 4)).astype(dtype), draw(4, 3, seed=1).astype(dtype)
        report = audit(CONFIDENT[name], (0, 1), rules=getattr(rules, preset))(logits, values)
        assert report.passed, [(entry.primitive, entry.errors) for entry in report.guilty]


AFTER_A_MASK = {
    "probabilities": softmax,
    "the greatest": lambda s: jnp.max(s, axis=-1),
    "the sum of exponentials": jax.nn.logsumexp,
    "tanh": jnp.tanh,
    "sigmoid": sigmoid,
    "clipped": lambda s: jnp.clip(s, -5, 5),
    "masked again": lambda s: jnp.where(jnp.isfinite(s), s, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["lrp0", "attnlrp"])
@pytest.mark.parametrize("mask", ["chosen", "added"])
@pytest.mark.parametrize("name", AFTER_A_MASK)
def test_what_minus_infinity_masks_is_accounted_for(name, mask, preset):
    """A mask's -inf is a constant of which nothing is left, and no NaN in the certificate."""

    def fun(s):
        kept = jnp.arange(20).reshape(4, 5) % 5 < 3
        added = s + jnp.where(kept, 0, -jnp.inf)
        return AFTER_A_MASK[name](added if mask == "added" else jnp.where(kept, s, -jnp.inf))

    report = audit(fun, rules=getattr(rules, preset))(draw(4, 5))
    assert report.passed, report.verdict
    assert all(np.isfinite(entry.bias or 0) for entry in report.entries)


@pytest.mark.slow
@pytest.mark.parametrize("activation", [relu, jnp.tanh, jax.nn.softplus, jax.nn.silu])
@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_pixels_of_a_map_may_be_close_to_0(activation, bias):
    """A map of heights has one number a pixel, and some are 0 because much cancels there."""
    kernels = [draw(3, 3, 4, 16) / 6, draw(3, 3, 16, 16, seed=1) / 12, draw(3, 3, 16, 1) / 12]

    def heights(x):
        first, second, last = (kernel.astype(x.dtype) for kernel in kernels)
        x = activation(convolve(x, first) + jnp.asarray(bias, x.dtype))
        return convolve(activation(convolve(x, second) + jnp.asarray(bias, x.dtype)), last)

    for dtype in (jnp.float32, jnp.float64):
        report = audit(heights)(draw(2, 24, 24, 4).astype(dtype))
        assert report.passed, str(report)
        wrong = rules.lrp0.with_rules({"add": _times(1.001, rules.lrp0.table["add"])})
        assert not audit(heights, rules=wrong)(draw(2, 24, 24, 4).astype(dtype)).passed


def test_biases_may_cancel_in_the_output():
    """Constants cancel that are larger than any element of the output."""
    x = draw(2, 3)
    assert audit(lambda x: jnp.log((1 + 1e-4 * x) ** 2 + 0.01))(x).passed
    assert audit(lambda x: 1e-6 * x + 20 - jnp.full_like(x, 20))(x).passed


def _wrong_transpose(factor):
    @jax.custom_vjp
    def push(c):
        return 2 * c

    push.defvjp(lambda c: (2 * c, None), lambda _, g: (factor * g,))
    return push


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_wrong_transpose_is_caught(dtype):
    """The law holds, and the way back is off by a hundredth."""

    def doubled(factor):
        def rule(f, x):
            return rules.Frozen(f(x), _wrong_transpose(factor), lambda: f(x) - 2 * x)

        return rules.lrp0.with_rules({"tanh": rule})

    x = draw(2, 8).astype(dtype)
    assert audit(jnp.tanh, rules=doubled(2.0))(x).passed
    (guilty,) = audit(jnp.tanh, rules=doubled(2.02))(x).guilty
    law, transpose = guilty.errors
    assert law < 1e-6 < transpose
