"""The tables of key patterns: for every architecture, where each layer's arrays go.

A pattern names a layer in PyTorch and in Flax; `{block}` stands for a number that is the same on
both sides. `_layouts` says which arrays a kind of layer holds and how they lie.
"""

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from flax import linen as nn

from rfp_jax import models
from rfp_jax.convert.flax._layouts import (
    BATCH_NORM,
    CONV,
    DENSE,
    Kind,
    Place,
    Shape,
    dense_after_flatten,
    dense_as_convolution,
)

Name = Literal[
    "smallnet",
    "resnet50",
    "fusion_resnet18",
    "densenet121",
    "vgg16",
    "torchvision_resnet50",
    "torchvision_densenet121",
    "torchvision_vgg16",
    "timm_vgg16",
]
"""The architectures that can be converted."""

Path = tuple[str, ...]
"""A path in Flax's variables: collection, modules, array."""


def _match(pattern: str, name: str) -> dict[str, str] | None:
    """Numbers that make `pattern` equal `name`, or None."""
    expression = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[0-9]+)", re.escape(pattern))
    found = re.fullmatch(expression, name)
    return found.groupdict() if found else None


@dataclass(frozen=True)
class Layer:
    """One line of a table: a layer's name in PyTorch, its path in Flax, and what it holds."""

    torch: str
    flax: str
    kind: Kind

    def to_flax(self, key: str) -> tuple[Path, Place] | None:
        """Path in Flax of a PyTorch key, and its place; None if the key is not this layer's."""
        name, _, array = key.rpartition(".")
        numbers = _match(self.torch, name)
        if numbers is None or array not in self.kind:
            return None
        place = self.kind[array]
        return (place.collection, *self.flax.format(**numbers).split("/"), place.leaf), place

    def to_torch(self, path: Path) -> tuple[str, Place] | None:
        """PyTorch key of a path in Flax, and its place; None if the path is not this layer's."""
        collection, *modules, leaf = path
        numbers = _match(self.flax, "/".join(modules))
        if numbers is None:
            return None
        for array, place in self.kind.items():
            if (place.collection, place.leaf) == (collection, leaf):
                return f"{self.torch.format(**numbers)}.{array}", place
        return None


@dataclass(frozen=True)
class Size:
    """The size of a network, read from the shapes of its arrays.

    Attributes:
        channels: channels of each array that the network takes.
        classes: number of outputs.
        positions: height x width of the last feature map. Networks that pool it fit any size.
    """

    channels: tuple[int, ...]
    classes: int
    positions: int

    def __str__(self) -> str:
        channels = " + ".join(map(str, self.channels))
        return f"{channels} input channels, {self.classes} classes"


