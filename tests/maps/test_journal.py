"""A map on the disk: what is whole stays whole, whatever happens."""

import errno
import hashlib
import os
import random
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import rasterio
import worker
import xarray as xr

from rfp_jax import maps
from rfp_jax._util import files
from rfp_jax.maps import _journal as journal
from rfp_jax.maps import _write
from rfp_jax.maps._explain import Compiled
from rfp_jax.maps._grid import Grid
from rfp_jax.maps._layout import Layout
from rfp_jax.tables import TableInUseError, TableMismatchError

KILLS = 20


def fill(geotiff):
    draw = np.random.default_rng(4)
    for name in "ab":
        values = draw.normal(size=(1, 50, 40)).astype(np.float32)
        values[0, :10, :20] = np.nan  # a tile without any data, too
        path = Path(geotiff(f"{name}.tif", values))
    return path.parent


@pytest.fixture
def folder(geotiff):
    return fill(geotiff)


def hashes(path):
    """A hash of every chunk, and of what the map says of itself but for times."""
    found = {}
    for file in sorted(path.rglob("*")):
        if file.is_file():
            found[str(file.relative_to(path))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def test_what_is_on_the_disk_is_what_is_in_memory(folder):
    disk = worker.write(folder)
    sources = {"a": f"{folder}/a.tif", "b": f"{folder}/b.tif"}
    memory = maps.relevance(worker.network, None, sources, tile=16, progress=False)
    xr.testing.assert_equal(disk.load(), memory)
    assert set(disk.coords) == {"x", "y", "source", "spatial_ref"}
    for name, each in memory.variables.items():
        assert dict(disk[name].attrs) == dict(each.attrs), name
    different = {key for key in disk.attrs if disk.attrs[key] != memory.attrs.get(key)}
    assert different <= {"format", "coordinates"}
    assert not (folder / "map.zarr.partial").exists()
    assert disk.prediction[0, 0] == 255
    # every chunk has its file, also those of nothing but NaN
    assert len(list((folder / "map.zarr" / "relevance").glob("c.*"))) == 3 * 4 * 3


class _Killed(BaseException):
    pass


def disturb(monkeypatch, at, error):
    """Let the `at`-th file that is brought to the disk be the last one."""
    seen = iter(range(10**9))

    def dying(_):
        if next(seen) >= at:
            raise error

    monkeypatch.setattr(files, "sync", dying)


def test_twenty_interruptions_change_no_chunk(folder, monkeypatch):
    worker.write(folder)
    expected = hashes(folder / "map.zarr")
    shutil.rmtree(folder / "map.zarr")
    programs = {}  # the same program each time: compiled once
    monkeypatch.setattr(
        _write,
        "Compiled",
        lambda network, chosen, shapes, devices: programs.setdefault(
            shapes, programs.get(shapes) or Compiled(network, chosen, shapes, devices)
        ),
    )
    draw = random.Random(0)
    interrupted = 0
    while interrupted < KILLS:
        with monkeypatch.context() as patch:
            disturb(patch, draw.randrange(1, 60), _Killed())
            try:
                worker.write(folder)
            except _Killed:
                interrupted += 1
                with pytest.raises(FileNotFoundError, match="there is no map"):
                    maps.open(folder / "map.zarr")
            else:
                assert hashes(folder / "map.zarr") == expected
                shutil.rmtree(folder / "map.zarr")
    worker.write(folder)
    assert hashes(folder / "map.zarr") == expected
    assert not (folder / "map.zarr.partial").exists()


def test_a_run_goes_on_where_it_was(folder, monkeypatch):
    with monkeypatch.context() as patch:
        disturb(patch, 80, _Killed())
        with pytest.raises(_Killed) as caught:
            worker.write(folder)
        assert "the same call goes on there" in caught.value.__notes__[0]
    markers = {p: p.stat().st_mtime_ns for p in (folder / "map.zarr.partial/chunks").glob("*")}
    assert 0 < len(markers) < 12
    commits = []
    commit = journal.Journal.commit
    monkeypatch.setattr(journal.Journal, "commit", lambda *a: (commits.append(a[1]), commit(*a))[1])
    usage = namedtuple("Usage", "total used free")  # there was room for it when it began
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 10, 10))
    worker.write(folder)
    assert len(commits) == 12 - len(markers)


