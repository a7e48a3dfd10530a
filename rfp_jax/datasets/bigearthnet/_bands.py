"""Bands of the patches, their pixels and their statistics.

A patch is 1,200 m wide: 120 pixels of 10 m, 60 of 20 m or 20 of 60 m. Optical values are digital
numbers (reflectance times 10,000, after atmospheric correction), radar is in dB. The statistics are
those of the archive's own networks (https://git.tu-berlin.de/rsim/bigearthnet-models-tf).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

EDGE = 1200
"""Meters along the edge of a patch."""

Resolution = Literal[10, 20, 60]
RESOLUTIONS: tuple[Resolution, ...] = (10, 20, 60)
"""Meters of a pixel."""


class Band(NamedTuple):
    """A band of the files.

    Attributes:
        resolution: meters of a pixel.
        mean: over the archive, in the units of the files.
        std: likewise.
    """

    resolution: Resolution
    mean: float
    std: float


BANDS: Mapping[str, Band] = {
    "B01": Band(60, 340.76769064, 554.81258967),
    "B02": Band(10, 429.9430203, 572.41639287),
    "B03": Band(10, 614.21682446, 582.87945694),
    "B04": Band(10, 590.23569706, 675.88746967),
    "B05": Band(20, 950.68368468, 729.89827633),
    "B06": Band(20, 1792.46290469, 1096.01480586),
    "B07": Band(20, 2075.46795189, 1273.45393088),
    "B08": Band(10, 2218.94553375, 1365.45589904),
    "B8A": Band(20, 2266.46036911, 1356.13789355),
    "B09": Band(60, 2246.0605464, 1302.3292881),
    "B11": Band(20, 1594.42694882, 1079.19066363),
    "B12": Band(20, 1009.32729131, 818.86747235),
}
"""The optical bands; the archive has no B10."""

SAR_BANDS: Mapping[str, Band] = {
    "VV": Band(10, -12.619993741972035, 5.115911777546365),
    "VH": Band(10, -19.29044597721542, 5.464428464912864),
}
"""The bands of radar."""
