"""Reading the GeoTIFFs of SEN12MS, with checks that a file is what it should be."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rfp_jax.datasets._geotiff import PatchError, check_blocks, check_real, open_geotiff
from rfp_jax.datasets.sen12ms._layout import IGBP_BAND, LC_COUNT, S1_COUNT, S2_COUNT, SIZE


class UnitWarning(UserWarning):
    """Values that look as if they were in other units than those of SEN12MS; names the file."""


def read_s2(path: Path, bands: Sequence[int] | None = None, *, size: int = SIZE) -> np.ndarray:
    """Read Sentinel-2 as it was measured.

    Args:
        path: a GeoTIFF of 13 bands.
        bands: which of them, counted from 1; all if None.
        size: expected height and width.

    Returns:
        Digital numbers (reflectance times 10,000), float32 [size, size, bands].

    Raises:
        PatchError: if the file is missing, damaged, has another size, another number of bands or
            values that are not finite numbers.

    Warns:
        UnitWarning: if the values look like reflectance from 0 to 1.
    """
    image = _read(path, bands, count=S2_COUNT, size=size)
    if 0 < image.max(initial=0) <= 2:  # the darkest water has some hundreds in blue
        _warn(path, "reflectance from 0 to 1", "digital numbers, reflectance times 10,000", image)
    if not (finite := np.isfinite(image)).all():
        raise PatchError(f"{path}: {(~finite).sum()} of {image.size} values are not finite")
    return image


def read_s1(path: Path, *, size: int = SIZE) -> np.ndarray:
    """Read Sentinel-1 as the published networks see it: NaN as 0, clipped to [-25, 0] dB.

    Args:
        path: a GeoTIFF of two bands, VV and VH.
        size: expected height and width.

    Returns:
        Backscatter in dB, float32 [size, size, 2].

    Raises:
        PatchError: if the file is missing, damaged, has another size or number of bands, or if a
            whole band is NaN.

    Warns:
        UnitWarning: if the values look like linear power.
    """
    image = _read(path, None, count=S1_COUNT, size=size)
    if np.isnan(image).all(axis=(0, 1)).any():
        raise PatchError(f"{path}: a whole band is NaN, there is nothing to see")
    if np.nanmin(image) >= 0 and np.nanmax(image) > 0:  # nearly all land is darker than 0 dB
        _warn(path, "backscatter in linear power", "dB, 10 log10 of power", image)
    return np.clip(np.nan_to_num(image), -25, 0)


def read_land_cover(path: Path, *, size: int = SIZE) -> np.ndarray:
    """Read the IGBP class of every pixel.

    Args:
        path: a GeoTIFF of four bands, the first of which has the IGBP classes from 1 to 17.
        size: expected height and width.

    Returns:
        Classes from 0 to 16 in the order of `CLASSES[17]`, int32 [size, size]; -1 where the file
        says another number, such as 255 for unclassified.

    Raises:
        PatchError: if the file is missing, damaged, has another size or number of bands.
    """
    igbp = _read(path, [IGBP_BAND], count=LC_COUNT, size=size)[..., 0]
    known = np.isin(igbp, np.arange(1, 18))
    return np.where(known, igbp - 1, -1).astype(np.int32)


def _warn(path: Path, seems: str, expected: str, image: np.ndarray) -> None:
    warnings.warn(
        f"{path}: values from {np.nanmin(image):.3g} to {np.nanmax(image):.3g} look like {seems}; "
        f"expected {expected}. They are used as they are",
        UnitWarning,
        stacklevel=3,
    )


def _read(path: Path, bands: Sequence[int] | None, *, count: int, size: int) -> np.ndarray:
    with open_geotiff(path) as file:
        if file.count != count:
            raise PatchError(f"{path}: expected {count} bands, got {file.count}")
        if (file.height, file.width) != (size, size):
            raise PatchError(
                f"{path}: expected {size} x {size} pixels, got {file.height} x {file.width}"
            )
        check_blocks(path, file)
        image = file.read(None if bands is None else list(bands))
    check_real(path, image.dtype)
    return np.ascontiguousarray(np.moveaxis(image, 0, -1), np.float32)
