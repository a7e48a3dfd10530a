"""Rasters by pattern: what of a file is read, and in which units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.rasters import Scale, check_ratio, check_scale
from rfp_jax.datasets._geotiff import Grid, PatchError, grid_of, open_geotiff, read_masked
from rfp_jax.datasets.rasters._pattern import Pattern

if TYPE_CHECKING:
    import rasterio

PIXELS = 2**24
"""So many pixels of one file are read at most: a scene is explained by `rfp_jax.maps`."""


@dataclass(frozen=True)
class Raster:
    """A source in files: which, which of their bands, and in which units.

    Attributes:
        pattern: path below the folder, with fields such as `"{site}_s1.tif"`.
        bands: which bands, counted from 1, in the order in which the network takes them; by
            default all.
        nodata: a value that stands for "no data", beside the one that the file declares.
        scale: `"raw"` for values as they are stored, `"apply"` for the scale and offset in the
            file's tags, or two numbers for `value * scale + offset`. By default values are
            taken as they are, and a file whose tags say otherwise is refused.
        ratio: how many pixels of the first source one pixel of this one is wide.

    Raises:
        ValueError: a value is none of these; says which are.

    Examples:
        >>> Raster("{site}_s2.tif", bands=(4, 3, 2), scale=(1e-4, 0.0)).fields
        ('site',)
    """

    pattern: str
    bands: Sequence[int] | None = None
    nodata: float | None = None
    scale: Scale = None
    ratio: int = 1

    def __post_init__(self) -> None:
        Pattern(self.pattern)
        _check_bands(self.bands)
        check_scale(self.scale)
        check_ratio(self.ratio)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the pattern."""
        return Pattern(self.pattern).fields

    def read(self, path: Path) -> tuple[np.ma.MaskedArray, Grid]:
        """Read a file.

        Args:
            path: of the file.

        Returns:
            Values, float32 [rows, columns, bands], masked where they have no data; and the grid.

        Raises:
            PatchError: the file is missing, damaged or of another kind; says what to do.
        """
        with open_geotiff(path) as file:
            bands = _bands(path, file, self.bands)
            image = read_masked(path, file, bands, nodata=self.nodata)
            scale, offset = self._units(path, file, bands)
            values = (image.data * scale + offset).astype(np.float32)
            return np.ma.MaskedArray(values, image.mask), grid_of(file)

    def _units(
        self, path: Path, file: rasterio.DatasetReader, bands: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The scale and the offset of each band, float64 [bands]."""
        if isinstance(self.scale, tuple):
            scale, offset = self.scale
            return np.full(len(bands), float(scale)), np.full(len(bands), float(offset))
        tags = np.array([(file.scales[b - 1], file.offsets[b - 1]) for b in bands], float).T
        trivial = np.array([np.ones(len(bands)), np.zeros(len(bands))])
        if self.scale is None and (tags != trivial).any():
            raise PatchError(
                f"{path}: its tags say scale {tags[0].tolist()} and offset {tags[1].tolist()}; "
                "say what the network was trained with: Raster(scale='apply') to use them, "
                "'raw' for the values as they are stored"
            )
        scale, offset = tags if self.scale == "apply" else trivial
        return scale, offset


@dataclass(frozen=True)
class Classes:
    """Labels in files: the class of every pixel.

    Attributes:
        pattern: path below the folder, with fields such as `"{site}_land_cover.tif"`.
        numbers: what stands for each class in the file, in the order of the classes; by default 0,
            1, 2, ...
        unknown: numbers that stand for no class, beside those that the file declares as nodata.
        band: the band with the classes, counted from 1.

    Raises:
        ValueError: a number stands for two classes, or the band is none; says so.

    Examples:
        >>> Classes("{site}_worldcover.tif", numbers=(10, 20, 80), unknown=(0,)).band
        1
    """

    pattern: str
    numbers: Sequence[int] | None = None
    unknown: Sequence[int] = ()
    band: int = 1

    def __post_init__(self) -> None:
        Pattern(self.pattern)
        _check_bands((self.band,))
        named = (*(self.numbers or ()), *self.unknown)
        if len(set(named)) < len(named):
            raise ValueError(f"a number stands for one class alone, got {named}")

    def read(self, path: Path) -> tuple[np.ndarray, Grid]:
        """Read a file.

        Args:
            path: of the file.

        Returns:
            The number of each pixel's class, int32 [rows, columns], -1 where none is known; and
            the grid.

        Raises:
            PatchError: the file is missing, damaged, or holds a number that stands for nothing.
        """
        with open_geotiff(path) as file:
            image = read_masked(path, file, _bands(path, file, (self.band,)))[..., 0]
            grid = grid_of(file)
        known = ~np.ma.getmaskarray(image) & ~np.isin(image.data, self.unknown)
        if self.numbers is None:
            found = image.data
            wrong = known & ((found < 0) | (found != np.floor(found)))
        else:
            order = np.argsort(self.numbers)
            ordered = np.asarray(self.numbers)[order]
            place = np.searchsorted(ordered, image.data).clip(max=len(order) - 1)
            found, wrong = order[place], known & (ordered[place] != image.data)
        if wrong.any():
            raise PatchError(
                f"{path}: {np.unique(image.data[wrong])[:5].tolist()} stand for no class; name "
                "them in Classes(numbers=...) or Classes(unknown=...)"
            )
        return np.where(known, found, np.int32(-1)).astype(np.int32), grid


def _check_bands(bands: Sequence[int] | None) -> None:
    if bands is not None and (not bands or any(b < 1 for b in bands)):
        raise ValueError(f"bands are counted from 1, got {list(bands)}")


def _bands(
    path: Path, file: rasterio.DatasetReader, bands: Sequence[int] | None
) -> tuple[int, ...]:
    """The bands to read, after a look at what the file has."""
    if file.width * file.height > PIXELS:
        raise PatchError(
            f"{path} has {file.height} x {file.width} pixels, at most {PIXELS} are read at once: "
            "explain a scene with rfp_jax.maps, or cut it into patches"
        )
    wanted = tuple(range(1, file.count + 1)) if bands is None else tuple(bands)
    if max(wanted) > file.count:
        raise PatchError(f"{path}: expected a band {max(wanted)}, got {file.count} bands")
    return wanted
