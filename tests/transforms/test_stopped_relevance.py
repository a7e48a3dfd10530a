"""No source stops in silence: warnings, hints, and their remedies."""
# ruff: noqa: E501, PLW0108  (tables: one case a line)

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import sigmoid

import rfp_jax
from rfp_jax import audit, heatmap, relevance, rules
from tests.oracles.decomposition import agree, explain

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize(
    ("fun", "primitive"),
    [
        (lambda x, y: jnp.log(x) + y, "log"),
        (lambda x, y: 10 * jnp.log10(x) + y, "log"),
        (lambda x, y: jnp.floor(x).astype(int).astype(float) + y, "convert_element_type"),
        (lambda x, y: (x > 0).astype(float) + y, "gt"),
        (lambda x, y: lax.stop_gradient(x) + y, "stop_gradient"),
        (lambda x, y: jnp.argmax(jnp.stack([x, 2 * x])).astype(float) + y, "argmax"),
        (lambda x, y: jax.jit(jnp.log)(x) + y, "log"),
        (lambda x, y: lax.cond(True, jnp.log, jnp.exp, x) + y, "log"),
        (lambda x, y: lax.scan(lambda h, v: (h + jnp.log(v), None), 0.0, jnp.stack([x, x]))[0] + y, "log"),
        (lambda x, y: lax.cond(y > 0, lambda x: jnp.log(x), lambda x: jnp.log(2 * x), x) + y, "log"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("view", [relevance, heatmap])
def test_a_source_whose_relevance_stops_is_warned_of(fun, primitive, view):
    with pytest.warns(rfp_jax.RelevanceStopsWarning) as caught:
        view(fun, (0, 1))(2.0, 1.0)
    (warning,) = caught
    text = str(warning.message)
    assert "args[0]" in text
    assert f"'{primitive}'" in text
    assert "test_stopped_relevance.py" in text
    assert warning.filename == __file__, "it points at a library"
    assert f"{__file__}:{warning.lineno}" in text
    assert "rules.secant" in text
    assert "rules.tangent" in text


def test_a_source_that_stops_in_one_place_alone_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relevance(lambda x, y: jnp.log(x) + x + y, (0, 1))(2.0, 1.0)
        relevance(lambda x, y: jnp.where(x > 0, x, y), (0, 1))(2.0, 1.0)
        relevance(lambda x, y: y * sigmoid(x), (0, 1))(2.0, 1.0)
        relevance(lambda x, y: y, (0, 1))(2.0, 1.0)
        relevance(lambda x: jnp.ones_like(x))(2.0)


def test_the_remedies_let_relevance_pass():
    def decibels(x, y):
        return 10 * jnp.log10(x) + y

    by_secant = rules.lrp0.override(lambda eq: eq.name == "log", rules.secant(1.0))
    rel = explain(decibels, 100.0, 1.0, rules=by_secant)
    agree([*rel.sources, rel.bias], [100 * 20 / 99, 1.0, 20 - 100 * 20 / 99])
    by_tangent = rules.lrp0.override(lambda eq: "log" in eq.name, rules.tangent())
    rel = explain(decibels, 100.0, 1.0, rules=by_tangent)
    agree([*rel.sources, rel.bias], [10 / np.log(10), 1.0, 20 - 10 / np.log(10)])
    at_reference = explain(jnp.log, 1.0, rules=rules.lrp0.with_rules({"log": rules.secant(1.0)}))
    agree(at_reference.sources, [1.0])
    assert audit(decibels, (0, 1), rules=by_secant)(100.0, 1.0).passed
    assert audit(decibels, (0, 1), rules=by_tangent)(100.0, 1.0).passed


def test_a_remedy_by_the_line_alone():
    def two(x, y):
        return jnp.log(x) + jnp.log(y)

    line = two.__code__.co_firstlineno + 1
    here = rules.lrp0.override(
        lambda eq: f"test_stopped_relevance.py:{line}" in eq.source, rules.tangent()
    )
    agree(explain(two, 2.0, 3.0, rules=here).sources, [1.0, 1.0])


def test_a_source_that_steers_alone_is_hinted_at():
    report = audit(lambda x, y: sigmoid(x) * y, (0, 1))(0.5, 2.0)
    (hint,) = report.hints
    assert hint.kind == "steers"
    assert "args[0]" in hint.text
    assert not audit(lambda x, y: sigmoid(x) * y + x, (0, 1))(0.5, 2.0).hints
