"""The wheel, built once, and an environment that holds it and what it asks for."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.environments import Environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(tmp_path_factory, wheel):
    return Environment(tmp_path_factory.mktemp("env") / "env", wheel)
