"""SEN12MS and SEN12MS-CR: Sentinel-1 and Sentinel-2 patches of the whole world, clear and cloudy.

`python -m rfp_jax.data.sen12ms` has commands that check, pack, convert and synthesise an archive.
"""

from rfp_jax.data.sen12ms.archive import Archive, Patches, Reading
from rfp_jax.data.sen12ms.clouds import cloud_cover, cloud_score
from rfp_jax.data.sen12ms.dataset import Sen12MS, Sen12MSConfig
from rfp_jax.data.sen12ms.geotiff import MissingFileError, PatchError
from rfp_jax.data.sen12ms.labels import CLASSES
from rfp_jax.data.sen12ms.layout import Patch
from rfp_jax.data.sen12ms.lists import MissingLabelError
from rfp_jax.data.sen12ms.pack import Packed, open_patches, pack
from rfp_jax.data.sen12ms.pickles import UnsafePickleError
from rfp_jax.data.sen12ms.synthesize import synthesize

__all__ = [
    "CLASSES",
    "Archive",
    "MissingFileError",
    "MissingLabelError",
    "Packed",
    "Patch",
    "PatchError",
    "Patches",
    "Reading",
    "Sen12MS",
    "Sen12MSConfig",
    "UnsafePickleError",
    "cloud_cover",
    "cloud_score",
    "open_patches",
    "pack",
    "synthesize",
]
