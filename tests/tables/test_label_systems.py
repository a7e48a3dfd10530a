"""Labels of maps that lie in another coordinate system than the images."""

import numpy as np
import pytest
import xarray as xr

from rfp_jax.tables import Places, RunOptions, evaluate

pytest.importorskip("rioxarray", reason="not installed: rioxarray")
import rioxarray  # noqa: F401

LOOKS = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)


def raster(values, dims, crs):
    found = xr.DataArray(values, dims=dims)
    return found if crs is None else found.rio.write_crs(crs)


def sample(number, image, label):
    draw = np.random.default_rng(number)
    bands = draw.normal(size=(4, 5, 2)).astype(np.float32)
    return {
        "image": raster(bands, ("y", "x", "band"), image),
        "label": raster(draw.integers(0, 3, (4, 5)), ("y", "x"), label),
        "id": f"tile {number}",
    }


def run(data, path):
    return evaluate(
        lambda params, image: image @ params,
        data,
        path,
        params=LOOKS,
        sources=("image",),
        classes=("a", "b", "c"),
        places=Places(),
        run=RunOptions(progress=False, threads=0),
    )


def test_a_label_of_another_system_fails_by_sample(tmp_path):
    systems = [("EPSG:32633", "EPSG:32633"), ("EPSG:32633", "EPSG:32632"), ("EPSG:32633", None)]
    systems += [(None, "EPSG:32632"), (None, None)]
    table = run([sample(i, *each) for i, each in enumerate(systems)], tmp_path / "t.zarr").load()
    failures = dict(zip(table.id.values, table.failure.values, strict=True))
    said = failures.pop("tile 1")
    assert "the label: it lies in EPSG:32632, and 'image' in EPSG:32633" in said
    assert "reproject_match" in said
    assert set(failures.values()) == {""}
