"""PyTorch: modules of six libraries as they are, taken over by `rfp_jax.convert.from_torch`.

Each is compared with PyTorch on the same weights and sources. Libraries are imported when one of
their models is built.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.zoo import hugging_face
from benchmarks.zoo.entry import Builder
from benchmarks.zoo.taken_over import CLASSES, Joined, library, taken_over


class Fusion(nn.Module):
    """Two branches with operations in place and as functions, joined late."""

    def __init__(self) -> None:
        super().__init__()
        self.optical = nn.Sequential(
            nn.Conv2d(10, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )
        self.sar = nn.Conv2d(2, 16, 3, padding=1)
        self.gate = nn.Linear(16, 16)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        left, right = self.optical(optical), self.sar(sar)
        right += 0.1
        right[:, ::2] *= 2
        right = functional.max_pool2d(functional.leaky_relu_(right), 2)
        gate = torch.sigmoid(self.gate(left.mean((-2, -1))))
        left = functional.avg_pool2d(left * gate[..., None, None], 2)
        return self.head(torch.cat([left, right], 1).mean((-2, -1)))


class Series(nn.Module):
    """A recurrent layer over each of two time series."""

    def __init__(self, layer: Callable[..., nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.optical = layer(10, 16, batch_first=True, **options)
        self.sar = layer(2, 16, batch_first=True, **options)
        self.head = nn.LazyLinear(CLASSES)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        ends = [self.optical(optical)[0][:, -1], self.sar(sar)[0][:, -1]]
        return self.head(torch.cat(ends, -1))


class Encoder(nn.Module):
    """Tokens of two sources in one encoder."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.optical, self.sar = nn.Linear(10, 16), nn.Linear(2, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        tokens = torch.cat([self.optical(optical), self.sar(sar)], 1)
        return self.head(self.encoder(tokens).mean(1))


class CrossAttention(nn.Module):
    """One source asks the other."""

    def __init__(self) -> None:
        super().__init__()
        self.optical, self.sar = nn.Linear(10, 16), nn.Linear(2, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, optical: Tensor, sar: Tensor) -> Tensor:
        left, right = self.optical(optical), self.sar(sar)
        return self.head((left + self.attention(left, right, right)[0]).mean(1))


def _sensors(make: Callable[[], nn.Module], size: int, channels: tuple[int, int]) -> Builder:
    shapes = [(1, count, size, size) for count in channels]
    return functools.partial(taken_over, make, shapes)


def _torchvision(name: str, size: int = 64, **options: Any) -> Builder:
    """Three channels: two of one source, one of the other."""

    def make() -> nn.Module:
        network = library("torchvision.models", name, num_classes=CLASSES, **options)
        return Joined(network)

    return _sensors(make, size, (2, 1))


def _timm(name: str, size: int = 64, **options: Any) -> Builder:
    def make() -> nn.Module:
        arguments = {"num_classes": CLASSES, "in_chans": 12, **options}
        return Joined(library("timm", "create_model", name, **arguments))

    return _sensors(make, size, (10, 2))


def _segmentation(name: str) -> Builder:
    def make() -> nn.Module:
        options = {"encoder_weights": None, "in_channels": 12, "classes": CLASSES}
        return Joined(library("segmentation_models_pytorch", name, "resnet18", **options))

    return _sensors(make, 64, (10, 2))


_IMAGES = [(2, 10, 16, 16), (2, 2, 16, 16)]
_SERIES = [(2, 6, 10), (2, 6, 2)]


def _own(make: Callable[[], nn.Module], shapes: Sequence[tuple[int, ...]]) -> Builder:
    return functools.partial(taken_over, make, shapes)


BUILDERS: dict[str, Builder] = {
    "torch: Fusion (in place)": _own(Fusion, _IMAGES),
    "torch: LSTM": _own(functools.partial(Series, nn.LSTM), _SERIES),
    "torch: LSTM (two layers, both ways)": _own(
        functools.partial(Series, nn.LSTM, num_layers=2, bidirectional=True), _SERIES
    ),
    "torch: GRU": _own(functools.partial(Series, nn.GRU), _SERIES),
    "torch: RNN": _own(functools.partial(Series, nn.RNN), _SERIES),
    "torch: MultiheadAttention": _own(CrossAttention, _SERIES),
    "torch: TransformerEncoder": _own(Encoder, _SERIES),
    "torch: TransformerEncoder (norm first, GELU)": _own(
        functools.partial(Encoder, norm_first=True, activation="gelu"), _SERIES
    ),
    **{
        f"torchvision: {name}": _torchvision(name)
        for name in """vgg11 resnet18 resnext50_32x4d densenet121 squeezenet1_1 mobilenet_v2
        mobilenet_v3_small efficientnet_b0 shufflenet_v2_x0_5 mnasnet0_5 regnet_y_400mf
        convnext_tiny swin_t swin_v2_t""".split()
    },
    "torchvision: vit_b_16": _torchvision("vit_b_16", image_size=64),
    "torchvision: googlenet": _torchvision("googlenet", init_weights=False),
    **{
        f"timm: {name}": _timm(name)
        for name in """resnet10t seresnet18 ecaresnet26t res2net50_14w_8s convmixer_768_32 nfnet_f0
        hrnet_w18_small dla34 ghostnet_050 tf_efficientnetv2_b0 edgenext_xx_small repvit_m0_9
        inception_next_atto starnet_s1 poolformer_s12""".split()
    },
    **{
        f"timm: {name}": _timm(name, 64, img_size=64)
        for name in "mixer_s16_224 deit_tiny_patch16_224 beit_base_patch16_224".split()
    },
    **{
        f"segmentation_models_pytorch: {name}": _segmentation(name)
        for name in "Unet UnetPlusPlus FPN PSPNet Linknet MAnet DeepLabV3Plus".split()
    },
    **hugging_face.BUILDERS,
}
"""Models by name, the library first."""
