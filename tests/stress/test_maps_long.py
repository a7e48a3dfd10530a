"""Long forms of the tests of `rfp_jax.maps`: kills, processes, a whole Sentinel-2 scene."""

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
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


def test_a_whole_scene_within_four_gibibytes(tmp_path):
    """10,980 x 10,980 pixels, 12 bands; MAPS_SIDE takes a smaller scene."""
    side = int(os.environ.get("MAPS_SIDE", "10980"))
    tile = start("-m", "benchmarks.tile", "--side", side, "--out", tmp_path)
    output = finish(tile, timeout=4 * 3600)
    print(output)
    peak = int(output.rsplit("peak", 1)[1].split()[0])
    assert peak < 4 * 2**30
    with rasterio.open(tmp_path / "cogs" / "relevance.tif") as file:
        assert (file.count, file.shape) == (13, (side, side))
        last = min(side, 300)
        assert np.isfinite(file.read(window=((side - last, side), (side - last, side)))).all()
    for each in ("map.zarr", "cogs"):  # gigabytes, which pytest would keep
        shutil.rmtree(tmp_path / each)
    (tmp_path / "scene.tif").unlink()
