"""Captum's LRP beside ours: equal where its rules are the papers'; else the truth, by hand.

Captum gives a layer changed weights w̃ and leaves bias and input as they are,

    R_i = Σ_j x_i w̃_ij R_j / (z_j + ε sign z_j),   z_j = Σ_i x_i w̃_ij + b_j,

with w̃ = w for its ε rule, w + γ w⁺ for γ, w⁺ for α1β0, and ε in all three. The papers' γ and α1β0
treat the bias as one more weight, on an input of 1, so z holds `b + γ b⁺` and `b⁺`; and they look
at the sign of `x_i w_ij`, not of `w_ij`. Both agree where x >= 0, y > 0 and, for γ, b <= 0, for
α1β0, b >= 0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import rfp_jax
from rfp_jax import rules

torch = pytest.importorskip("torch")
pytest.importorskip("captum")

from captum.attr import LRP  # noqa: E402 - only if there is a Captum
from captum.attr._utils.lrp_rules import (  # noqa: E402
    Alpha1_Beta0_Rule,
    EpsilonRule,
    GammaRule,
)

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.slow]

EPSILON = 1e-9
"""Captum's own."""
AS_IT_IS = 1e-30
"""An ε that only saves 0 / 0: Captum wants a rule for pooling, which we keep as it is."""
NCHW = ("NCHW", "OIHW", "NCHW")


class CNN(torch.nn.Module):
    """Convolution, ReLU, maximum, convolution, ReLU, dense."""

    def __init__(self, bias_sign):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.pool = torch.nn.MaxPool2d(2)
        self.second = torch.nn.Conv2d(4, 5, 2, stride=2)
        self.last = torch.nn.Linear(5 * 2 * 2, 3)
        self.relus = torch.nn.ModuleList([torch.nn.ReLU(), torch.nn.ReLU()])
        self.double()
        if bias_sign:
            for layer in (self.first, self.second, self.last):
                layer.bias.data = 0.2 * bias_sign * layer.bias.data.abs()

    def forward(self, x):
        h = self.pool(self.relus[0](self.first(x)))
        h = self.relus[1](self.second(h))
        return self.last(h.reshape(len(h), -1))


def _captum(model, x, target, **layer_rules):
    for name, rule in layer_rules.items():
        getattr(model, name).rule = rule
    inputs = tuple(torch.tensor(v, requires_grad=True) for v in x)
    found = LRP(model).attribute(inputs, target=target)
    return [heat.detach().numpy() for heat in found]


