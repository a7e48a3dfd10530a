"""Scenes on Dask, for people whose engine it is: `python -m experiments.maps_dask`.

`map_overlap` does what `rfp_jax.maps.relevance` does, given the network's field:

- chunks are multiples of the stride, and so is the overlap, so blocks begin at the stride's phase;
- blocks at the edges of the scene are not padded (`boundary="none"`): they end where it ends;
- `meta` says what comes out, else Dask would call the network on empty arrays;
- workers are spawned: JAX has threads, which do not survive a fork.

The scene's size must be a multiple of the stride. Both engines' numbers are compared. Commits,
resuming and the checks of input are those of `rfp_jax.maps` alone.
"""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable
from math import ceil
from typing import Any

from experiments.command import keep_programs, lazy_imports

with lazy_imports("dask"):
    import jax
    import jax.numpy as jnp
    import numpy as np
    import rasterio
    import rioxarray  # noqa: F401  (an engine of xarray)
    import xarray as xr
    from dask import distributed
    from rasterio.transform import from_origin
    from scipy.ndimage import gaussian_filter

    import rfp_jax
    from rfp_jax import maps

SIDE, CHUNK = 256, 64


def network(kernel: jax.Array, optical: jax.Array, sar: jax.Array) -> jax.Array:
    """A convolution, pooling, upsampling, another convolution; three classes."""
    dims = ("NHWC", "HWIO", "NHWC")
    conv = functools.partial(jax.lax.conv_general_dilated, padding="SAME", dimension_numbers=dims)
    x = jax.nn.relu(conv(jnp.concatenate([optical, sar], -1), kernel, (2, 2)))
    x = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
    return conv(x, kernel, (1, 1)) + sar


def parameters() -> np.ndarray:
    """The network's kernel."""
    return np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32) / 5


@functools.cache
def explain() -> Callable[..., Any]:
    """The compiled explanation, once in each worker."""
    return rfp_jax.jit(rfp_jax.relevance(network, argnums=(1, 2)))


def block(optical: np.ndarray, sar: np.ndarray) -> np.ndarray:
    """The relevance of one block, [band, y, x] to [class and source, y, x]."""
    inputs = [np.moveaxis(values, 0, -1)[None] for values in (optical, sar)]
    rel = explain()(parameters(), *inputs)
    parts = jnp.stack([*rel.sources, rel.bias])[:, 0]  # [source, y, x, class]
    return np.asarray(jnp.moveaxis(parts, -1, 0).reshape(-1, *parts.shape[1:3]))


def with_dask(optical: xr.DataArray, sar: xr.DataArray) -> xr.DataArray:
    """The relevance of a scene by Dask, [class, source, y, x].

    Args:
        optical: [band, y, x], with chunks.
        sar: likewise, with the same chunks.
    """
    import dask.array as da

    shapes = [
        jax.ShapeDtypeStruct((1, SIDE, SIDE, len(source)), jnp.float32) for source in (optical, sar)
    ]
    field = maps.field(network, parameters(), shapes)
    top, bottom, left, right = field.margins
    rows = ceil(max(top, bottom) / field.stride[0]) * field.stride[0]
    columns = ceil(max(left, right) / field.stride[1]) * field.stride[1]
    depth = {0: 0, 1: rows, 2: columns}
    grown = da.overlap.overlap(optical.data, depth, boundary="none").chunks
    parts = da.map_overlap(
        block,
        optical.data,
        sar.data,
        depth=depth,
        boundary="none",
        align_arrays=False,
        chunks=((9,), *grown[1:]),  # of a block as it comes out, before the overlap is trimmed
        meta=np.empty((0, 0, 0), np.float32),
        dtype=np.float32,
    )
    found = parts.reshape(3, 3, SIDE, SIDE)
    return xr.DataArray(found, {"y": optical.y, "x": optical.x}, ("class", "source", "y", "x"))


def write_scene(folder: str) -> dict[str, str]:
    """Write a scene of smooth noise: two optical bands, one of radar.

    Args:
        folder: where to.

    Returns:
        The file of each source.
    """
    draw = np.random.default_rng(1)
    paths = {"optical": f"{folder}/S2.tif", "sar": f"{folder}/S1.tif"}
    place = {"crs": "EPSG:32633", "transform": from_origin(600000, 5200000, 10, 10)}
    for path, bands in zip(paths.values(), (2, 1), strict=True):
        with rasterio.open(
            path, "w", driver="GTiff", height=SIDE, width=SIDE, count=bands,
            dtype="float32", tiled=True, blockxsize=64, blockysize=64, **place,
        ) as file:  # fmt: skip
            noise = gaussian_filter(draw.normal(size=(bands, SIDE, SIDE)), (0, 4, 4))
            file.write((noise / noise.std()).astype(np.float32))
    return paths


def main() -> int:
    """Compare both engines on a scene."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_scene(folder)
        own = maps.relevance(
            network, parameters(), paths, outputs="all", tile=CHUNK, progress=False
        )
        chunks = {"band": -1, "y": CHUNK, "x": CHUNK}
        sources = [
            xr.open_dataarray(path, engine="rasterio", chunks=chunks) for path in paths.values()
        ]
        workers = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
        local = distributed.LocalCluster(**workers, dashboard_address=":0")
        with local as cluster, distributed.Client(cluster) as client:
            client.run(keep_programs)
            theirs = with_dask(*sources).compute()
        for source in sources:
            source.close()
    apart = float(abs(own.relevance.values - theirs.values).max() / abs(own.relevance).max())
    print(f"{theirs.sizes['y']} x {theirs.sizes['x']} pixels, {apart:.1e} apart")
    return int(apart > 1e-5)


if __name__ == "__main__":
    keep_programs()
    sys.exit(main())
