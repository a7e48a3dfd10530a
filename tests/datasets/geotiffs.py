"""GeoTIFFs for the tests, written by rasterio."""

import numpy as np
import rasterio
from rasterio.transform import from_origin

CRS = "EPSG:32633"


def write(path, image, *, resolution=10.0, corner=(600000.0, 5200000.0), crs=CRS, **options):
    """Write [band, row, column]."""
    image = np.asarray(image)
    tags = {name: options.pop(name) for name in ("scales", "offsets") if name in options}
    form = {"count": len(image), "height": image.shape[1], "width": image.shape[2]}
    form |= {"dtype": image.dtype, "crs": crs, "transform": from_origin(*corner, *[resolution] * 2)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", **{**form, **options}) as file:
        file.write(image)
        for name, value in tags.items():
            setattr(file, name, value)