@dataclass(frozen=True)
class Architecture:
    """A network that PyTorch and Flax both define, and how the names of its arrays correspond.

    Attributes:
        name: the name that `to_flax` takes.
        model: the Flax module, called with `num_classes`.
        layers: the table of key patterns.
        signature: PyTorch keys that no other architecture has together.
        inputs: the layers that see the input, one for each array that the network takes.
        output: the layer whose outputs are the classes.
        default: the size to assume where an array that tells it is missing.
        flatten: the dense layer over the flattened feature map and its channels; None if pooled.
        stride: pixels of the input for each row and column of the last feature map.
        margin: pixels that unpadded convolutions take off the input's height and width.
        rows: rows of the last feature map where it is not square.
        aliases: PyTorch keys that name the very tensor of another key: alias -> key.
    """

    name: Name
    model: Callable[..., nn.Module]
    layers: tuple[Layer, ...]
    signature: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str
    default: Size
    flatten: tuple[str, int] | None = None
    stride: int = 32
    margin: int = 0
    rows: int = 1
    aliases: Mapping[str, str] = field(default_factory=dict)

    def find_path(self, key: str) -> tuple[Path, Place] | None:
        """Path in Flax of a PyTorch key, and its place; None if no pattern has it."""
        return next((found for layer in self.layers if (found := layer.to_flax(key))), None)

    def find_key(self, path: Path) -> tuple[str, Place] | None:
        """PyTorch key of a path in Flax, and its place; None if no pattern has it."""
        return next((found for layer in self.layers if (found := layer.to_torch(path))), None)

    def read_size(self, shapes: Mapping[str, Shape]) -> Size:
        """Size of a network with arrays of these PyTorch shapes; the default if none tells."""

        def read(layer: str, rank: int, axis: int, unit: int, default: int) -> int:
            shape = shapes.get(f"{layer}.weight", ())
            fits = len(shape) == rank and shape[axis] > 0 and shape[axis] % unit == 0
            return shape[axis] // unit if fits else default

        channels = (
            read(layer, 4, 1, 1, default)
            for layer, default in zip(self.inputs, self.default.channels, strict=True)
        )
        classes = read(self.output, 2, 0, 1, self.default.classes)
        positions = self.default.positions
        if self.flatten:
            layer, unit = self.flatten
            positions = read(layer, 2, 1, unit, positions)
        return Size(tuple(channels), classes, positions)

    def input_shapes(self, size: Size, batch: int) -> list[Shape]:
        """Shapes [batch, height, width, channels] of arrays that fit a network of this size."""
        rows = math.isqrt(size.positions)
        if rows**2 != size.positions:
            rows = self.rows if size.positions % self.rows == 0 else 1
        grid = (rows, size.positions // rows)
        height, width = (self.stride * extent + self.margin for extent in grid)
        return [(batch, height, width, channels) for channels in size.channels]


def _resnet(stem: tuple[str, str], stages: tuple[str, ...], flax: str) -> tuple[Layer, ...]:
    """A ResNet up to its pooling, with PyTorch's names of convolution, norm and four stages."""
    layers = [
        Layer(stem[0], f"{flax}/conv1", CONV),
        Layer(stem[1], f"{flax}/bn1", BATCH_NORM),
    ]
    for number, stage in enumerate(stages, start=1):
        here, there = f"{stage}.{{block}}", f"{flax}/layer{number}_{{block}}"
        layers += [
            Layer(f"{here}.conv{{n}}", f"{there}/conv{{n}}", CONV),
            Layer(f"{here}.bn{{n}}", f"{there}/bn{{n}}", BATCH_NORM),
            Layer(f"{here}.downsample.0", f"{there}/downsample_conv", CONV),
            Layer(f"{here}.downsample.1", f"{there}/downsample_bn", BATCH_NORM),
        ]
    return tuple(layers)


def _published_resnet(encoder: str, flax: str) -> tuple[Layer, ...]:
    """A ResNet whose parts are numbered: 0 and 1 the stem, 4 to 7 the stages."""
    stages = tuple(f"{encoder}.{number}" for number in (4, 5, 6, 7))
    return _resnet((f"{encoder}.0", f"{encoder}.1"), stages, flax)


def _densenet_block(block: str, transition: str, flax: int | str) -> tuple[Layer, ...]:
    """A dense block, and the transition that follows it, with PyTorch's names of both."""
    here, there = f"{block}.denselayer{{layer}}", f"block{flax}/layer{{layer}}"
    return (
        Layer(f"{here}.norm{{n}}", f"{there}/norm{{n}}", BATCH_NORM),
        Layer(f"{here}.conv{{n}}", f"{there}/conv{{n}}", CONV),
        Layer(f"{transition}.norm", f"transition{flax}/norm", BATCH_NORM),
        Layer(f"{transition}.conv", f"transition{flax}/conv", CONV),
    )


def _vgg16(convolutions: str) -> tuple[Layer, ...]:
    """The convolutions of VGG-16, which PyTorch numbers with the layers between them."""
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    names = (
        f"conv{block}_{n + 1}" for block, many in enumerate((2, 2, 3, 3, 3), 1) for n in range(many)
    )
    return tuple(
        Layer(f"{convolutions}.{number}", name, CONV)
        for number, name in zip(numbers, names, strict=True)
    )


_SMALLNET = Architecture(
    name="smallnet",
    model=models.SmallNet,
    layers=(
        Layer("branch{source}.0", "branch{source}/conv1", CONV),
        Layer("branch{source}.2", "branch{source}/conv2", CONV),
        Layer("fc1", "fc1", dense_after_flatten(128)),
        Layer("fc2", "fc2", DENSE),
    ),
    signature=("branch1.2.weight",),
    inputs=("branch1.0", "branch2.0"),
    output="fc2",
    default=Size((1, 1), classes=10, positions=60),
    flatten=("fc1", 128),
    stride=2,
    margin=4,
    rows=12,  # MNIST's images and their halves are 28 pixels high
)

_RESNET50 = Architecture(
    name="resnet50",
    model=models.ResNet50,
    layers=(*_published_resnet("encoder", "encoder"), Layer("FC", "fc", DENSE)),
    signature=("encoder.4.0.conv1.weight",),
    inputs=("encoder.0",),
    output="FC",
    default=Size((12,), classes=10, positions=4),
    aliases={"conv1.weight": "encoder.0.weight"},
)

_FUSION_RESNET18 = Architecture(
    name="fusion_resnet18",
    model=models.FusionResNet18,
    layers=(
        *_published_resnet("branch{source}.encoder", "branch{source}"),
        Layer("FC", "fc", DENSE),
    ),
    signature=("branch1.encoder.4.0.conv1.weight",),
    inputs=("branch1.encoder.0", "branch2.encoder.0"),
    output="FC",
    default=Size((10, 2), classes=10, positions=4),
)

_DENSENET121 = Architecture(
    name="densenet121",
    model=models.DenseNet121,
    layers=(
        Layer("encoder.0", "conv0", CONV),
        Layer("encoder.1", "norm0", BATCH_NORM),
        *_densenet_block("encoder.4", "encoder.5", 1),
        *_densenet_block("encoder.6", "encoder.7", 2),
        *_densenet_block("encoder.8", "encoder.9", 3),
        *_densenet_block("encoder.10", "encoder.11", 4),
        Layer("encoder.11", "norm5", BATCH_NORM),
        Layer("classifier", "classifier", dense_after_flatten(1024)),
    ),
    signature=("encoder.4.denselayer1.conv1.weight",),
    inputs=("encoder.0",),
    output="classifier",
    default=Size((12,), classes=10, positions=64),
    flatten=("classifier", 1024),
)

_VGG16 = Architecture(
    name="vgg16",
    model=models.VGG16,
    layers=(
        *_vgg16("encoder"),
        Layer("classifier.0", "fc1", dense_after_flatten(512)),
        Layer("classifier.3", "fc2", DENSE),
        Layer("classifier.6", "fc3", DENSE),
    ),
    signature=("encoder.28.weight", "classifier.6.weight"),
    inputs=("encoder.0",),
    output="classifier.6",
    default=Size((12,), classes=10, positions=64),
    flatten=("classifier.0", 512),
)

_TORCHVISION_RESNET50 = Architecture(  # timm's has the same keys and computes the same
    name="torchvision_resnet50",
    model=models.ResNet50,
    layers=(
        *_resnet(("conv1", "bn1"), ("layer1", "layer2", "layer3", "layer4"), "encoder"),
        Layer("fc", "fc", DENSE),
    ),
    signature=("layer1.0.conv3.weight",),
    inputs=("conv1",),
    output="fc",
    default=Size((3,), classes=1000, positions=4),
)

_TORCHVISION_DENSENET121 = Architecture(  # likewise
    name="torchvision_densenet121",
    model=functools.partial(models.DenseNet121, pooled=True),
    layers=(
        Layer("features.conv0", "conv0", CONV),
        Layer("features.norm0", "norm0", BATCH_NORM),
        *_densenet_block("features.denseblock{block}", "features.transition{block}", "{block}"),
        Layer("features.norm5", "norm5", BATCH_NORM),
        Layer("classifier", "classifier", DENSE),
    ),
    signature=("features.denseblock1.denselayer1.conv1.weight",),
    inputs=("features.conv0",),
    output="classifier",
    default=Size((3,), classes=1000, positions=4),
)

_TORCHVISION_VGG16 = Architecture(
    name="torchvision_vgg16",
    model=models.VGG16,
    layers=(
        *_vgg16("features"),
        Layer("classifier.0", "fc1", dense_after_flatten(512)),
        Layer("classifier.3", "fc2", DENSE),
        Layer("classifier.6", "fc3", DENSE),
    ),
    signature=("features.28.weight", "classifier.6.weight"),
    inputs=("features.0",),
    output="classifier.6",
    default=Size((3,), classes=1000, positions=49),
    flatten=("classifier.0", 512),
)

_TIMM_VGG16 = Architecture(
    name="timm_vgg16",
    model=models.VGG16,
    layers=(
        *_vgg16("features"),
        Layer("pre_logits.fc1", "fc1", dense_as_convolution(512, 7)),
        Layer("pre_logits.fc2", "fc2", dense_as_convolution(4096, 1)),
        Layer("head.fc", "fc3", DENSE),
    ),
    signature=("features.28.weight", "pre_logits.fc1.weight"),
    inputs=("features.0",),
    output="head.fc",
    default=Size((3,), classes=1000, positions=49),
    flatten=("pre_logits.fc1", 512),  # a window of 7 x 7, whatever else
)

ARCHITECTURES: Mapping[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        _SMALLNET,
        _RESNET50,
        _FUSION_RESNET18,
        _DENSENET121,
        _VGG16,
        _TORCHVISION_RESNET50,
        _TORCHVISION_DENSENET121,
        _TORCHVISION_VGG16,
        _TIMM_VGG16,
    )
}
