"""The same network in PyTorch, and what Captum's LRP says of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import captum.attr
import numpy as np
import torch
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn

Weights = Mapping[str, np.ndarray]
"""Kernels [height, width, in, out] and [in, out], biases [out]; as `left.conv1.kernel`."""


class Branch(nn.Module):
    """Conv ReLU Conv ReLU MaxPool, each layer a module of its own, as Captum wants it."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        self.conv1 = conv(weights, f"{name}.conv1")
        self.relu1 = nn.ReLU()
        self.conv2 = conv(weights, f"{name}.conv2")
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.relu2(self.conv2(self.relu1(self.conv1(x)))))


class TwoBranches(nn.Module):
    """A SmallNet: a branch for each source, concatenated channels, two dense layers."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.left, self.right = Branch(weights, "left"), Branch(weights, "right")
        self.fc1, self.fc2 = linear(weights, "fc1"), linear(weights, "fc2")
        self.relu = nn.ReLU()

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.left(left), self.right(right)], dim=1)
        x = x.permute(0, 2, 3, 1).flatten(1)  # channels last, as JAX flattens
        return self.fc2(self.relu(self.fc1(x)))


def conv(weights: Weights, name: str) -> nn.Conv2d:
    """A convolution of NCHW images with a kernel of JAX."""
    kernel = torch.tensor(weights[f"{name}.kernel"]).permute(3, 2, 0, 1)
    module = nn.Conv2d(kernel.shape[1], kernel.shape[0], tuple(kernel.shape[2:])).double()
    module.load_state_dict({"weight": kernel, "bias": torch.tensor(weights[f"{name}.bias"])})
    return module


def linear(weights: Weights, name: str) -> nn.Linear:
    """A dense layer with a kernel of JAX."""
    kernel = torch.tensor(weights[f"{name}.kernel"]).T
    module = nn.Linear(kernel.shape[1], kernel.shape[0]).double()
    module.load_state_dict({"weight": kernel, "bias": torch.tensor(weights[f"{name}.bias"])})
    return module


def to_torch(images: np.ndarray) -> torch.Tensor:
    """NHWC to NCHW."""
    return torch.tensor(images.transpose(0, 3, 1, 2))


def outputs(model: nn.Module, sources: Sequence[np.ndarray]) -> np.ndarray:
    """Return the outputs of the network."""
    with torch.no_grad():
        return model(*map(to_torch, sources)).numpy()


def lrp(
    model: nn.Module, sources: Sequence[np.ndarray], outputs: int, epsilon: float
) -> np.ndarray:
    """Captum's epsilon-LRP, each output a target of its own, summed over each source.

    Returns:
        Relevance [source, batch, output].
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.MaxPool2d):
            module.rule = EpsilonRule(epsilon)
    explain = captum.attr.LRP(model)
    inputs = tuple(to_torch(source).requires_grad_() for source in sources)
    columns = []
    for target in range(outputs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of its own hooks
            heats = explain.attribute(inputs, target=target)
        columns.append([heat.detach().numpy().sum((1, 2, 3)) for heat in heats])
    return np.moveaxis(np.array(columns), 0, -1)


def gradient_times_input(
    model: nn.Module, sources: Sequence[np.ndarray], outputs: int
) -> np.ndarray:
    """PyTorch's own gradient times the input, summed over each source.

    Returns:
        Relevance [source, batch, output].
    """
    inputs = tuple(to_torch(source).requires_grad_() for source in sources)
    columns = []
    for target in range(outputs):
        grads = torch.autograd.grad(model(*inputs)[:, target].sum(), inputs)
        columns.append(
            [(g * x).detach().numpy().sum((1, 2, 3)) for g, x in zip(grads, inputs, strict=True)]
        )
    return np.moveaxis(np.array(columns), 0, -1)
