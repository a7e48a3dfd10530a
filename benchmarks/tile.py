"""A Sentinel-2 tile from files to files, and what memory it takes: `python -m benchmarks.tile`.

By default a quarter of a tile, 5,490 x 5,490 pixels of 12 bands, each a source of its own: 13 parts
with the bias. `--side 10980` takes the whole tile, as `make stress` does; that needs 30 GB on the
disk. Values are random, so that nothing compresses well.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import rasterio
from jax import lax
from rasterio.transform import from_origin
from rasterio.windows import Window

from rfp_jax import maps

BANDS, CLASSES, ROWS = 12, 3, 512


def write(path: Path, side: int) -> None:
    """Write random reflectances, row of blocks by row of blocks."""
    draw = np.random.default_rng(0)
    with rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, count=BANDS, dtype="uint16",
        crs="EPSG:32633", transform=from_origin(600000, 5200000, 10, 10), tiled=True, nodata=0,
    ) as file:  # fmt: skip
        for row in range(0, side, ROWS):
            rows = min(ROWS, side - row)
            block = draw.integers(1, 4000, (BANDS, rows, side), dtype=np.uint16)
            file.write(block, window=Window.from_slices((row, row + rows), (0, side)))


def network(kernel: jax.Array, *sources: jax.Array) -> jax.Array:
    """A convolution, a ReLU and a skip, [batch, y, x, band] to [batch, y, x, class]."""
    x = jnp.concatenate(sources, -1)
    dims = ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dims)
    return jnp.maximum(y, 0.0) + x[..., :CLASSES]


def measure(folder: Path, side: int) -> None:
    """Map the tile, write its GeoTIFFs, and print times and the most memory so far."""
    write(folder / "scene.tif", side)
    draw = np.random.default_rng(0)
    kernel = draw.normal(size=(3, 3, BANDS, CLASSES)).astype(np.float32) / 10
    sources = {
        f"B{i}": maps.Source(str(folder / "scene.tif"), bands=(i,)) for i in range(1, BANDS + 1)
    }

    def report(what: str, start: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"{what}: {time.perf_counter() - start:.0f} s, peak {peak} bytes", flush=True)

    start = time.perf_counter()
    scene = maps.relevance(network, kernel, sources, folder / "map.zarr", tile=1024)
    report("map", start)
    start = time.perf_counter()
    maps.to_cog(scene, folder / "cogs")
    report("GeoTIFFs", start)


def main() -> None:
    """Measure a tile in a folder that is removed, or in one that is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=5490, help="pixels a side")
    parser.add_argument("--out", type=Path, help="folder to keep the files in")
    given = parser.parse_args()
    if given.out is not None:
        measure(given.out, given.side)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given.side)


if __name__ == "__main__":
    main()
