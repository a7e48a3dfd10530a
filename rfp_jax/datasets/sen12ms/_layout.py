"""Names and folders of SEN12MS and SEN12MS-CR, bands, and the patches that are known to be broken.

    ROOT/ROIs1158_spring/s2_1/ROIs1158_spring_s2_1_p30.tif                        SEN12MS
    ROOT/ROIs1158_spring_s2_cloudy/s2_cloudy_1/ROIs1158_spring_s2_cloudy_1_p30.tif  SEN12MS-CR

The name of a patch is that of its clear Sentinel-2 file, as in the published lists.

Sources: Schmitt, Hughes, Qiu & Zhu, "SEN12MS", ISPRS Annals IV-2/W7, 2019; Ebel, Meraner, Schmitt &
Zhu, "Multisensor data fusion for cloud removal in global and all-season Sentinel-2 imagery", IEEE
TGRS 2021 (SEN12MS-CR).
"""

import re
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

Kind = Literal["s1", "s2", "lc", "s2_cloudy"]
PatchSplit = Literal["train", "val", "test"]

SEASONS = ("ROIs1158_spring", "ROIs1868_summer", "ROIs1970_fall", "ROIs2017_winter")
SIZE = 256
"""Height and width of an official patch, in pixels of 10 m."""

S2_COUNT, S1_COUNT, LC_COUNT = 13, 2, 4
"""Bands of the files: Sentinel-2 all, Sentinel-1 VV and VH, four land-cover schemes."""

IGBP_BAND = 1
"""The band of `lc` with the IGBP scheme, counted from 1; MODIS pixels of 500 m, resampled."""

S2_BANDS = (2, 3, 4, 5, 6, 7, 8, 9, 12, 13)
"""Bands that the published networks see, counted from 1: B2 to B8, B8A, B11, B12."""

RGB_BANDS = (2, 3, 4)
"""Bands of the RGB networks, in their order: blue, green, red."""

_NAME = re.compile(
    rf"(?P<season>{'|'.join(SEASONS)})_s2_(?:cloudy_)?"
    r"(?P<scene>[0-9]{1,6})_p(?P<number>[0-9]{1,6})(?:\.tif)?"
)


class Patch(NamedTuple):
    """One place on Earth in one season; all its files are named after it.

    Attributes:
        season: one of `SEASONS`.
        scene: number of the scene.
        number: number of the patch in the scene.

    Examples:
        >>> patch = Patch.parse("ROIs1158_spring_s2_1_p30.tif")
        >>> patch.scene, patch.number, patch.name
        (1, 30, 'ROIs1158_spring_s2_1_p30.tif')
        >>> patch.file("s2_cloudy").parent.as_posix()
        'ROIs1158_spring_s2_cloudy/s2_cloudy_1'
    """

    season: str
    scene: int
    number: int

    @classmethod
    def parse(cls, name: str) -> "Patch":
        """Read the name of a Sentinel-2 file, clear or cloudy.

        Args:
            name: of the file, without folders; `.tif` may be missing.

        Returns:
            The patch.

        Raises:
            ValueError: if the name is none of this data set.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(
                f"{name!r} is not the name of a SEN12MS patch: expected one such as "
                "ROIs1158_spring_s2_1_p30.tif"
            )
        return cls(found["season"], int(found["scene"]), int(found["number"]))

    @property
    def name(self) -> str:
        """Name of the clear Sentinel-2 file."""
        return self.file("s2").name

    def file(self, kind: Kind) -> PurePosixPath:
        """Return the path of the patch's file, from the root of its data set on.

        Args:
            kind: `"s1"`, `"s2"` or `"lc"` of SEN12MS, or `"s2_cloudy"` of SEN12MS-CR.

        Returns:
            The path.
        """
        top = f"{self.season}_{kind}" if kind == "s2_cloudy" else self.season
        name = f"{self.season}_{kind}_{self.scene}_p{self.number}.tif"
        return PurePosixPath(top, f"{kind}_{self.scene}", name)


BROKEN = frozenset(
    Patch.parse(name)
    for name in (
        "ROIs1868_summer_s2_146_p202",
        "ROIs1158_spring_s2_1_p127",
        "ROIs1158_spring_s2_1_p132",
        "ROIs1158_spring_s2_1_p219",
        "ROIs2017_winter_s2_59_p318",
    )
)
"""Patches that are damaged in the published archives; they are left out of every split."""
