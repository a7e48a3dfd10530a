"""Reading one band of a patch, as it is or at another resolution."""

from pathlib import Path

import numpy as np

from rfp_jax.datasets._geotiff import Grid, PatchError, grid_of, open_geotiff, read_masked
from rfp_jax.datasets.bigearthnet._bands import EDGE, Band, Resolution


def read_band(
    path: Path, band: Band, resolution: Resolution, resampling: str | None
) -> tuple[np.ma.MaskedArray, Grid]:
    """Read one band of a patch.

    Args:
        path: a GeoTIFF of one band.
        band: what it should be.
        resolution: meters of the pixels that are wanted.
        resampling: the method of GDAL by which they are made where the file has others.

    Returns:
        Values as they are stored, [rows, columns], masked where they have no data; where the file
        lies.

    Raises:
        PatchError: the file is missing, damaged or of another kind; names it.
    """
    size, wanted = EDGE // band.resolution, EDGE // resolution
    with open_geotiff(path) as file:
        if file.count != 1 or file.shape != (size, size):
            raise PatchError(
                f"{path}: expected one band of {size} x {size} pixels, got {file.count} of "
                f"{file.height} x {file.width}"
            )
        other = {} if size == wanted else {"size": (wanted, wanted), "resampling": resampling}
        return read_masked(path, file, [1], **other)[..., 0], grid_of(file)
