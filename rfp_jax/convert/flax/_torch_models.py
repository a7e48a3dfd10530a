"""The same networks in PyTorch, with the keys of the published checkpoints.

The conversion checks itself against them, and so do the tests. They compute only; initialization is
left at PyTorch's defaults because every weight comes from a state dict.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


class SmallNet(nn.Module):
    """SmallNet: a branch per source, joined before two dense layers.

    Args:
        channels: channels of each source.
        classes: number of outputs.
        positions: height x width of a branch's feature map.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int) -> None:
        super().__init__()
        for number, count in enumerate(channels, start=1):
            branch = nn.Sequential(
                nn.Conv2d(count, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)
            )
            self.add_module(f"branch{number}", branch)
        self.fc1 = nn.Linear(64 * len(channels) * positions, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, *sources: Tensor) -> Tensor:
        """Logits of sources [batch, channels, height, width]."""
        branches = [
            self.get_submodule(f"branch{number}")(source)
            for number, source in enumerate(sources, start=1)
        ]
        return self.fc2(torch.relu(self.fc1(torch.cat(branches, dim=1).flatten(1))))


class BasicBlock(nn.Module):
    """The block of ResNet-18."""

    expansion = 1

    def __init__(self, channels: int, features: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.downsample = _downsample(channels, features, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Feature map to feature map."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """The block of ResNet-50, with the stride in its 3x3 convolution."""

    expansion = 4

    def __init__(self, channels: int, features: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.conv3 = nn.Conv2d(features, 4 * features, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * features)
        self.downsample = _downsample(channels, 4 * features, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Feature map to feature map."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _downsample(channels: int, features: int, stride: int) -> nn.Module:
    """Build the operation of a block's shortcut on its input."""
    if channels == features and stride == 1:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(channels, features, 1, stride, bias=False), nn.BatchNorm2d(features)
    )


def resnet_stages(
    block: type[BasicBlock | Bottleneck], stages: Sequence[int]
) -> Iterator[nn.Sequential]:
    """The stages of a ResNet, each of some blocks."""
    channels = 64
    for stage, count in enumerate(stages):
        features = 64 * 2**stage
        blocks = nn.Sequential()
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            blocks.append(block(channels, features, stride))
            channels = block.expansion * features
        yield blocks


def _resnet_encoder(
    conv1: nn.Conv2d, block: type[BasicBlock | Bottleneck], stages: Sequence[int]
) -> nn.Sequential:
    """A ResNet up to its pooling, numbered as in the published checkpoints."""
    encoder = nn.Sequential(conv1, nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    for blocks in resnet_stages(block, stages):
        encoder.append(blocks)
    return encoder.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())


class ResNet50(nn.Module):
    """ResNet-50 of SEN12MS; `conv1` and `encoder.0` are one module.

    Args:
        channels: channels of the input, as a sequence of one.
        classes: number of outputs.
        positions: unused; the feature map is pooled.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int = 1) -> None:
        super().__init__()
        (count,) = channels
        self.conv1 = nn.Conv2d(count, 64, 7, 2, 3, bias=False)
        self.encoder = _resnet_encoder(self.conv1, Bottleneck, (3, 4, 6, 3))
        self.FC = nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [batch, channels, height, width]."""
        return self.FC(self.encoder(x))


class FusionResNet18(nn.Module):
    """A ResNet-18 for each source, joined before the classifier.

    Args:
        channels: channels of each source.
        classes: number of outputs.
        positions: unused; the feature maps are pooled.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int = 1) -> None:
        super().__init__()
        for number, count in enumerate(channels, start=1):
            branch = nn.Module()
            conv1 = nn.Conv2d(count, 64, 7, 2, 3, bias=False)
            branch.encoder = _resnet_encoder(conv1, BasicBlock, (2, 2, 2, 2))
            self.add_module(f"branch{number}", branch)
        self.FC = nn.Linear(512 * len(channels), classes)

    def forward(self, *sources: Tensor) -> Tensor:
        """Logits of sources [batch, channels, height, width]."""
        features = [
            self.get_submodule(f"branch{number}.encoder")(source)
            for number, source in enumerate(sources, start=1)
        ]
        return self.FC(torch.cat(features, dim=1))


class DenseLayer(nn.Module):
    """One layer of a dense block: its output joins its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 128, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(128)
        self.conv2 = nn.Conv2d(128, 32, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Feature map to feature map."""
        y = self.conv1(torch.relu(self.norm1(x)))
        y = self.conv2(torch.relu(self.norm2(y)))
        return torch.cat([x, y], dim=1)


class Transition(nn.Module):
    """The layer between two dense blocks: it halves channels, height and width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Feature map to feature map."""
        return nn.functional.avg_pool2d(self.conv(torch.relu(self.norm(x))), 2)


def dense_block(features: int, layers: int) -> nn.Sequential:
    """A dense block: every layer adds 32 channels."""
    block = nn.Sequential()
    for number in range(layers):
        block.add_module(f"denselayer{number + 1}", DenseLayer(features + 32 * number))
    return block


class DenseNet121(nn.Module):
    """DenseNet-121 of SEN12MS: the last feature map is flattened, neither rectified nor pooled.

    Args:
        channels: channels of the input, as a sequence of one.
        classes: number of outputs.
        positions: height x width of the last feature map.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int) -> None:
        super().__init__()
        (count,) = channels
        self.encoder = nn.Sequential(
            nn.Conv2d(count, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        features = 64
        for layers in (6, 12, 24, 16):
            if layers > 6:  # every block but the first follows a transition
                self.encoder.append(Transition(features))
                features //= 2
            self.encoder.append(dense_block(features, layers))
            features += 32 * layers
        self.encoder.append(nn.BatchNorm2d(features))
        self.classifier = nn.Linear(features * positions, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [batch, channels, height, width]."""
        return self.classifier(self.encoder(x).flatten(1))


def vgg16_convolutions(features: int) -> nn.Sequential:
    """VGG-16 up to its last pooling (configuration D)."""
    layers = nn.Sequential()
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            layers.append(nn.Conv2d(features, width, 3, 1, 1)).append(nn.ReLU())
            features = width
        layers.append(nn.MaxPool2d(2))
    return layers


def vgg16_classifier(positions: int, classes: int) -> nn.Sequential:
    """The three dense layers of VGG-16."""
    return nn.Sequential(
        nn.Linear(512 * positions, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, classes),
    )


class VGG16(nn.Module):
    """VGG-16 of SEN12MS: the last feature map is flattened.

    Args:
        channels: channels of the input, as a sequence of one.
        classes: number of outputs.
        positions: height x width of the last feature map.
    """

    def __init__(self, channels: Sequence[int], classes: int, positions: int) -> None:
        super().__init__()
        self.encoder = vgg16_convolutions(*channels)
        self.classifier = vgg16_classifier(positions, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an input [batch, channels, height, width]."""
        return self.classifier(self.encoder(x).flatten(1))
