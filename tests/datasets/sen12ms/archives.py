"""A small synthetic archive, and files written by hand."""

import numpy as np
import rasterio
import rasterio.shutil

from rfp_jax.datasets.sen12ms import (
    Archive,
)

SIZE = 24
PATCHES = 40


def archive(root, split="test", **options):
    return Archive(root, split, size=SIZE, **options)


def first_twin(patches):
    return int(np.flatnonzero(patches.twins)[0])


def write_tif(path, image):
    count, height, width = image.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    where = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    size = {"count": count, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", dtype=image.dtype, **size, **where) as file:
        file.write(image)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
