"""Places of the tests' rasters."""

from rasterio.transform import Affine

CRS, ORIGIN = "EPSG:32633", (600000.0, 5200000.0)


def transform(resolution=10.0, origin=ORIGIN):
    return Affine(resolution, 0, origin[0], 0, -resolution, origin[1])
