"""GeoTIFFs from elsewhere: opened with one driver, measured before they are unpacked, masked.

A file that is missing, damaged or of another kind is a `PatchError` that names it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.rasters import alpha_of

if TYPE_CHECKING:
    import rasterio

BLOCK = 2**26
"""Bytes that one block of a file may have unpacked, 64 MiB; those of SEN12MS have 2 at most."""


class PatchError(ValueError):
    """A file of a patch that is missing, damaged or of another kind; the message names it."""


class MissingFileError(PatchError, FileNotFoundError):
    """A file of a patch that is not there."""


@dataclass(frozen=True)
class Grid:
    """The place of the pixels of a file.

    Attributes:
        crs: the coordinate system; None where the file has none.
        shape: rows and columns.
        corners: x and y of the outer corners: upper left, upper right, lower left.
    """

    crs: rasterio.CRS | None
    shape: tuple[int, int]
    corners: tuple[float, float, float, float, float, float]

    @property
    def center(self) -> tuple[float, float]:
        """The coordinates x and y of the middle."""
        _, _, *diagonal = self.corners  # from the upper right to the lower left
        return (diagonal[0] + diagonal[2]) / 2, (diagonal[1] + diagonal[3]) / 2

    @property
    def system(self) -> str:
        """The coordinate system in words, such as `"EPSG:32633"`; "" where there is none."""
        return self.crs.to_string() if self.crs else ""

    def same_ground(self, other: Grid) -> bool:
        """Return whether both cover the same ground, to a thousandth of the smaller pixel."""
        near = 1e-3 * min(self._pixel, other._pixel)
        same = np.allclose(self.corners, other.corners, rtol=0, atol=near)
        return self.crs == other.crs and bool(same)

    @property
    def _pixel(self) -> float:
        """Length of a pixel's shorter edge."""
        left, top, right, right_y, low_x, low_y = self.corners
        across = np.hypot(right - left, right_y - top) / self.shape[1]
        return float(min(across, np.hypot(low_x - left, low_y - top) / self.shape[0]))

    def __str__(self) -> str:
        left, top, right, _, _, bottom = self.corners
        where = f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}"
        rows, columns = self.shape
        return f"{rows} x {columns} pixels, {where}, {self.system or 'no coordinate system'}"


@contextlib.contextmanager
def open_geotiff(path: Path) -> Iterator[rasterio.DatasetReader]:
    """Open a GeoTIFF that may come from anywhere.

    Args:
        path: of the file.

    Yields:
        The open file.

    Raises:
        MissingFileError: there is no such file.
        PatchError: it is not a GeoTIFF, is damaged, or a block of it would unpack to more than
            `BLOCK`. What goes wrong while it is read inside the block ends so, too.
    """
    with needs_extra("Reading GeoTIFFs", "experiments"):
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    if not path.is_file():
        raise MissingFileError(f"{path} is missing: a half download, or another folder is meant")
    try:
        with warnings.catch_warnings():  # its grid says so
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            # one driver alone: a file of another format could point to yet other files
            opened = rasterio.open(path, driver="GTiff")
        with opened as file:
            yield file
    except RasterioError as error:
        raise PatchError(
            f"{path} cannot be read: damaged or half downloaded ({error}); download it again"
        ) from error


def check_blocks(path: Path, file: rasterio.DatasetReader) -> None:
    """Refuse blocks much larger than the image: GDAL would unpack one whole.

    Raises:
        PatchError: a block has more than `BLOCK` bytes.
    """
    together = file.count if file.profile.get("interleave") == "pixel" else 1
    for (height, width), dtype in zip(file.block_shapes, file.dtypes, strict=True):
        size = height * width * together * np.dtype(dtype).itemsize
        if size > BLOCK:
            raise PatchError(
                f"{path}: its blocks of {height} x {width} pixels have {size} bytes unpacked, at "
                f"most {BLOCK} are read; write the file again in smaller ones"
            )


def check_real(path: Path, dtype: np.dtype[np.generic]) -> None:
    """Refuse complex numbers.

    Raises:
        PatchError: they are not real numbers.
    """
    if dtype.kind not in "iuf":
        raise PatchError(f"{path}: expected real numbers, got {dtype}")


def grid_of(file: rasterio.DatasetReader) -> Grid:
    """Return where the pixels of an open file are."""
    place, (rows, columns) = file.transform, file.shape
    corners = (*(place * (0, 0)), *(place * (columns, 0)), *(place * (0, rows)))
    return Grid(file.crs or None, file.shape, corners)


def read_masked(
    path: Path,
    file: rasterio.DatasetReader,
    bands: Sequence[int],
    *,
    nodata: float | None = None,
    size: tuple[int, int] | None = None,
    resampling: str = "nearest",
) -> np.ma.MaskedArray:
    """Read bands of an open file, masked where they have no data.

    No data are the pixels that the file says so of (its nodata value, a mask, or an alpha band that
    is not read itself), NaN and infinities.

    Args:
        path: of the file, for messages.
        file: open.
        bands: which, counted from 1.
        nodata: a further value that stands for no data.
        size: rows and columns to resample to; those of the file if None.
        resampling: the method of GDAL for it.

    Returns:
        Values as they are stored, or resampled, [rows, columns, bands].

    Raises:
        PatchError: they are not real numbers, or blocks are too large.
    """
    from rasterio.enums import Resampling
    from rasterio.errors import NodataShadowWarning

    check_blocks(path, file)
    method, shape = Resampling[resampling], size and (len(bands), *size)
    masked = file.nodata is not None or alpha_of(file) not in bands
    with warnings.catch_warnings():  # nodata comes before alpha
        warnings.simplefilter("ignore", NodataShadowWarning)
        image = file.read(list(bands), masked=masked, out_shape=shape, resampling=method)
    image = np.moveaxis(image, 0, -1)
    check_real(path, image.dtype)
    mask = np.ma.getmaskarray(image) | ~np.isfinite(image.data)
    if nodata is not None:
        mask |= image.data == nodata
    return np.ma.MaskedArray(np.ascontiguousarray(image.data), mask)
