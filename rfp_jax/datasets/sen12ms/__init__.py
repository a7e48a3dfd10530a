"""SEN12MS, SEN12MS-CR and SEN12MS-CR-TS: Sentinel-1 and Sentinel-2 patches, clear and cloudy.

`rfp-jax sen12ms` has commands that check, split, pack, convert and synthesize
an archive.
"""

from rfp_jax.datasets._geotiff import MissingFileError, PatchError
from rfp_jax.datasets.sen12ms._archive import SYNTHETIC, Archive, Patches, Reading
from rfp_jax.datasets.sen12ms._clouds import cloud_cover, cloud_mask, cloud_score
from rfp_jax.datasets.sen12ms._dataset import Inputs, Sen12MS, Sen12MSConfig
from rfp_jax.datasets.sen12ms._geotiff import UnitWarning
from rfp_jax.datasets.sen12ms._labels import CLASSES, ClassCount
from rfp_jax.datasets.sen12ms._layout import SIZE, Patch, PatchSplit
from rfp_jax.datasets.sen12ms._lists import MissingLabelError
from rfp_jax.datasets.sen12ms._normalize import denormalize_s2, normalize_s1, normalize_s2
from rfp_jax.datasets.sen12ms._pack import Packed, open_patches, pack
from rfp_jax.datasets.sen12ms._pickles import UnsafePickleError
from rfp_jax.datasets.sen12ms._series import Acquisition, Place, TimeSeries
from rfp_jax.datasets.sen12ms._split import Drawn, draw_validation
from rfp_jax.datasets.sen12ms._synthesize import synthesize

__all__ = [
    "CLASSES",
    "SIZE",
    "SYNTHETIC",
    "Acquisition",
    "Archive",
    "ClassCount",
    "Drawn",
    "Inputs",
    "MissingFileError",
    "MissingLabelError",
    "Packed",
    "Patch",
    "PatchError",
    "PatchSplit",
    "Patches",
    "Place",
    "Reading",
    "Sen12MS",
    "Sen12MSConfig",
    "TimeSeries",
    "UnitWarning",
    "UnsafePickleError",
    "cloud_cover",
    "cloud_mask",
    "cloud_score",
    "denormalize_s2",
    "draw_validation",
    "normalize_s1",
    "normalize_s2",
    "open_patches",
    "pack",
    "synthesize",
]
