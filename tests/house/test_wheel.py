"""The wheel in environments with nothing but what its metadata ask for: what is there, what not."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import rfp_jax
from rfp_jax._command import COMMANDS
from tests.house.environments import Environment
from tests.house.first_example import first_example

ROOT = Path(__file__).parents[2]
EXTRA = {"convert": "convert", "report": "tables", "sen12ms": "experiments"}
"""What a command needs."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel):
    made = {}

    def make(extra=""):
        if extra not in made:
            made[extra] = Environment(tmp_path_factory.mktemp("env") / "env", wheel, extra)
        return made[extra]

    return make


def test_the_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "rfp_jax",
        f"rfp_jax-{rfp_jax.__version__}.dist-info",
    }
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "rfp_jax").rglob("*.py")}
    assert sources | {"rfp_jax/py.typed", "rfp_jax/tables/_report/template.html"} <= set(names)


def test_the_core_needs_jax_and_numpy_only(environment):
    found = environment().distribution
    asked = [Requirement(line) for line in found.requires]
    assert {one.name for one in asked if not one.marker} == {"jax", "numpy"}
    assert found.version == rfp_jax.__version__
    code = (
        "import jax, rfp_jax, rfp_jax.tables, rfp_jax.attribution, rfp_jax.datasets.sen12ms\n"
        "import rfp_jax.convert, rfp_jax.losses, rfp_jax.export\n"
        "rel = rfp_jax.relevance(lambda x, y: jax.nn.relu(2 * x + y), (0, 1))(1.0, 3.0)\n"
        "print(float(rel.sources[0]), rfp_jax.audit(jax.numpy.tanh)(1.0).passed)\n"
    )
    done = environment().run("python", "-", text=code)
    assert done.stdout == "2.0 True\n", done.stderr


def test_the_first_example_runs(environment):
    done = environment("models").run("python", "-", text=first_example())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(environment, command):
    done = environment(EXTRA[command]).run("rfp-jax", command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: rfp-jax {command}")


def test_the_list_of_commands(environment):
    done = environment("tables").run("rfp-jax", "--help")
    assert done.returncode == 0, done.stderr
    assert all(about in done.stdout for _, about in COMMANDS.values())
    assert environment("tables").run("rfp-jax", "--version").stdout == f"{rfp_jax.__version__}\n"


@pytest.mark.parametrize("command", [*COMMANDS, "--help"])
def test_a_command_names_the_extra_that_it_lacks(environment, command):
    done = environment().run("rfp-jax", command)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"error: .* needs the package '\w+', .* 'rfp-jax\[(\w+)\]'", line), line
    assert f"rfp-jax[{EXTRA.get(command, 'tables')}]" in line


CALLS = {
    "import rfp_jax.models": "models",
    "import rfp_jax.plot": "plot",
    "import rfp_jax.convert.flax": "models",
    "from rfp_jax.convert import to_flax": "models",
    "from rfp_jax.convert import from_onnx": "convert",
    "from rfp_jax.convert import read_checkpoint": "convert",
    "import rfp_jax.convert; rfp_jax.convert.from_torch('a.pt2')": "convert",
    "import rfp_jax.tables; rfp_jax.tables.open('a.zarr')": "tables",
    "import rfp_jax.tables; rfp_jax.tables.report(None, 'a.html')": "tables",
    "import rfp_jax.datasets; rfp_jax.datasets.load_digits('train')": "experiments",
    "import rfp_jax, jax; str(rfp_jax.audit(jax.numpy.tanh)(1.0))": "experiments",
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
    done = environment().run("python", "-", text=code % list(CALLS))
    lines = done.stdout.splitlines()
    for (call, extra), line in zip(CALLS.items(), lines, strict=True):
        assert line.endswith(f"pip install 'rfp-jax[{extra}]'"), (call, line)
