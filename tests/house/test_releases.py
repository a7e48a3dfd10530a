"""Files of a release agree: versions, bounds, targets of make."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rfp_jax

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = (ROOT / "recipe" / "meta.yaml").read_text()
CONDA = {"flatbuffers": "python-flatbuffers", "matplotlib": "matplotlib-base", "torch": "pytorch"}
"""Packages that conda-forge calls otherwise."""


def bounds(lines):
    """Name to version specifiers."""
    found = map(Requirement, lines)
    return {CONDA.get(each.name, each.name): each.specifier for each in found}


def section(name):
    """The packages that the recipe lists under a key."""
    (block,) = re.findall(rf"^  {name}:.*\n((?:    - .*\n)+)", RECIPE, re.MULTILINE)
    lines = re.findall(r"- (.*)", re.sub(r"\{\{.*?\}\}", "3.11", block))
    return bounds(lines)


def test_the_version_is_one():
    (in_recipe,) = re.findall(r'set version = "(.*)"', RECIPE)
    (cited,) = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(\d.*?)\]", changes, re.MULTILINE)
    assert {in_recipe, cited, newest[1]} == {rfp_jax.__version__}


def test_what_was_renamed_has_another_name_now():
    changes = (ROOT / "CHANGELOG.md").read_text()
    rows = [line.split(" | ") for line in changes.splitlines() if re.match(r"\| [^b].* \|$", line)]
    names = [[set(re.findall(r"`(.+?)`", column)) for column in row] for row in rows]
    assert len(names) > 20
    assert not [row for row, (before, now) in zip(rows, names, strict=True) if now <= before]


def test_locked_files_are_the_constrained_versions_and_have_hashes():
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", "")
    locked = {}
    for line in text.splitlines():
        requirement, *hashes = line.split(" --hash=sha256:")
        name, version = re.match(r"([^=\[]+)\S*?==(\S+)", requirement.strip()).groups()
        assert hashes
        assert all(re.fullmatch(r"[0-9a-f]{64}", each.strip()) for each in hashes)
        locked[canonicalize_name(name)] = version
    constraints = map(Requirement, (ROOT / "constraints.txt").read_text().splitlines())
    pinned = {canonicalize_name(each.name): str(each.specifier)[2:] for each in constraints}
    both = locked.keys() & pinned.keys()
    assert {name: locked[name] for name in both} == {name: pinned[name] for name in both}
    alone = {"aeon", "bigearthnet-common"}  # installed without what they ask for, for files of data
    assert pinned.keys() - both == alone


def test_the_recipe_asks_for_what_the_project_asks_for():
    run = section("run")
    del run["python"]
    assert run == bounds(PROJECT["dependencies"])
    optional = {name: bound for name, bound in bounds(optional_packages("all")).items() if bound}
    assert section("run_constrained") == optional


def optional_packages(extra):
    """List what an extra asks for, with the extras that it is made of."""
    lines = []
    for line in PROJECT["optional-dependencies"][extra]:
        asked = Requirement(line)
        own = asked.name == PROJECT["name"]
        lines += [line] if not own else [x for e in asked.extras for x in optional_packages(e)]
    return lines


@pytest.mark.parametrize("name", ["ci", "release"])
def test_workflows_call_what_there_is(name):
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    called = [command.split()[1] for command in commands if command.startswith("make ")]
    assert called
    assert set(called) <= set(targets)
    scripts = [command for command in commands if command.startswith(".ci/")]
    assert all((ROOT / script).is_file() for script in scripts)


def test_continuous_integration_has_two_versions_of_python():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    versions = {
        step["with"]["python-version"]
        for job in jobs.values()
        for step in job["steps"]
        if "setup-python" in step.get("uses", "")
    }
    assert versions == {"3.11", "3.12"}
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: 3." in line]
    assert versions == set(named)
