"""Data sets: handwritten digits as data of two sources."""

from rfp_jax.data.catalog import load_images
from rfp_jax.data.digits import load_digits
from rfp_jax.data.images import LabelledImages
from rfp_jax.data.mnist import load_mnist
from rfp_jax.data.multisource import MultiSource, MultiSourceConfig, Sample, SourceConfig

__all__ = [
    "LabelledImages",
    "MultiSource",
    "MultiSourceConfig",
    "Sample",
    "SourceConfig",
    "load_digits",
    "load_images",
    "load_mnist",
]
