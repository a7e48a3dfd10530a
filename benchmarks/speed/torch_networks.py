"""The workloads' networks in PyTorch, with the same weights, as each peer wants them written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.speed.workloads import Workload
from rfp_jax.convert import flax
from rfp_jax.convert.flax._torch_libraries import MODELS
from rfp_jax.convert.flax._torch_models import ResNet50, SmallNet

Join = Callable[[list[Tensor]], tuple[Tensor, ...]]
Split = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def state_dict(work: Workload) -> dict[str, np.ndarray]:
    """The workload's weights by the keys of PyTorch."""
    return flax.to_torch(work.arch, work.variables)


def network(arch: str, weights: Mapping[str, np.ndarray], inputs: Sequence[np.ndarray]) -> Any:
    """A network of `convert`, with weights, for inference.

    Args:
        arch: "smallnet" or "resnet50".
        weights: by the keys of PyTorch.
        inputs: the sources, [batch, channels, height, width].
    """
    channels = [x.shape[1] for x in inputs]
    positions = int(np.prod([(n - 4) // 2 for n in inputs[0].shape[2:]]))
    head = "fc2.weight" if arch == "smallnet" else "FC.weight"
    joined = channels if arch == "smallnet" else [sum(channels)]
    model = MODELS[arch](joined, len(weights[head]), positions)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return model.eval()


def build(work: Workload) -> tuple[nn.Module, Join, Split]:
    """The network for Captum: how to join the sources for it, and how to split its heatmaps."""
    inputs = [np.moveaxis(np.asarray(x[:1]), -1, 1) for x in work.sources]
    model = network(work.arch, state_dict(work), inputs)
    if isinstance(model, SmallNet):
        return model, tuple, lambda heats: heats
    channels = [x.shape[1] for x in inputs]
    return (
        ResNetOfModules(model),
        lambda sources: (torch.cat(sources, dim=1),),
        lambda heats: heats[0].split(channels, dim=1),
    )


def plain(arch: str, side: int) -> nn.Module:
    """A network of PyTorch's on twelve bands, as people have it, with its random weights.

    Args:
        arch: "resnet50" or "vit".
        side: pixels a side.
    """
    return ResNet50([12], 10) if arch == "resnet50" else VisionTransformer(12, side)


class Joined(nn.Module):
    """A network of one image, whose channels come from several sources."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *sources: Tensor) -> Tensor:
        """Logits of sources [batch, channels, height, width]."""
        return self.network(torch.cat(sources, 1))


class Block(nn.Module):
    """A layer of an encoder, normalized first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [batch, token, width] to tokens."""
        parts = self.project(self.first(x)).chunk(3, -1)
        parts = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]
        seen = functional.scaled_dot_product_attention(*parts)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.contract(functional.gelu(self.expand(self.second(x))))


class VisionTransformer(nn.Module):
    """A small ViT (Dosovitskiy et al. 2021): patches, encoder, mean, head.

    Args:
        channels: of the image.
        side: its pixels a side.
    """

    def __init__(self, channels: int, side: int, width: int = 192, layers: int = 6) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, 8, 8)
        self.position = nn.Parameter(0.02 * torch.randn(1, (side // 8) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, 3) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an image [batch, channels, height, width]."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


class ResNetOfModules(nn.Module):
    """ResNet-50 without identities, flattening and sums that are not modules of Captum's."""

    def __init__(self, model: ResNet50) -> None:
        super().__init__()
        *layers, self.pool, _ = model.encoder
        self.layers = nn.Sequential()
        for layer in layers:
            is_stage = isinstance(layer, nn.Sequential)
            self.layers.append(nn.Sequential(*map(BlockOfModules, layer)) if is_stage else layer)
        self.head = model.FC

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [batch, channels, height, width]."""
        return self.head(self.pool(self.layers(x)).flatten(1))


class BlockOfModules(nn.Module):
    """A bottleneck whose sum is a module; without a shortcut it passes its input on."""

    shortcut: nn.Sequential | None

    def __init__(self, block: Any) -> None:  # a Bottleneck of rfp_jax.convert.flax._torch_models
        super().__init__()
        from captum.attr._utils.custom_modules import Addition_Module

        self.main = nn.Sequential(
            *(block.conv1, block.bn1, nn.ReLU()),
            *(block.conv2, block.bn2, nn.ReLU()),
            *(block.conv3, block.bn3),
        )
        self.shortcut = block.downsample if list(block.downsample.children()) else None
        self.add, self.relu = Addition_Module(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Feature map to feature map."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.relu(self.add(self.main(x), shortcut))


class SmallNetOfAuthors(nn.Module):
    """SmallNet in the calls that the authors' code replaces."""

    def __init__(self, model: Any) -> None:  # a SmallNet of rfp_jax.convert.flax._torch_models
        super().__init__()
        self.branch1, self.branch2 = model.branch1, model.branch2
        self.fc1, self.relu, self.fc2 = model.fc1, nn.ReLU(), model.fc2

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Logits of two sources [slot, batch, channels, height, width]."""
        branches = self.branch1(left), self.branch2(right)
        flat = [torch.flatten(x, start_dim=-3) for x in branches]
        return self.fc2(self.relu(self.fc1(torch.cat(flat, -1))))


class ResNetOfAuthors(nn.Module):
    """ResNet-50 in the calls that the authors' code replaces."""

    def __init__(self, model: ResNet50) -> None:
        super().__init__()
        self.encoder, self.head = model.encoder[:-1], model.FC

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [slot, batch, channels, height, width]."""
        return self.head(torch.flatten(self.encoder(x), start_dim=1))
