"""The same networks with the keys of torchvision and timm, and the table of all of them.

Written anew, so that a conversion checks itself without either library.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from rfp_jax.convert.flax import _torch_models as published
from rfp_jax.convert.flax._torch_models import (
    Bottleneck,
    Transition,
    dense_block,
    resnet_stages,
    vgg16_classifier,
    vgg16_convolutions,
)


class ResNet50(nn.Module):
    """ResNet-50 of torchvision and timm.

    Args:
        channels: channels of the input, as a sequence of one.
        classes: number of outputs.
        positions: unused; the feature map is pooled.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int = 1) -> None:
        super().__init__()
        (count,) = channels
        self.conv1 = nn.Conv2d(count, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        for number, blocks in enumerate(resnet_stages(Bottleneck, (3, 4, 6, 3)), start=1):
            self.add_module(f"layer{number}", blocks)
        self.fc = nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [batch, channels, height, width]."""
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{number}")(x)
        return self.fc(x.mean((2, 3)))


class DenseNet121(nn.Module):
    """DenseNet-121 of torchvision and timm: the last feature map is rectified and pooled.

    Args:
        channels: channels of the input, as a sequence of one.
        classes: number of outputs.
        positions: unused.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int = 1) -> None:
        super().__init__()
        (count,) = channels
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(count, 64, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(64))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        width = 64
        for number, layers in enumerate((6, 12, 24, 16), start=1):
            self.features.add_module(f"denseblock{number}", dense_block(width, layers))
            width += 32 * layers
            if number < 4:
                self.features.add_module(f"transition{number}", Transition(width))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [batch, channels, height, width]."""
        return self.classifier(torch.relu(self.features(x)).mean((2, 3)))


class VGG16(nn.Module):
    """VGG-16 of torchvision at the size that it was trained on, where its adaptive pool is none.

    Args:
        channels: channels of the input, as a sequence of one.
        classes: number of outputs.
        positions: height x width of the last feature map.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int) -> None:
        super().__init__()
        self.features = vgg16_convolutions(*channels)
        self.classifier = vgg16_classifier(positions, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [batch, channels, height, width]."""
        return self.classifier(self.features(x).flatten(1))


class TimmVGG16(nn.Module):
    """VGG-16 of timm at the size that it was trained on: its dense layers are convolutions.

    Args:
        channels: channels of the input, as a sequence of one.
        classes: number of outputs.
        positions: unused: 7 x 7.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int = 49) -> None:
        super().__init__()
        self.features = vgg16_convolutions(*channels)
        self.pre_logits = nn.Module()
        self.pre_logits.fc1 = nn.Conv2d(512, 4096, 7)
        self.pre_logits.fc2 = nn.Conv2d(4096, 4096, 1)
        self.head = nn.Module()
        self.head.fc = nn.Linear(4096, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [batch, channels, 224, 224]."""
        x = torch.relu(self.get_submodule("pre_logits.fc1")(self.features(x)))
        x = torch.relu(self.get_submodule("pre_logits.fc2")(x))
        return self.get_submodule("head.fc")(x.flatten(1))


MODELS: Mapping[str, type[nn.Module]] = {
    "smallnet": published.SmallNet,
    "resnet50": published.ResNet50,
    "fusion_resnet18": published.FusionResNet18,
    "densenet121": published.DenseNet121,
    "vgg16": published.VGG16,
    "torchvision_resnet50": ResNet50,
    "torchvision_densenet121": DenseNet121,
    "torchvision_vgg16": VGG16,
    "timm_vgg16": TimmVGG16,
}
"""Every architecture in PyTorch: called with channels, classes and positions."""
