"""The networks of the paper's experiments, as this library ships them."""

from __future__ import annotations

from benchmarks.zoo.entry import Builder
from benchmarks.zoo.linen import linen
from rfp_jax.models import VGG16, DenseNet121, FusionResNet18, ResNet50, SmallNet

BUILDERS: dict[str, Builder] = {
    "SmallNet": linen(SmallNet(), 28, 14, channels=(1, 1)),
    "ResNet-50": linen(ResNet50(), 64, 64),
    "FusionResNet-18": linen(FusionResNet18(), 64, 64),
    "DenseNet-121": linen(DenseNet121(), 64, 64),
    "VGG16": linen(VGG16(), 64, 64),
}
