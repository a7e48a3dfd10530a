"""Commands where something is missing, or where somebody else uses their names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.command import exit_on_error
from rfp_jax._util.extras import needs_extra

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    f"experiments.{path.parent.name if path.name == '__main__.py' else path.stem}"
    for pattern in ("*.py", "*/__main__.py")
    for path in (ROOT / "experiments").glob(pattern)
    if '__name__ == "__main__"' in path.read_text()
)
PACKAGES = ("optax", "tyro", "rich", "flax", "dask", "rasterio", "xarray", "matplotlib")

RUN = """
import json, runpy, sys

for name in json.loads(sys.argv[2]):
    sys.modules[name] = None
ended = {}
for command in json.loads(sys.argv[1]):
    sys.argv = [command]
    try:
        runpy.run_module(command, run_name="__main__", alter_sys=True)
    except BaseException as error:
        ended[command] = f"{type(error).__name__}: {error}"
    for name in [name for name in sys.modules if name.startswith("experiments")]:
        del sys.modules[name]
print(json.dumps(ended))
"""
"""Commands, one after another in one process, as if some packages were not installed."""


def python(*arguments, folder=ROOT, path=""):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, filter(None, path)))}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_every_experiment_names_the_extra_that_it_lacks():
    done = python("-c", RUN, json.dumps(COMMANDS), json.dumps(PACKAGES))
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout)
    assert len(COMMANDS) > 7
    for command in COMMANDS:
        extra = "dask" if command == "experiments.maps_dask" else "experiments"
        said = ended[command]
        assert said.startswith("SystemExit: error: This experiment needs the package "), said
        assert said.endswith(f"pip install 'rfp-jax[{extra}]'")


def test_a_package_that_is_missed_in_the_middle_is_named():
    def missing():
        import no_such_package

        return no_such_package

    message = r"error: This .* 'no_such_package'.*\[experiments\]"
    with pytest.raises(SystemExit, match=message), exit_on_error():
        missing()
    message = r"error: A map needs .*\[maps\]"
    with pytest.raises(SystemExit, match=message), exit_on_error(), needs_extra("A map", "maps"):
        missing()


@pytest.fixture
def theirs(tmp_path):
    """Somebody's own packages of these names, which must not be touched."""
    for name in ("experiments", "convert"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    return tmp_path


@pytest.mark.parametrize("command", ["experiments.mnist", "convert"])
def test_packages_of_the_users_do_not_hide_the_scripts_of_a_clone(theirs, command):
    done = python("-m", command, "--help", path=[theirs])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


def test_the_command_works_in_a_folder_with_packages_of_these_names(theirs):
    done = python("-m", "rfp_jax", "convert", "--help", folder=theirs, path=[ROOT])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: rfp-jax convert")
