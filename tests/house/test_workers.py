"""Workers of `make test` get whole files: what a file sets up is set up once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.order import pytest_collection_modifyitems
"""
FILE = """
import os
import pytest
{mark}
@pytest.fixture(scope="module")
def made():
    with open({log!r}, "a") as log:
        log.write("{name} ")

@pytest.mark.parametrize("i", range(6))
def test(made, i):
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_a_fixture_of_a_file_is_made_once(tmp_path, whole):
    log = tmp_path / "log"
    for name, mark in (("b", ""), ("c", ""), ("z", "pytestmark = pytest.mark.slow")):
        file = tmp_path / f"test_{name}.py"
        file.write_text(FILE.format(mark=mark, log=str(log), name=name))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    options = re.search(r"pytest -n auto (.*)", (ROOT / "Makefile").read_text().split("\ntest:")[1])
    spread = options[1].split() if whole else ["--dist", "load"]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *spread, str(tmp_path)]
    path = {"PYTHONPATH": str(ROOT), "PATH": "", "JAX_PLATFORMS": "cpu"}
    subprocess.run(command, cwd=tmp_path, env=path, check=True, capture_output=True)
    made = log.read_text().split()
    if whole:
        assert sorted(made) == ["b", "c", "z"]
        assert "z" in made[:2]  # the slow file is among the first two
    else:
        assert len(made) > 3  # a test that could not fail would prove nothing
