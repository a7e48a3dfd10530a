"""SEN12MS-CR-TS: the same places at thirty times of a year, by radar and optically, under clouds.

    ROOT/ROIs1868/17/S1/0/s1_ROIs1868_17_ImgNo_0_2018-01-03_patch_76.tif
    ROOT/ROIs1868/17/S2/0/s2_ROIs1868_17_ImgNo_0_2018-01-05_patch_76.tif

The downloads come by continent and sensor: move what is in them into one folder. There are no
labels.

Source: Ebel, Xu, Schmitt & Zhu, "SEN12MS-CR-TS: A remote-sensing data set for multimodal
multitemporal cloud removal", IEEE TGRS 60, 2022; folders, names and units as the authors' data
loader reads them (github.com/PatrickTUM/SEN12MS-CR-TS).
"""

import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from rfp_jax.datasets.sen12ms._archive import Optical, Reading
from rfp_jax.datasets.sen12ms._clouds import cloud_cover
from rfp_jax.datasets.sen12ms._geotiff import read_s1, read_s2
from rfp_jax.datasets.sen12ms._layout import RGB_BANDS, S2_BANDS, SIZE
from rfp_jax.datasets.sen12ms._normalize import normalize_s1, normalize_s2

Sensor = Literal["s1", "s2"]

_NAME = re.compile(
    r"(?P<sensor>s[12])_(?P<region>ROIs[0-9]{1,6})_(?P<site>[0-9]{1,6})"
    r"_ImgNo_(?P<time>[0-9]{1,4})_(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})_patch_(?P<number>[0-9]{1,6})"
    r"\.tif"
)


class Place(NamedTuple):
    """One place on Earth, seen at many times.

    Attributes:
        region: such as `"ROIs1868"`.
        site: number of the site in the region.
        number: number of the patch in the site.
    """

    region: str
    site: int
    number: int


class Acquisition(NamedTuple):
    """Both images of a place at one time.

    Attributes:
        s1: path of the radar image, or None.
        s1_date: day of the radar image, or None.
        s2: path of the optical image, or None.
        s2_date: day of the optical image, or None.
    """

    s1: Path | None
    s1_date: date | None
    s2: Path | None
    s2_date: date | None


class TimeSeries:
    """Places of SEN12MS-CR-TS with their images by time.

    Args:
        root: the folder with `ROIs1158`, `ROIs1868`, `ROIs1970`, `ROIs2017` or some of them.
        size: height and width that every image must have; 256 in the published archive.

    Attributes:
        places: all places, sorted.

    Raises:
        FileNotFoundError: if there is no file of this layout.

    Examples:
        >>> TimeSeries("no/such/folder")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no SEN12MS-CR-TS in no/such/folder: ...
    """

    def __init__(self, root: str | os.PathLike[str], *, size: int = SIZE) -> None:
        self.root, self.size = Path(root).expanduser(), size
        self._series = _find(self.root)
        self.places = tuple(sorted(self._series))
        if not self.places:
            raise FileNotFoundError(
                f"no SEN12MS-CR-TS in {root}: expected files such as ROIs1868/17/S1/0/"
                "s1_ROIs1868_17_ImgNo_0_2018-01-03_patch_76.tif. Get it from "
                "https://patricktum.github.io/cloud_removal/sen12mscrts/"
            )

    def __len__(self) -> int:
        return len(self.places)

    def __repr__(self) -> str:
        return f"TimeSeries({str(self.root)!r}: {len(self)} places)"

    def times(self, index: int) -> Mapping[int, Acquisition]:
        """Find what there is of a place.

        Args:
            index: of the place.

        Returns:
            Number of the time, in order -> its images.
        """
        return self._series[self.places[index]]

    def read(
        self, index: int, time: int, *, optical: Optical | None, sar: bool, cover: bool
    ) -> Reading:
        """Read the images of a place at one time.

        Args:
            index: of the place.
            time: one of `times(index)`.
            optical: which optical bands, if any.
            sar: whether to read Sentinel-1.
            cover: whether to estimate the cloud cover of the optical image.

        Returns:
            What was asked for, normalized as SEN12MS is.

        Raises:
            KeyError: if there is no such time.
            FileNotFoundError: if the image of a sensor is not there.
            PatchError: if a file is damaged or of another kind; names it.
        """
        there = self.times(index)[time]
        radar = None
        if sar:
            radar = normalize_s1(read_s1(self._there(there.s1, index, time, "s1"), size=self.size))
        if optical is None:
            return Reading(None, radar, None)
        whole = read_s2(self._there(there.s2, index, time, "s2"), size=self.size)
        bands = S2_BANDS if optical == "s2" else RGB_BANDS
        image = normalize_s2(whole[..., np.subtract(bands, 1)])
        return Reading(image, radar, cloud_cover(whole) if cover else None)

    def _there(self, path: Path | None, index: int, time: int, sensor: Sensor) -> Path:
        if path is None:
            place = self.places[index]
            raise FileNotFoundError(
                f"{self.root}: no {sensor} image of {place.region}, site {place.site}, patch "
                f"{place.number} at time {time}: a half download"
            )
        return path


def _find(root: Path) -> dict[Place, dict[int, Acquisition]]:
    found: dict[Place, dict[int, Acquisition]] = {}
    nothing = Acquisition(None, None, None, None)
    for path in sorted(root.glob("ROIs*/*/S[12]/*/s[12]_ROIs*.tif")):
        name = _NAME.fullmatch(path.name)
        if name is None:
            raise ValueError(f"{path} has no name of SEN12MS-CR-TS")
        place = Place(name["region"], int(name["site"]), int(name["number"]))
        times = found.setdefault(place, {})
        time, sensor = int(name["time"]), name["sensor"]
        before = times.get(time, nothing)
        if getattr(before, sensor) is not None:
            raise ValueError(f"{path} and {getattr(before, sensor)} are of one place and one time")
        day = date.fromisoformat(name["date"])
        times[time] = before._replace(**{sensor: path, f"{sensor}_date": day})
    return {place: dict(sorted(times.items())) for place, times in found.items()}
