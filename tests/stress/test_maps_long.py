"""Long forms of the tests of `rfp_jax.maps`: kills, processes, a whole Sentinel-2 scene."""

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "tests" / "maps" / "worker.py"
ENVIRONMENT = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
    "PYTHONPATH": str(ROOT),
}


def start(*arguments):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *map(str, arguments)], env=ENVIRONMENT, **pipes)


def finish(process, timeout=600):
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    return output


def hashes(path):
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def geotiff(path, values):
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=values.dtype,
        crs="EPSG:32633", transform=Affine(10, 0, 600000, 0, -10, 5200000),
    ) as file:  # fmt: skip
        file.write(values)


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(4)
    for name in "ab":
        geotiff(tmp_path / f"{name}.tif", draw.normal(size=(1, 200, 160)).astype(np.float32))
    finish(start(WORKER, tmp_path))
    (tmp_path / "map.zarr").rename(tmp_path / "expected.zarr")
    return tmp_path


def test_twenty_kills(folder):
    expected, draw, kills = hashes(folder / "expected.zarr"), random.Random(0), 0
    while kills < 20:
        process = start(WORKER, folder)
        # a run takes some seconds; it writes in the last of them
        while not (folder / "map.zarr.partial/chunks").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.4)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            assert not (folder / "map.zarr").exists()
        else:
            assert hashes(folder / "map.zarr") == expected
            shutil.rmtree(folder / "map.zarr")
    finish(start(WORKER, folder))
    assert hashes(folder / "map.zarr") == expected
    assert not (folder / "map.zarr.partial").exists()


def test_two_processes(folder):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    both = [start(WORKER, folder, i, 2, coordinator) for i in range(2)]
    for process in both:
        assert "done" in finish(process)
    assert hashes(folder / "map.zarr") == hashes(folder / "expected.zarr")


def test_dask_gives_equal_numbers():
    output = finish(start("-m", "experiments.maps_dask"))
    assert "256 x 256 pixels" in output


SCENE = """
    import resource, sys, time
    import jax.numpy as jnp, numpy as np
    from jax import lax
    from rfp_jax import maps

    folder, side, bands = sys.argv[1], int(sys.argv[2]), 12

    def network(kernel, *sources):
        x = jnp.concatenate(sources, -1)
        dims = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dims)
        return jnp.maximum(y, 0.0) + x[..., :3]

    kernel = np.random.default_rng(0).normal(size=(3, 3, bands, 3)).astype(np.float32) / 10
    sources = {
        f"B{i + 1}": maps.Source(f"{folder}/scene.tif", bands=(i + 1,)) for i in range(bands)
    }
    start = time.perf_counter()
    scene = maps.relevance(network, kernel, sources, f"{folder}/map.zarr", tile=1024)
    print("map", round(time.perf_counter() - start, 1), "s")
    start = time.perf_counter()
    maps.to_cog(scene, f"{folder}/cogs")
    print("cog", round(time.perf_counter() - start, 1), "s")
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
"""Every band is a source: 13 parts with the bias."""


def test_a_whole_scene_within_four_gibibytes(tmp_path):
    """10,980 x 10,980 pixels, 12 bands; MAPS_SIDE takes a smaller scene."""
    side = int(os.environ.get("MAPS_SIDE", "10980"))
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", height=side, width=side, count=12,
        dtype="uint16", crs="EPSG:32633", transform=Affine(10, 0, 600000, 0, -10, 5200000),
        tiled=True, nodata=0,
    ) as file:  # fmt: skip
        draw = np.random.default_rng(0)
        for row in range(0, side, 512):
            rows = min(512, side - row)
            block = draw.integers(1, 4000, (12, rows, side), dtype=np.uint16)
            window = rasterio.windows.Window(0, row, side, rows)
            file.write(block, window=window)
    (tmp_path / "run.py").write_text(textwrap.dedent(SCENE))
    output = finish(start(tmp_path / "run.py", tmp_path, side), timeout=7200)
    print(output)
    peak = int(output.split("peak")[1].split()[0])
    assert peak < 4 * 2**30
    with rasterio.open(tmp_path / "cogs" / "relevance.tif") as file:
        assert (file.count, file.shape) == (13, (side, side))
        assert np.isfinite(file.read(window=((side - 300, side), (side - 300, side)))).all()
