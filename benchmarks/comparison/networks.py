"""Networks of two sensors in PyTorch: in the style that hooks need, and as people write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10
BANDS = (10, 2)
"""Channels of the optical and of the radar image."""


class Modules(nn.Module):
    """A convolutional network of two branches; but for the join, what computes is a module."""

    def __init__(self) -> None:
        super().__init__()
        self.optical, self.sar = (_branch(count) for count in BANDS)
        self.head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES))

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        joined = torch.cat([self.optical(optical), self.sar(sar)], 1)
        return self.head(joined.flatten(1))


def _branch(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
    )


class Functions(nn.Module):
    """The same kind of network with a mean as a function, and a residual connection as a `+`."""

    def __init__(self) -> None:
        super().__init__()
        self.optical, self.sar = (nn.Conv2d(count, 16, 3, padding=1) for count in BANDS)
        self.middle = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        x = functional.relu(self.optical(optical) + self.sar(sar))
        x = x + functional.relu(self.middle(x))
        return self.head(x.mean((2, 3)))


class Tokens(nn.Module):
    """Series of two sensors in one transformer of torch's own: layer norm, GELU, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.optical, self.sar = (nn.Linear(count, 32) for count in BANDS)
        layer = nn.TransformerEncoderLayer(
            32, 4, 64, activation=nn.GELU(), batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        tokens = torch.cat([self.optical(optical), self.sar(sar)], 1)
        return self.head(self.encoder(tokens)[:, 0])


class Network(NamedTuple):
    """A network and the shapes of its two sources, without the batch."""

    make: Callable[[], nn.Module]
    shapes: Sequence[tuple[int, ...]]

    def build(self, batch: int, seed: int = 0) -> tuple[nn.Module, list[Tensor]]:
        """Draw weights and statistics, and sources, in float32."""
        torch.manual_seed(seed)
        module = self.make().eval()
        with torch.no_grad():
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if name.endswith(("var", "norm1.weight", "norm2.weight")):
                    tensor.uniform_(0.5, 1.5)
                elif tensor.ndim == 1:  # biases, means, scales of batch norm
                    tensor.add_(torch.randn_like(tensor), alpha=0.1)
        return module, [torch.randn(batch, *shape) for shape in self.shapes]


def _images(size: int) -> list[tuple[int, ...]]:
    return [(count, size, size) for count in BANDS]


NETWORKS = {
    "modules": Network(Modules, _images(32)),
    "functions": Network(Functions, _images(32)),
    "tokens": Network(Tokens, [(12, count) for count in BANDS]),
}
"""By the names of the table."""
