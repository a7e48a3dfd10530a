"""The same table, bit for bit, from one device, from four, and from two processes."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rfp_jax import tables
from rfp_jax.tables._evaluate.schema import spaced

WORKER = Path(__file__).parents[1] / "stress" / "cluster.py"


def start(path, devices, *arguments):
    flags = os.environ.get("XLA_FLAGS", "")
    environment = os.environ | {
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-W", "error", WORKER, path, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "t.zarr"
    assert "1 devices, 50 samples" in finish(start(path, 1))
    return path


def test_four_devices(alone, tmp_path):
    assert "4 devices, 50 samples" in finish(start(tmp_path / "t.zarr", 4))
    assert files(tmp_path / "t.zarr") == files(alone)


def test_two_processes_with_different_numbers_of_devices(alone, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    both = ("--processes", 2, "--coordinator", coordinator, "--process")
    processes = [start(tmp_path / "t.zarr", 1 + i, *both, i) for i in range(2)]
    outputs = [finish(process) for process in processes]
    probed = len(spaced(50))  # samples that each process looks at beforehand
    read = [int(re.search(r"(\d+) read", output)[1]) - probed for output in outputs]
    assert read == [32, 18]  # chunks 0 and 2, chunks 1 and 3
    assert "process 0 refused: OtherProcessError" in outputs[0]
    assert "process 1 refused: TableMismatchError" in outputs[1]
    assert files(tmp_path / "t.zarr") == files(alone)


def test_the_table_holds_what_it_should(alone):
    table = tables.open(alone).load()
    assert tables.summary(table)["failures"] == 1
    assert table.id.values[[0, 49]].tolist() == ["digit0", "digit49"]
    total = table.relevance.sum("source")
    np.testing.assert_allclose(
        total[table.finite], table.output[table.finite], rtol=1e-4, atol=1e-4
    )
