"""Named rules: zennit's numbers, both directions alike, batch norm merged, bias accounted for."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import rfp_jax
from rfp_jax import rules

pytestmark = pytest.mark.usefixtures("x64")

GAMMA_EPSILON = {"dense": rules.epsilon(1e-9), "convolution": rules.gamma(0.25)}
SETTINGS = {
    "epsilon_1e-2": rules.epsilon(1e-2),
    "epsilon_1e-9": rules.epsilon(1e-9),
    "gamma_0.25": rules.gamma(0.25),
    "zplus": rules.zplus(),
    "alpha2_beta1": rules.alpha_beta(2, 1),
    "alpha1_beta0": rules.alpha_beta(1, 0),
    "flat": rules.flat(),
    "wsquare": rules.wsquare(),
    "composite_first_box_gamma_epsilon": rules.composite(
        "box", first=rules.zbox(-1.0, 1.0), **GAMMA_EPSILON
    ),
    "composite_first_flat_gamma_epsilon": rules.composite(
        "flat", first=rules.flat(), **GAMMA_EPSILON
    ),
    "composite_first_wsquare_gamma_epsilon": rules.composite(
        "wsquare", first=rules.wsquare(), **GAMMA_EPSILON
    ),
}
CONSERVING = [name for name in SETTINGS if name not in ("flat", "wsquare")]
IMAGES = ("NCHW", "OIHW", "NCHW")


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(Path(__file__).parents[1] / "golden" / "zennit_rules_cnn.npz"))


def _cnn(golden):
    """The network of tests/golden/README.md, in PyTorch's layout, as a plain function."""
    weights = {k.removeprefix("param/"): v for k, v in golden.items() if k.startswith("param/")}

    def conv(x, layer, padding):
        y = lax.conv_general_dilated(
            x, weights[f"{layer}.weight"], (1, 1), padding, dimension_numbers=IMAGES
        )
        return y + weights[f"{layer}.bias"][None, :, None, None]

    def pool(x, start, operation):
        return lax.reduce_window(x, start, operation, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def net(x):
        h = pool(jax.nn.relu(conv(x, 0, [(1, 1), (1, 1)])), -jnp.inf, lax.max)
        h = pool(jax.nn.relu(conv(h, 3, "VALID")), 0.0, lax.add) / 4
        return h.reshape(h.shape[0], -1) @ weights["7.weight"].T + weights["7.bias"][None]

    return net


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_heatmap_equals_zennit(golden, name):
    net, expected = _cnn(golden), golden[f"heatmap/{name}"]
    x = jnp.asarray(golden["x"])
    np.testing.assert_allclose(net(x), golden["output"], rtol=0, atol=1e-12)
    explain = jax.jit(rfp_jax.heatmap(net, outputs="all", rules=SETTINGS[name]))
    got = jnp.moveaxis(explain(x), 0, 1)
    assert np.abs(got - expected).max() <= 1e-8 * np.abs(expected).max()


@pytest.mark.parametrize("name", SETTINGS)
def test_relevance_forward_equals_zennit(golden, name):
    """All outputs in one forward pass, for each channel a source: no other system computes it."""
    net, expected = _cnn(golden), golden[f"heatmap/{name}"]
    split = rfp_jax.sources.axis(1)
    rel = jax.jit(rfp_jax.relevance(net, split=split, rules=SETTINGS[name]))(golden["x"])
    per_channel = np.moveaxis(expected.sum((3, 4)), 2, 0)
    assert np.abs(rel.sources - per_channel).max() <= 1e-8 * np.abs(per_channel).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONSERVING)
def test_certificate_accounts_for_what_the_bias_took(golden, name):
    report = rfp_jax.audit(_cnn(golden), rules=SETTINGS[name])(golden["x"])
    assert report.passed, report.verdict
    layers = [entry for entry in report.entries if entry.primitive == "conv_general_dilated"]
    first_drops = name.endswith(("box_gamma_epsilon", "flat_gamma_epsilon"))
    first, second = (entry.rule.rpartition(", bias ")[2] for entry in layers)
    assert (first, second) == ("drops" if first_drops else "absorbs", "absorbs")


def test_certificate_tells_that_flat_loses_relevance_at_dead_units(golden):
    """A pooling window of units that are off has no share to give on; zennit drops it too."""
    assert not rfp_jax.audit(_cnn(golden), rules=rules.flat())(golden["x"]).passed


RULES = st.sampled_from(
    [
        rules.zero(),
        rules.epsilon(0.1),
        rules.gamma(0.5),
        rules.alpha_beta(2, 1),
        rules.alpha_beta(1.5, 0.5),
        rules.zplus(),
        rules.flat(),
        rules.wsquare(),
        rules.zbox(-3.0, 3.0),
        rules.EpsilonPlus(),
        rules.EpsilonPlusFlat(),
        rules.EpsilonAlpha2Beta1(),
        rules.EpsilonAlpha2Beta1Flat(),
        rules.EpsilonGammaBox(-3.0, 3.0),
        rules.ExcitationBackprop(),
    ]
)


