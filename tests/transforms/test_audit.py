"""The audit: it sees every equation, and its certificate fails where a rule is wrong."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from rfp_jax import rules


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, y):
        h = nn.relu(nn.Dense(8, bias_init=nn.initializers.normal(), name="first")(x))
        h = nn.gelu(nn.Dense(8, bias_init=nn.initializers.normal(), name="second")(h + y))
        return nn.Dense(3, bias_init=nn.initializers.normal(), name="head")(nn.LayerNorm()(h))


@pytest.fixture
def call(x64):
    x, y = (jax.random.normal(jax.random.key(i), (4, 8), jnp.float64) for i in range(2))
    net = Net(param_dtype=jnp.float64) if hasattr(Net, "param_dtype") else Net()
    variables = jax.tree.map(lambda a: a.astype(jnp.float64), net.init(jax.random.key(2), x, y))
    return net.apply, variables, x, y


def _broken(f, *x):
    """Passes on 1 % too much, and says nothing of it."""
    step = rules.elementwise(f, *x)
    return step._replace(push=lambda c: 1.01 * step.push(c))


@pytest.mark.slow
def test_a_right_network_is_certified(call):
    apply, *args = call
    report = rfp_jax.audit(apply, (1, 2))(*args)
    assert report.passed, report.verdict
    assert report.residual < 1e-13
    assert set(report.counts) == {"linear", "rule"}
    assert sum(report.counts.values()) == len(report.entries)


def test_a_broken_rule_fails_the_certificate(call):
    apply, *args = call
    broken = rules.lrp0.with_rules({"tanh": _broken})
    report = rfp_jax.audit(lambda *args: jnp.tanh(apply(*args)), (1, 2), rules=broken)(*args)
    assert not report.passed
    assert {entry.primitive for entry in report.guilty} == {"tanh"}  # that of GELU, too
    assert all(entry.errors[0] > 1e-3 for entry in report.guilty)
    assert "NOT CONSERVED: 'tanh' by _broken at test_audit.py" in report.verdict


@pytest.mark.slow
def test_a_forgotten_bias_fails_the_certificate(call):
    """The remainder would hide it: relevance() itself adds up."""
    apply, *args = call
    silent = rules.lrp0.with_rules({"add": _without_bias})
    rel = rfp_jax.relevance(apply, (1, 2), rules=silent)(*args)
    np.testing.assert_allclose(rel.output, rel.bias + sum(rel.sources), atol=1e-12)
    assert not rfp_jax.audit(apply, (1, 2), rules=silent)(*args).passed


def _without_bias(f, *x):
    return rules.affine(f, *x)._replace(bias=None)


@pytest.mark.slow
def test_bias_by_origin_adds_up_to_the_bias(call):
    apply, *args = call
    report = rfp_jax.audit(apply, (1, 2))(*args)
    rel = rfp_jax.relevance(apply, (1, 2), outputs="argmax")(*args)
    np.testing.assert_allclose(sum(report.bias_by_path.values()), rel.bias.mean(), atol=1e-12)
    head = args[0]["params"]["head"]["bias"]
    chosen = np.asarray(rel.output[:, None] == apply(*args)).argmax(-1)
    np.testing.assert_allclose(report.bias_by_path["Net/head"], head[chosen].mean(), atol=1e-12)


@pytest.mark.slow
def test_the_table_names_rule_module_and_line(call):
    apply, *args = call
    report = rfp_jax.audit(lambda *args: jnp.tanh(apply(*args)), (1, 2))(*args)
    last = report.entries[-1]
    assert (last.primitive, last.rule, last.kind) == ("tanh", "elementwise", "rule")
    assert "test_audit.py" in last.source
    assert {"Net/first", "Net/second", "Net/head"} <= {entry.path for entry in report.entries}
    assert "Net/head" in str(report)
    assert report.verdict in str(report)


@pytest.mark.slow
def test_shapes_alone_give_coverage(call):
    apply, variables, x, y = call
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    report = rfp_jax.audit(apply, (1, 2))(variables, shape, y)
    measured = rfp_jax.audit(apply, (1, 2))(variables, x, y)
    assert report.residual is None
    assert report.passed
    assert [e.primitive for e in report.entries] == [e.primitive for e in measured.entries]


def test_unsupported_equations_are_listed_not_raised():
    report = rfp_jax.audit(lambda x: jnp.linalg.qr(x)[0].sum() + jnp.tanh(x).sum())(jnp.eye(2))
    assert not report.passed
    (entry,) = report.unsupported
    assert "factors" in entry.reason
    assert "householder" in entry.primitive or "qr" in entry.primitive
    assert "tanh" in {entry.primitive for entry in report.entries}


def test_loops_are_counted_once_and_run_as_often_as_they_run():
    def net(x):
        return jax.lax.scan(lambda c, _: (jnp.tanh(c + 0.1), None), x, None, length=50)[0]

    report = rfp_jax.audit(net)(jnp.ones(3))
    assert [entry.primitive for entry in report.entries] == ["add", "tanh"]
    assert report.tolerance == pytest.approx(32 * 10 * float(jnp.finfo(jnp.float32).eps))
    assert report.passed


def test_a_while_loop_is_certified_without_bias_by_origin():
    def net(x):
        return jax.lax.while_loop(lambda c: c[1] < 3, lambda c: (c[0] * 2 + 1, c[1] + 1), (x, 0))[0]

    report = rfp_jax.audit(net)(jnp.ones(3))
    assert report.passed
    assert report.residual is not None
    assert all(entry.bias is None for entry in report.entries)


def test_an_output_that_is_no_number_is_not_certified():
    report = rfp_jax.audit(jnp.log)(jnp.zeros(2))
    assert not report.passed
    assert "not finite" in report.verdict


def _blockwise(u, v, running_maximum):
    """`softmax(u) @ v`, two columns of u at a time; with or without a running maximum."""

    def step(carry, block):
        m, total, mixed = carry
        u, v = block
        after = jnp.maximum(m, u.max(-1)) if running_maximum else jnp.minimum(m, 0)
        p, kept = jnp.exp(u - after[:, None]), jnp.exp(m - after)
        return (after, kept * total + p.sum(-1), kept[:, None] * mixed + p @ v), None

    blocks = u.reshape(len(u), -1, 2).swapaxes(0, 1), v.reshape(-1, 2, v.shape[1])
    lowest = -jnp.inf if running_maximum else 0.0
    start = jnp.full(len(u), lowest), jnp.zeros(len(u)), jnp.zeros((len(u), v.shape[1]))
    (_, total, mixed), _ = jax.lax.scan(step, start, blocks)
    return mixed / total[:, None]


def test_an_online_softmax_is_hinted_at():
    u, v = (jax.random.normal(jax.random.key(i), (4, 4)) for i in range(2))
    for argnums, fun, found in (
        (0, lambda u: _blockwise(u, v, True), True),
        (0, lambda u: jax.jit(_blockwise, static_argnums=2)(u, v, True), True),
        (0, lambda u: _blockwise(u, v, False), False),  # no running maximum: sums alone
        (0, lambda u: jax.nn.softmax(u) @ v, False),
        (0, lambda w: _blockwise(u, v, True) * w, False),  # no source reaches the loop
    ):
        shape = jax.ShapeDtypeStruct(u.shape, u.dtype)
        hints = rfp_jax.audit(fun, argnums, rules="attnlrp")(shape).hints
        texts = [hint.text for hint in hints if hint.kind == "online softmax"]
        assert len(texts) == found, texts
        assert all("test_audit.py" in text for text in texts)
    np.testing.assert_allclose(_blockwise(u, v, True), jax.nn.softmax(u) @ v, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_long_sums_are_certified_within_rounding(x64, dtype):
    """The tests' own sums do not add to the error: their rounding is summed as well."""
    x, row = (jax.random.normal(jax.random.key(n), (n, 1 << 11), dtype) for n in (1 << 11, 1))
    report = rfp_jax.audit(lambda x, row: x + row, (0, 1))(x, row)
    assert report.passed, report.verdict
    assert all(max(entry.errors) < entry.tolerance / 10 for entry in report.entries)