def _ours(model):
    """The same network as a plain function."""
    w = {name: value.detach().numpy() for name, value in model.state_dict().items()}

    def conv(x, layer, stride, padding):
        y = lax.conv_general_dilated(
            x, w[f"{layer}.weight"], (stride,) * 2, [(padding,) * 2] * 2, dimension_numbers=NCHW
        )
        return y + w[f"{layer}.bias"][None, :, None, None]

    def net(x):
        h = jax.nn.relu(conv(x, "first", 1, 1))
        h = lax.reduce_window(h, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        h = jax.nn.relu(conv(h, "second", 2, 0))
        return h.reshape(len(h), -1) @ w["last.weight"].T + w["last.bias"][None]

    return net


@pytest.mark.parametrize(
    ("theirs", "ours", "bias_sign"),
    [
        (lambda: EpsilonRule(EPSILON), rules.epsilon(EPSILON), 0),
        (lambda: EpsilonRule(0.05), rules.epsilon(0.05), 0),
        (lambda: GammaRule(0.25), rules.gamma(0.25, EPSILON), -1),
        (Alpha1_Beta0_Rule, rules.zplus(EPSILON), 1),
        (Alpha1_Beta0_Rule, rules.alpha_beta(1, 0, EPSILON), 1),
    ],
    ids=["epsilon", "epsilon_large", "gamma", "zplus", "alpha1_beta0"],
)
def test_equals_captum_in_both_directions(theirs, ours, bias_sign):
    """Captum's layers take the rule, but the last one ε: its outputs have either sign."""
    model = CNN(bias_sign)
    x = np.abs(np.random.default_rng(0).normal(size=(3, 2, 8, 8)))
    net = _ours(model)
    mixed = rules.composite("mixed", convolution=ours, dense=rules.epsilon(EPSILON))
    heat = jax.jit(rfp_jax.heatmap(net, outputs="all", rules=mixed))(x)
    split = rfp_jax.sources.axis(1)
    forward = jax.jit(rfp_jax.relevance(net, split=split, rules=mixed))(x)
    np.testing.assert_allclose(
        forward.output, model(torch.tensor(x)).detach(), rtol=1e-12, atol=1e-14
    )
    for k in range(3):
        layer_rules = {"first": theirs(), "second": theirs(), "last": EpsilonRule(EPSILON)}
        (expected,) = _captum(model, [x], k, pool=EpsilonRule(AS_IT_IS), **layer_rules)
        assert np.abs(expected).max() > 1e-3  # there is something to compare
        limit = 1e-10 * np.abs(expected).max()
        np.testing.assert_allclose(heat[k], expected, rtol=0, atol=limit)
        per_channel = np.moveaxis(expected.sum((2, 3)), 1, 0)
        np.testing.assert_allclose(forward.sources[..., k], per_channel, rtol=0, atol=10 * limit)


class Dense(torch.nn.Module):
    """One layer `x w + b` with one output."""

    def __init__(self, weights, bias):
        super().__init__()
        self.layer = torch.nn.Linear(len(weights), 1).double()
        self.layer.weight.data = torch.tensor([weights], dtype=torch.float64)
        self.layer.bias.data = torch.tensor([bias], dtype=torch.float64)

    def forward(self, x):
        return self.layer(x)


GAMMA, ALPHA1 = (lambda: GammaRule(1.0), rules.gamma(1.0)), (Alpha1_Beta0_Rule, rules.zplus())


@pytest.mark.parametrize(
    ("pair", "layer", "captums", "right"),
    [
        # y = 3·2 - 1·1 + 3 = 8. γ = 1 doubles what is positive, 3·2, and the bias 3, not -1:
        # 12 - 1 + 6 = 17, so 8·12/17 and -8/17, and 8·6/17 is the bias's. Captum leaves the bias:
        # z = 12 - 1 + 3 = 14.
        (GAMMA, ((3, 1), (2, -1), 3), (8 * 12 / 14, -8 / 14), (8 * 12 / 17, -8 / 17)),
        # y = 2 - 6 = -4 < 0: what speaks for y is negative and is doubled, 2 - 12 = -10, so
        # -4·2/-10 and -4·-12/-10. Captum boosts against y: z = 4 - 6 = -2, R = -4·4/-2, -4·-6/-2.
        (GAMMA, ((1, 3), (2, -2), 0), (8, -12), (0.8, -4.8)),
        # y = (-2)(-3) + (-1)·1 = 5: the product 6 is positive, its weight is not: z = 12 - 1.
        # Captum boosts the weight 1 instead: z = 6 - 2.
        (GAMMA, ((-2, -1), (-3, 1), 0), (5 * 6 / 4, -5 * 2 / 4), (5 * 12 / 11, -5 / 11)),
        # y = 3·2 - 1·1 - 2 = 3. α1β0: only 6 is positive, so all of 3 goes there. Captum keeps the
        # negative bias in z = 6 - 2: 3·6/4, more than there is.
        (ALPHA1, ((3, 1), (2, -1), -2), (4.5, 0), (3, 0)),
        # y = 3·1 + (-1)·(-2) = 5: both products are positive. Captum takes w⁺ alone: z = 3.
        (ALPHA1, ((3, -1), (1, -2), 0), (5, 0), (3, 2)),
        # y = 3·2 - 1·1 = 5: the product -1 is negative. Captum takes its weight 1 for positive:
        # z = 6 - 1 = 5.
        (ALPHA1, ((3, -1), (2, 1), 0), (6, -1), (5, 0)),
    ],
    ids=["γ_bias", "γ_output<0", "γ_input<0", "α_bias<0", "α_input<0", "α_input<0_w>0"],
)
def test_where_captum_differs_the_paper_is_right(pair, layer, captums, right):
    """By hand: Montavon et al. 2019 (γ, with the bias among the weights), Bach et al. 2015 (α)."""
    (theirs, rule), (x, w, b) = pair, layer
    x, weights = np.array([x], float), np.array(w, float)[:, None]
    (theirs,) = _captum(Dense([float(v) for v in w], float(b)), [x], 0, layer=theirs())
    np.testing.assert_allclose(theirs, [captums], rtol=1e-6, atol=1e-9)
    heat = rfp_jax.heatmap(lambda x: x @ weights + float(b), rules=rule)(x)
    np.testing.assert_allclose(heat, [right], rtol=1e-10, atol=1e-12)


class Residual(torch.nn.Module):
    """`x + (3 x - 8)`, then a layer of weight 1."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(1, 1).double()
        self.outer = torch.nn.Linear(1, 1, bias=False).double()
        self.inner.weight.data.fill_(3.0)
        self.inner.bias.data.fill_(-8.0)
        self.outer.weight.data.fill_(1.0)

    def forward(self, x):
        return self.outer(x + self.inner(x))


def test_residual_addition_divides_relevance():
    """At x = 24: y = 24 + 64 = 88; the addition gives 24 to the skip, 64 to the layer.

    Of the layer's 64 = 72 - 8 its input gets 64 · 72/64 = 72, the bias -8. So x has 24 + 72 = 96.
    Captum's addition, a hook-free operation, gives both sides all of 88; and the skip's 88 meets
    the hook that multiplies what arrives at the layer's input by x: 24 (88 + 88 · 3/64) = 2211.
    """
    x = np.array([[24.0]])
    (theirs,) = _captum(Residual(), [x], 0)
    np.testing.assert_allclose(theirs, [[2211.0]], rtol=1e-7)
    net = lambda x: (x + (x @ np.full((1, 1), 3.0) - 8.0)) @ np.ones((1, 1))  # noqa: E731
    rel = rfp_jax.relevance(net, rules=rules.epsilon(EPSILON))(x)
    np.testing.assert_allclose(rel.sources, [[96.0]], rtol=1e-9)
    np.testing.assert_allclose(rel.bias, [[-8.0]], rtol=1e-8)
    heat = rfp_jax.heatmap(net, rules=rules.epsilon(EPSILON))(x)
    np.testing.assert_allclose(heat, [[96.0]], rtol=1e-9)


class Branches(torch.nn.Module):
    """`x + (3 y - 8)` of two sources, each through a layer."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.outer = (torch.nn.Linear(1, 1).double() for _ in range(3))
        for layer, weight, bias in ((self.left, 1, 0), (self.right, 3, -8), (self.outer, 1, 0)):
            layer.weight.data.fill_(weight)
            layer.bias.data.fill_(bias)

    def forward(self, x, y):
        return self.outer(self.left(x) + self.right(y))


def test_addition_of_sources_counts_each_once():
    """At 24 and 24: 24 + 72 - 8 = 88. Captum sends 88 into both: 88 · 24/24 and 88 · 72/64."""
    x = np.array([[24.0]])
    theirs = _captum(Branches(), [x, x.copy()], 0)
    np.testing.assert_allclose(np.ravel(theirs), [88.0, 99.0], rtol=1e-7)

    def net(x, y):
        return (x @ np.ones((1, 1)) + (y @ np.full((1, 1), 3.0) - 8.0)) @ np.ones((1, 1))

    rel = rfp_jax.relevance(net, (0, 1), rules=rules.epsilon(EPSILON))(x, x)
    np.testing.assert_allclose(np.ravel([*rel.sources, rel.bias]), [24, 72, -8], rtol=1e-8)


class Twice(torch.nn.Module):
    """One layer, used twice."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        return self.layer(self.relu(self.layer(x)))


def test_module_used_twice():
    """At x = (2, 1), w = ((1, 2), (1, -4)), b = (1, 1): x w + b = (4, 1), both pass.

    Again: (4, 1) w + b = (6, 5). Of the 6, 4 are from the first unit, 1 from the second, 1 is bias;
    the units are 2 + 1 + bias 1 and 4 - 4 + bias 1. So the inputs have 4 (2, 1)/4 + 1 (4, -4)/1 =
    (6, -3), and the bias 1 + 1 + 1. Of the 5, 8 and -4: 8 (2, 1)/4 - 4 (4, -4) = (-12, 18), and the
    bias 1 + 2 - 4.
    """
    w, b, x = np.array([[1.0, 2.0], [1.0, -4.0]]), np.ones(2), np.array([[2.0, 1.0]])
    layer = torch.nn.Linear(2, 2).double()
    layer.weight.data, layer.bias.data = torch.tensor(w.T), torch.tensor(b)
    with pytest.raises(RuntimeError, match="more than once"):
        _captum(Twice(layer), [x], 0)

    def net(x):
        def same(h):
            return h @ w + b[None]

        return same(jax.nn.relu(same(x)))

    heat = rfp_jax.heatmap(net, outputs="all", rules=rules.epsilon(1e-12))(x)
    np.testing.assert_allclose(heat[:, 0], [[6, -3], [-12, 18]], rtol=1e-9)
    rel = rfp_jax.relevance(net, rules=rules.epsilon(1e-12))(x)
    np.testing.assert_allclose(rel.output, [[6, 5]])
    np.testing.assert_allclose(rel.bias, [[3, -1]], rtol=1e-9)