@pytest.mark.slow
@settings(max_examples=20)
@given(rule=RULES, seed=st.integers(0, 2**32 - 1), strided=st.booleans(), relu=st.booleans())
def test_forward_and_reverse_are_transposes(rule, seed, strided, relu):
    rng = np.random.default_rng(seed)
    k1, k2 = rng.normal(size=(3, 3, 2, 4)), rng.normal(size=(2, 2, 5, 3))
    b1, w = rng.normal(size=(1, 1, 1, 4)), rng.normal(size=(3, 5))
    step = (2, 2) if strided else (1, 1)
    layout = ("NHWC", "HWIO", "NHWC")

    def net(x, y):
        h = lax.conv_general_dilated(x, k1, step, "SAME", dimension_numbers=layout) + b1
        h = jax.nn.relu(h) if relu else jnp.tanh(h)
        h = jnp.concatenate([h, lax.slice(y, (0, 0, 0, 0), (2, *h.shape[1:3], 1))], -1)
        h = lax.conv_general_dilated(h, k2, (1, 1), "VALID", dimension_numbers=layout)
        return jax.nn.relu(h).mean((1, 2)) @ w + 0.3

    x = rng.normal(size=(2, 6, 6, 2)) * (rng.random((2, 6, 6, 2)) > 0.3)  # with zeros
    y = rng.normal(size=(2, 6, 6, 1))
    push = rfp_jax.relevance(net, (0, 1), rules=rule)
    pull = rfp_jax.heatmap(net, (0, 1), outputs="all", rules=rule)
    forward, reverse = jax.jit(lambda *given: (push(*given).sources, pull(*given)))(x, y)
    for r, heat in zip(forward, reverse, strict=True):
        total = heat.sum((2, 3, 4)).T
        np.testing.assert_allclose(r, total, rtol=1e-10, atol=1e-10 * np.abs(total).max() + 1e-14)


@pytest.mark.parametrize(
    "rule", [rules.gamma(0.3), rules.epsilon(0.1), rules.alpha_beta(2, 1), rules.wsquare()]
)
def test_batch_norm_merges_into_the_layer(rule):
    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(3, 3, 2, 5)), rng.normal(size=(1, 7, 7, 2))
    mean, shift, b = (rng.normal(size=(1, 1, 1, 5)) for _ in range(3))
    scale = rng.normal(size=(1, 1, 1, 5))  # of either sign
    layout = ("NHWC", "HWIO", "NHWC")

    def conv(x, kernel):
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)

    def in_steps(x):
        return jax.nn.relu((conv(x, kernel) + b - mean) / 0.7 * scale + shift)

    def merged(x):
        return jax.nn.relu(conv(x, kernel * scale / 0.7) + ((b - mean) * scale / 0.7 + shift))

    weights = rng.normal(size=(1, 7, 7, 5))
    explained = (rfp_jax.heatmap(f, outputs=weights, rules=rule) for f in (in_steps, merged))
    one, other = (jax.jit(explain)(x) for explain in explained)
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_flat_gives_to_pixels_that_are_zero():
    """Shares are carried, so a black pixel and a unit that is off get theirs."""
    w = np.ones((4, 1))
    heat = rfp_jax.heatmap(lambda x: x @ w, outputs="all", rules=rules.flat())
    got = heat(np.array([[8.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(got, [[[2.0, 2.0, 2.0, 2.0]]], rtol=1e-11)


def test_identity_passes_relevance_unchanged():
    w = np.array([[0.0, 2.0], [3.0, 0.0]])
    heat = rfp_jax.heatmap(lambda x: x @ w, outputs="all", rules=rules.identity())
    np.testing.assert_allclose(heat(np.array([5.0, 7.0])), [[21.0, 0.0], [0.0, 10.0]])


def test_functional_add_counts_each_source_once():
    """At 24 and 24: 24 and 72 of 88, bias -8. Hooks on modules give 96 and 96."""

    def net(x, y):
        return x + 3 * y - 8.0

    rel = rfp_jax.relevance(net, (0, 1), rules=rules.epsilon(1e-9))(24.0, 24.0)
    np.testing.assert_allclose([*rel.sources, rel.bias], [24.0, 72.0, -8.0], rtol=1e-9)


def test_rules_by_place():
    def net(x):
        return jnp.tanh(x @ np.eye(3)) @ np.ones((3, 2))

    calls = []
    rules_there = rules.lrp0.override(
        lambda e: bool(calls.append((e.name, e.is_first))), rules.epsilon()
    )
    rfp_jax.relevance(net, rules=rules_there)(np.ones((1, 3)))
    assert calls == [("dot_general", True), ("tanh", False), ("dot_general", False)]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rules.alpha_beta(2, 2), ValueError, "alpha - beta = 1"),
        (lambda: rfp_jax.relevance(jnp.sin, rules="lrp9"), ValueError, "known: lrp0"),
        (lambda: rfp_jax.relevance(jnp.sin, rules=3), TypeError, "got 3"),
        (lambda: rfp_jax.gate(jnp.sin, rules=rules.flat()), ValueError, "carry fractions"),
        (
            lambda: rfp_jax.relevance(jnp.sin, bias="share", rules=rules.flat()),
            ValueError,
            "carry fractions",
        ),
        (
            lambda: rfp_jax.heatmap(lambda x: x @ np.ones((2, 3)), rules=rules.identity())(
                np.ones((1, 2))
            ),
            ValueError,
            "one shape",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
