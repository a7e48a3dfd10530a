"""SEN12MS and SEN12MS-CR: Sentinel-1 and Sentinel-2 patches of the whole world, clear and cloudy.

`rfp-jax sen12ms` has commands that check, pack, convert and synthesise
an archive.
"""

from rfp_jax.datasets.sen12ms._archive import SYNTHETIC, Archive, Patches, Reading
from rfp_jax.datasets.sen12ms._clouds import cloud_cover, cloud_score
from rfp_jax.datasets.sen12ms._dataset import Inputs, Sen12MS, Sen12MSConfig
from rfp_jax.datasets.sen12ms._geotiff import MissingFileError, PatchError
from rfp_jax.datasets.sen12ms._labels import CLASSES, Classes
from rfp_jax.datasets.sen12ms._layout import SIZE, Patch, Split
from rfp_jax.datasets.sen12ms._lists import MissingLabelError
from rfp_jax.datasets.sen12ms._normalise import denormalise_s2, normalise_s1, normalise_s2
from rfp_jax.datasets.sen12ms._pack import Packed, open_patches, pack
from rfp_jax.datasets.sen12ms._pickles import UnsafePickleError
from rfp_jax.datasets.sen12ms._synthesize import synthesize

__all__ = [
    "CLASSES",
    "SIZE",
    "SYNTHETIC",
    "Archive",
    "Classes",
    "Inputs",
    "MissingFileError",
    "MissingLabelError",
    "Packed",
    "Patch",
    "PatchError",
    "Patches",
    "Reading",
    "Sen12MS",
    "Sen12MSConfig",
    "Split",
    "UnsafePickleError",
    "cloud_cover",
    "cloud_score",
    "denormalise_s2",
    "normalise_s1",
    "normalise_s2",
    "open_patches",
    "pack",
    "synthesize",
]
