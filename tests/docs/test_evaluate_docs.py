"""The examples of the pages on evaluation run as they stand, on one process and on several."""

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rfp_jax import tables

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_evaluate_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("evaluate.md"):
        exec(compile(block, "evaluate.md", "exec"), names)
    assert names["summary"]["samples"] == 360
    assert names["summary"]["accuracy"] > 0.9
    assert names["by_class"].shape == (10, 2)
    assert names["by_bins"].shape == (4, 2)
    assert names["table"].source.values.tolist() == ["upper", "lower", "bias"]
    total = names["table"].relevance.sum("source")
    np.testing.assert_allclose(total, names["table"].output, rtol=1e-4, atol=1e-4)
    assert names["result"].output.shape == (360, 10)
    assert (tmp_path / "copy.zarr").is_dir()
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert (tmp_path / "relevance.csv").read_text().count("\n") == 1 + 360 * 3 * 10


def test_data_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("data.md"):
        exec(compile(block, "data.md", "exec"), names)
    shown = re.findall(r"```text\n(.*?)```", (DOCS / "data.md").read_text(), re.DOTALL)
    assert capsys.readouterr().out == "".join(shown)
    assert names["table"].attrs["complete"] == 1
    assert set(names["table"].failure.values) == {""}
    assert names["table"].label.values[:3].tolist() == [1, 0, 1]
    assert names["by_month"].shape == (2, 2)
    np.testing.assert_allclose(names["by_month"].sum("source"), 1, rtol=1e-5)


def test_geotiff_page(tmp_path, monkeypatch):
    """From files to the report; what the blocks print is what stands below them."""
    for package in ("geopandas", "optax", "rasterio"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "geotiffs.md").read_text()
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks("geotiffs.md"):
            exec(compile(block, "geotiffs.md", "exec"), names)
    assert printed.getvalue() == "".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))
    table = names["table"]
    assert [i for i, why in enumerate(table.failure.values) if why] == [7]
    good = tables.drop_failed(table)
    np.testing.assert_array_equal(good.prediction, good.label)
    assert good.label.values[:3].tolist() == [0, 1, 2]
    total = good.relevance.sum("source")
    np.testing.assert_allclose(total, good.output, rtol=1e-4, atol=1e-4)
    points = names["points"].to_crs(32633)
    np.testing.assert_allclose(points.geometry[9].coords[0], (600480, 5199520), atol=0.01)
    assert points.geometry[7] is None
    assert (tmp_path / "pairs.gpkg").exists()
    report = (tmp_path / "pairs.html").read_text()
    assert report.count("data:image/png;base64,") == 2 * 39
    assert "radar/007.tif cannot be read: damaged or half downloaded" in report


def slurm(process, port):
    return {
        "SLURM_JOB_ID": str(port),  # from which JAX takes the port
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(process),
        "SLURM_LOCALID": str(process),
        "JAX_COORDINATOR_PORT": str(port),
    }


def kubernetes(process, port):
    return {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2",
        ("JOB_COMPLETION_INDEX", "JAX_PROCESS_ID")[process]: str(process),  # the latter by hand
    }


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def start(folder, path, variables=()):
    """Begin the script of the page on clusters."""
    clean = {k: v for k, v in os.environ.items() if "SLURM" not in k and "proxy" not in k.lower()}
    return subprocess.Popen(
        [sys.executable, "relevance_job.py", path],
        cwd=folder,
        env=clean | {"JAX_PLATFORMS": "cpu"} | dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    "scheduler", [slurm, pytest.param(kubernetes, marks=pytest.mark.long)], ids=lambda f: f.__name__
)
def test_clusters_page(scheduler, tmp_path):
    (script,) = blocks("clusters.md")
    (tmp_path / "relevance_job.py").write_text(script)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    running = [start(tmp_path, "alone.zarr")]
    running += [start(tmp_path, "both.zarr", scheduler(i, port)) for i in range(2)]
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert len(files(tmp_path / "both.zarr")) > 50
    assert files(tmp_path / "both.zarr") == files(tmp_path / "alone.zarr")


def test_join_names_what_is_missing(monkeypatch):
    from rfp_jax.tables import join

    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    with pytest.raises(ValueError, match="set JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID"):
        join()
