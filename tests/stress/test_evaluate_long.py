"""Long forms of the tests of `tables.evaluate`: kills, damage, devices, a process that dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_hundred_kills(tmp_path, seed):
    command = [sys.executable, "-W", "error", HERE / "faults.py", tmp_path, "--kills", "100"]
    done = subprocess.run(
        [*command, "--seed", str(seed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (growth,) = re.findall(r"The peak grows by (-?[\d.]+) %", done.stdout)
    assert float(growth) < 10, done.stdout  # threads and allocators are not the same twice


@pytest.mark.parametrize("seed", range(1, 4))
def test_four_hundred_damaged_tables(tmp_path, seed):
    command = [sys.executable, "-W", "error", HERE / "damage.py", tmp_path, "--cases", "400"]
    done = subprocess.run(
        [*command, "--seed", str(seed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (growth,) = re.findall(r"The peak grows by (-?[\d.]+) %", done.stdout)
    assert float(growth) < 10, done.stdout  # threads and allocators are not the same twice


class Cluster:
    """Processes of one evaluation on this machine."""

    def __init__(self, path, devices, *arguments):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            coordinator = f"localhost:{free.getsockname()[1]}"
        self.processes = []
        for process, count in enumerate(devices):
            environment = os.environ | {
                "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
                "JAX_PLATFORMS": "cpu",
            }
            command = [sys.executable, HERE / "cluster.py", path, *map(str, arguments)]
            if len(devices) > 1:
                command += ["--processes", str(len(devices)), "--process", str(process)]
                command += ["--coordinator", coordinator]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            self.processes.append(subprocess.Popen(command, env=environment, **pipes))

    def finish(self):
        outputs = [process.communicate(timeout=1200)[0] for process in self.processes]
        codes = [process.returncode for process in self.processes]
        return codes, outputs


SIZES = ("--samples", 1000, "--chunk", 96, "--batch", 16)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "t.zarr"
    codes, outputs = Cluster(path, [1], *SIZES).finish()
    assert codes == [0], outputs
    return path


@pytest.mark.parametrize("devices", [[2], [3], [8], [1, 1], [2, 3], [1, 2, 1]])
def test_devices_and_processes(alone, tmp_path, devices):
    codes, outputs = Cluster(tmp_path / "t.zarr", devices, *SIZES).finish()
    assert not any(codes), outputs
    assert files(tmp_path / "t.zarr") == files(alone)


@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_processes_is_killed(alone, tmp_path, victim):
    path = tmp_path / "t.zarr"
    cluster = Cluster(path, [1, 1], *SIZES, "--delay", 0.05)
    chunks = Path(f"{path}.partial/chunks")
    deadline = time.monotonic() + 300
    while len(list(chunks.glob("*.json"))) < 3:
        assert time.monotonic() < deadline, "the run has committed nothing"
        time.sleep(0.1)
    cluster.processes[victim].send_signal(signal.SIGKILL)
    codes, outputs = cluster.finish()  # the other one notices, and ends
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] != 0, outputs
    assert not path.exists()
    codes, outputs = Cluster(path, [2], *SIZES).finish()
    assert codes == [0], outputs
    assert files(path) == files(alone)


def test_memory_in_full_size():
    command = [sys.executable, "-m", "benchmarks.memory"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (growth,) = re.findall(r"The peak grows by (-?[\d.]+) %", done.stdout)
    assert float(growth) < 10, done.stdout  # threads and allocators are not the same twice
