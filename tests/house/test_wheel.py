"""The wheel in environments with nothing but what its metadata ask for: what is there, what not."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import rfp_jax
from rfp_jax._command import COMMANDS
from tests.house.first_example import first_example
from tests.house.typed_program import PROGRAM

ROOT = Path(__file__).parents[2]
EXTRA = {"convert": "convert", "map": "maps", "report": "tables", "sen12ms": "experiments"}
"""The packages that a command needs."""

pytestmark = pytest.mark.slow


CALL = """
import contextlib, io, json, sys
from rfp_jax._command import main

ended = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
    ended.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(ended))
"""
"""Calls of the command, one after another in one process."""


def call(environment, *calls, extra=""):
    """Status, output and errors of each call."""
    done = environment.run("python", "-", json.dumps(calls), extra=extra, text=CALL)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "rfp_jax",
        f"rfp_jax-{rfp_jax.__version__}.dist-info",
    }
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "rfp_jax").rglob("*.py")}
    page = {path.name for path in (ROOT / "rfp_jax" / "maps" / "_page").iterdir() if path.is_file()}
    assert {"leaflet.js", "leaflet.css", "LICENSE", "template.html"} <= page
    report = {"page.html", "parts.html", "page.css", "page.js"}
    others = {"rfp_jax/py.typed", *(f"rfp_jax/tables/_report/{name}" for name in report)}
    assert sources | others | {f"rfp_jax/maps/_page/{name}" for name in page} <= set(names)


def test_the_core_needs_jax_and_numpy_only(environment):
    found = environment.distribution
    asked = [Requirement(line) for line in found.requires]
    assert {one.name for one in asked if not one.marker} == {"jax", "numpy"}
    assert found.version == rfp_jax.__version__
    code = (
        "import jax, rfp_jax, rfp_jax.tables, rfp_jax.attribution, rfp_jax.datasets.sen12ms\n"
        "import rfp_jax.convert, rfp_jax.losses, rfp_jax.export\n"
        "rel = rfp_jax.relevance(lambda x, y: jax.nn.relu(2 * x + y), (0, 1))(1.0, 3.0)\n"
        "print(float(rel.sources[0]), rfp_jax.audit(jax.numpy.tanh)(1.0).passed)\n"
    )
    done = environment.run("python", "-", text=code)
    assert done.stdout == "2.0 True\n", done.stderr


def test_the_first_example_runs(environment):
    """The core is enough, as README's first line of `pip install` has it."""
    done = environment.run("python", "-", text=first_example())
    assert done.returncode == 0, done.stderr


def test_the_script_is_installed(environment):
    done = environment.run("rfp-jax", "--version")
    assert (done.returncode, done.stdout) == (0, f"{rfp_jax.__version__}\n"), done.stderr


@pytest.mark.parametrize("extra", sorted(set(EXTRA.values())))
def test_every_command_has_help(environment, extra):
    commands = [name for name, needed in EXTRA.items() if needed == extra]
    ended = call(environment, ["--help"], *([name, "--help"] for name in commands), extra=extra)
    (status, listed, errors), *helps = ended
    assert status == 0, errors
    assert all(about in listed for _, about in COMMANDS.values())
    for name, (status, shown, errors) in zip(commands, helps, strict=True):
        assert status == 0, errors
        assert shown.startswith(f"usage: rfp-jax {name}")


def test_a_command_names_the_extra_that_it_lacks(environment):
    commands = [*COMMANDS, "--help"]
    ended = call(environment, *([name] for name in commands))
    for name, (status, _, errors) in zip(commands, ended, strict=True):
        assert status == 1
        (line,) = errors.splitlines()
        assert re.fullmatch(r"error: .* needs the package '\w+', .* 'rfp-jax\[(\w+)\]'", line), line
        assert f"rfp-jax[{EXTRA.get(name, 'tables')}]" in line


def test_every_command_is_asked_for():
    assert EXTRA.keys() == COMMANDS.keys()


PATCH = """
import json, pathlib
from rfp_jax.datasets import bigearthnet
folder = pathlib.Path("archive/S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48")
folder.mkdir(parents=True, exist_ok=True)
found = {"labels": ["Pastures"], "coordinates": {"ulx": 0, "uly": 0}}
found |= {"acquisition_time": "2017-06-13"}
found |= {"corresponding_s2_patch": "S2A_MSIL2A_20170613T101031_87_48"}
(folder / f"{folder.name}_labels_metadata.json").write_text(json.dumps(found))
bigearthnet.BigEarthNet("archive", None, bigearthnet.BigEarthNetConfig("s1"))[0]
"""
RASTERS = """
import pathlib
from rfp_jax.datasets import rasters
pathlib.Path("a_s1.tif").touch()
rasters.Rasters(".", {"s1": "{site}_s1.tif"})[0]
"""
CALLS = {
    "import rfp_jax.models": "models",
    "import rfp_jax.plot": "plot",
    "import rfp_jax.convert.flax": "models",
    "from rfp_jax.convert import to_flax": "models",
    "from rfp_jax.convert import from_onnx": "convert",
    "from rfp_jax.convert import read_checkpoint": "models",
    "import rfp_jax.convert; rfp_jax.convert.from_torch('a.pt2')": "convert",
    "import rfp_jax.tables; rfp_jax.tables.open('a.zarr')": "tables",
    "import rfp_jax.tables; rfp_jax.tables.report(None, 'a.html')": "tables",
    "import rfp_jax.datasets; rfp_jax.datasets.load_digits('train')": "experiments",
    PATCH: "experiments",
    RASTERS: "experiments",
    "import rfp_jax.export; rfp_jax.export.load('a')": "tables",
    "import rfp_jax.export; rfp_jax.export.save('a', abs, 1.0, {'x': 1.0}, classes='a')": "tables",
    "import rfp_jax.maps": "maps",
    "import rfp_jax.plot.maps": "plot",
    "import rfp_jax, jax; str(rfp_jax.audit(jax.numpy.tanh)(1.0))": "tables",
    "import rfp_jax, jax; rfp_jax.relevance(jax.numpy.tanh)(1.0).to_xarray()": "tables",
}


def test_a_function_names_the_extra_that_it_lacks(environment):
    code = (
        "for call in %r:\n"
        "    try:\n"
        "        exec(call)\n"
        "        print('nothing was missing')\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)\n"
    )
    done = environment.run("python", "-", text=code % list(CALLS))
    lines = done.stdout.splitlines()
    for (call, extra), line in zip(CALLS.items(), lines, strict=True):
        assert line.endswith(f"pip install 'rfp-jax[{extra}]'"), (call, line)


def test_pyright_sees_two_planted_errors_and_no_other(tmp_path, environment):
    """The package is the installed wheel: nothing of the source tree is in reach."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"include": ["program.py"]}))
    python = environment.folder / "bin" / "python"
    command = ["pyright", "--outputjson", "--pythonpath", python, "-p", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = PROGRAM.splitlines()
    planted = [number for number, line in enumerate(lines) if "# planted" in line]
    assert {each["range"]["start"]["line"] for each in found} == set(planted), found
