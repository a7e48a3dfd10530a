"""Small rasters with a place on the ground."""

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
from rasters import CRS, ORIGIN, transform


@pytest.fixture
def raster():
    """Make a DataArray [band, y, x] of an array."""

    def make(values, resolution=10.0, origin=ORIGIN, crs=CRS, **attrs):
        values = np.asarray(values)
        values = values[None] if values.ndim == 2 else values
        _, height, width = values.shape
        y = origin[1] - resolution * (np.arange(height) + 0.5)
        x = origin[0] + resolution * (np.arange(width) + 0.5)
        data = xr.DataArray(values, {"y": y, "x": x}, ("band", "y", "x"), attrs=attrs)
        return data.rio.write_crs(crs)

    return make


@pytest.fixture
def geotiff(tmp_path):
    """Write a GeoTIFF; returns its path."""

    def write(name, values, resolution=10.0, origin=ORIGIN, crs=CRS, **options):
        values = np.asarray(values)
        values = values[None] if values.ndim == 2 else values
        scales, offsets = options.pop("scales", None), options.pop("offsets", None)
        descriptions = options.pop("descriptions", None)
        given = {"transform": transform(resolution, origin), **options}
        count, height, width = values.shape
        path = str(tmp_path / name)
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=count,
            dtype=values.dtype, crs=crs, **given,
        ) as file:  # fmt: skip
            file.write(values)
            if scales is not None:
                file.scales = scales
            if offsets is not None:
                file.offsets = offsets
            if descriptions is not None:
                file.descriptions = descriptions
        return path

    return write