def test_a_full_disk(folder, monkeypatch):
    usage = namedtuple("Usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 10, 10))
        with pytest.raises(OSError, match=r"needs up to [\d,]+ bytes, 10 are free") as caught:
            worker.write(folder)
    assert caught.value.errno == errno.ENOSPC
    assert not list(folder.glob("map.zarr*"))
    with monkeypatch.context() as patch:
        disturb(patch, 70, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        with pytest.raises(OSError, match="No space left"):
            worker.write(folder)
    assert not (folder / "map.zarr").exists()
    assert worker.write(folder).attrs["pixels"] == 2000


def test_a_changed_pixel_is_refused(folder, monkeypatch):
    with monkeypatch.context() as patch:
        disturb(patch, 70, _Killed())
        with pytest.raises(_Killed):
            worker.write(folder)
    with rasterio.open(folder / "b.tif", "r+") as file:
        values = file.read()
        values[0, 49, 39] += 1e-3
        file.write(values)
    with pytest.raises(TableMismatchError, match=r"(?s)is another one:\n  data\.b: .*Give"):
        worker.write(folder)
    worker.write(folder, overwrite=True)
    with pytest.raises(TableMismatchError, match='rules: "lrp0" in the table, "cp_lrp" now'):
        worker.write(folder, rules="cp_lrp")
    with pytest.raises(TableMismatchError, match="fill"):
        worker.write(folder, fill=3.0)


def test_two_runs_at_once(folder):
    lock = journal.Journal(folder / "map.zarr").partial.locked()
    with lock, pytest.raises(TableInUseError, match="another run is writing"):
        worker.write(folder)


def test_what_is_no_map_stays(folder):
    (folder / "map.zarr").mkdir()
    (folder / "map.zarr" / "precious").write_text("data")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="is not a map of rfp_jax"):
            worker.write(folder, overwrite=overwrite)
    assert (folder / "map.zarr" / "precious").read_text() == "data"


def test_damage_is_named(folder):
    worker.write(folder)
    chunk = folder / "map.zarr" / "relevance" / "c.1.2.0"
    content = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(maps.SceneError, match=r"relevance/c\.1\.2\.0 is missing"):
        maps.open(folder / "map.zarr")
    chunk.write_bytes(content[:-1])
    with pytest.raises(maps.SceneError, match=r"relevance/c\.1\.2\.0 holds \d+ bytes"):
        maps.open(folder / "map.zarr")
    chunk.write_bytes(content)
    root = folder / "map.zarr" / "zarr.json"
    root.write_text(root.read_text().replace('"lrp0"', '"lrp1"'))
    with pytest.raises(maps.SceneError, match="holds other bytes than were written"):
        maps.open(folder / "map.zarr")


def test_sizes_are_announced():
    grid = Grid(rasterio.CRS.from_epsg(32633), rasterio.Affine(10, 0, 0, 0, -10, 0), 10980, 10980)
    bands = tuple(f"B{i}" for i in range(12))
    layout = Layout(grid, grid.centers, bands, ("a", "b"), ("#000000",) * 2, None, (512, 512))
    assert layout.bytes("relevance") == 6_269_140_800
    assert "relevance [13, 10980, 10980] 6,269,140,800 bytes" in layout.announcement()


def test_progress_says_what_is_written(folder, capsys):
    worker.write(folder, progress=True)
    shown = capsys.readouterr().err
    assert "relevance [3, 50, 40] 24,000 bytes" in shown
