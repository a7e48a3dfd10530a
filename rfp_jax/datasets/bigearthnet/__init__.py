"""BigEarthNet: pairs of Sentinel-1 and Sentinel-2 patches over Europe, with the land cover of each.

Source: Sumbul, de Wall, Kreuziger, Marcelino, Costa, Benevides, Caetano, Demir & Markl,
"BigEarthNet-MM: A large-scale, multimodal, multilabel benchmark archive for remote sensing image
classification and retrieval", IEEE Geoscience and Remote Sensing Magazine 9(3), 2021.
"""

from rfp_jax.datasets._geotiff import MissingFileError, PatchError
from rfp_jax.datasets.bigearthnet._bands import BANDS, RESOLUTIONS
from rfp_jax.datasets.bigearthnet._classes import CLASSES
from rfp_jax.datasets.bigearthnet._config import BigEarthNetConfig
from rfp_jax.datasets.bigearthnet._dataset import BigEarthNet

__all__ = [
    "BANDS",
    "CLASSES",
    "RESOLUTIONS",
    "BigEarthNet",
    "BigEarthNetConfig",
    "MissingFileError",
    "PatchError",
]
