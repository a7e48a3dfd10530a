"""Gradient methods and LRP by output, against Captum."""

import captum.attr
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import rfp_jax
from rfp_jax.attribution import (
    gradient_x_input,
    integrated_gradients,
    lrp,
    occlusion,
)
from tests.attribution.four_sources import (
    ARGNUMS,
    BATCH,
    CLASSES,
    SHAPES,
    Case,
    arranged,
    listed,
    network,
)

pytestmark = pytest.mark.usefixtures("x64")


class TorchNetwork(torch.nn.Module):
    def __init__(self, params):
        super().__init__()
        self.params = {name: torch.tensor(value) for name, value in params.items()}

    def forward(self, a, b, c, d):
        flat = torch.cat([x.flatten(1) for x in (a, b, c, d)], dim=1)
        hidden = torch.relu(flat @ self.params["w1"] + self.params["b1"])
        return torch.tanh(hidden @ self.params["w2"]) * 3 + hidden @ self.params["w3"]


def by_captum(method, case, **settings):
    """A Captum attribution for every class, summed by source: four arrays [B, K]."""
    inputs = tuple(torch.tensor(x, requires_grad=True) for x in case.sources)
    explain = method(TorchNetwork(case.params))
    by_class = [explain.attribute(inputs, target=target, **settings) for target in range(CLASSES)]
    return [
        np.stack([each[s].flatten(1).sum(dim=1).detach().numpy() for each in by_class], axis=1)
        for s in range(4)
    ]


def test_gradient_x_input_is_captums():
    case = Case()
    expected = by_captum(captum.attr.InputXGradient, case)
    result = listed(gradient_x_input(network, ARGNUMS)(*case.args))
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_integrated_gradients_are_captums(baseline):
    case = Case()
    given, reference = baseline(case)
    start = tuple(
        torch.tensor(np.broadcast_to(b, x.shape).copy())
        for b, x in zip(reference or [0.0] * 4, case.sources, strict=True)
    )
    expected = by_captum(captum.attr.IntegratedGradients, case, baselines=start, n_steps=20)
    result = listed(integrated_gradients(network, ARGNUMS, baseline=given, steps=20)(*case.args))
    np.testing.assert_allclose(result, expected, atol=1e-7)  # Captum's nodes are float32


def test_occlusion_is_captums_ablation():
    case = Case()
    mask = tuple(torch.full((1, *shape), s) for s, shape in enumerate(SHAPES.values()))
    inputs = tuple(torch.tensor(x) for x in case.sources)
    explain = captum.attr.FeatureAblation(TorchNetwork(case.params))
    result = listed(occlusion(network, ARGNUMS)(*case.args))
    for target in range(CLASSES):
        parts = explain.attribute(inputs, target=target, feature_mask=mask)
        for s, part in enumerate(parts):
            first = part.flatten(1)[:, 0].numpy()
            np.testing.assert_allclose(result[s][:, target], first, atol=1e-12)


def test_integrated_gradients_are_complete_for_a_smooth_network():
    case = Case()
    given, reference = arranged(case.baselines), case.baselines

    def smooth(params, *sources):
        return network({**params, "b1": params["b1"] + 100.0}, *sources)

    case.params["b1"] = case.params["b1"] + 100.0  # no ReLU switches: tanh alone is not linear
    gain = case.output({0, 1, 2, 3}) - case.output(set(), reference)
    case.params["b1"] = case.params["b1"] - 100.0
    result = listed(integrated_gradients(smooth, ARGNUMS, baseline=given)(*case.args))
    np.testing.assert_allclose(sum(result), gain, atol=1e-10)


class TorchReluNetwork(torch.nn.Module):
    def __init__(self, params):
        super().__init__()
        self.first = torch.nn.Linear(*params["w1"].shape, dtype=torch.float64)
        self.relu = torch.nn.ReLU()
        self.second = torch.nn.Linear(*params["w3"].shape, bias=False, dtype=torch.float64)
        self.first.weight.data = torch.tensor(params["w1"].T)
        self.first.bias.data = torch.tensor(params["b1"])
        self.second.weight.data = torch.tensor(params["w3"].T)

    def forward(self, x):
        return self.second(self.relu(self.first(x)))


def relu_network(params, first, pair, last):
    inputs = [first, pair["b"], pair["c"], last]
    flat = jnp.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)
    return jax.nn.relu(flat @ params["w1"] + params["b1"][None]) @ params["w3"]


def test_lrp_and_gradient_x_input_of_a_relu_network_are_relevance():
    case = Case()
    relevance = listed(rfp_jax.relevance(relu_network, ARGNUMS)(*case.args).sources)
    for method in (lrp, gradient_x_input):
        result = listed(method(relu_network, ARGNUMS)(*case.args))
        np.testing.assert_allclose(result, relevance, atol=1e-12)


def test_lrp_is_captums():
    case = Case()
    result = listed(lrp(relu_network, ARGNUMS)(*case.args))
    flat = np.concatenate([x.reshape(BATCH, -1) for x in case.sources], axis=1)
    splits = np.cumsum([x[0].size for x in case.sources])[:-1]
    explain = captum.attr.LRP(TorchReluNetwork(case.params))
    for target in range(CLASSES):
        inputs = torch.tensor(flat, requires_grad=True)
        maps = explain.attribute(inputs, target=target).detach().numpy()
        for s, part in enumerate(np.split(maps, splits, axis=1)):
            np.testing.assert_allclose(result[s][:, target], part.sum(axis=1), atol=1e-7)


def test_lrp_takes_other_rules_and_refuses_other_outputs():
    case = Case()
    gamma = listed(lrp(relu_network, ARGNUMS, rules=rfp_jax.rules.gamma(0.25))(*case.args))
    plain = listed(lrp(relu_network, ARGNUMS)(*case.args))
    assert np.max(np.abs(gamma[0] - plain[0])) > 1e-3
    with pytest.raises(ValueError, match=r"needs an output of shape \[B, K\]"):
        lrp(lambda x: x.sum())(jnp.ones((2, 3)))
