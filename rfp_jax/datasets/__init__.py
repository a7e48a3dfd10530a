"""Data sets: handwritten digits as data of two sources.

Satellite images are in `sen12ms` and `bigearthnet`, any co-registered rasters in `rasters`.
"""

from rfp_jax.datasets._catalog import load_images
from rfp_jax.datasets._digits import load_digits
from rfp_jax.datasets._images import ImageSplit, LabeledImages
from rfp_jax.datasets._mnist import DEFAULT_FOLDER, load_mnist
from rfp_jax.datasets._multisource import MultiSource, MultiSourceConfig, Sample, SourceConfig

__all__ = [
    "DEFAULT_FOLDER",
    "ImageSplit",
    "LabeledImages",
    "MultiSource",
    "MultiSourceConfig",
    "Sample",
    "SourceConfig",
    "load_digits",
    "load_images",
    "load_mnist",
]
