"""An environment that holds the wheel and what it asks for, and nothing else; made offline.

The packages are links to those of the environment that runs the tests. There is one environment
with the core; what an extra brings besides is a folder of links that a command is given.
"""

import subprocess
import sys
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

NAME = "rfp-jax"


class Environment:
    """A virtual environment with the wheel, what it requires, and folders with its extras."""

    def __init__(self, folder, wheel):
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        command = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install"]
        options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
        subprocess.run([*command, *options, wheel], check=True)
        (self.packages,) = folder.glob("lib/python*/site-packages")
        (metadata,) = self.packages.glob("rfp_jax-*.dist-info")
        self.distribution = PathDistribution(metadata)
        self.core = self._required(NAME, {""}, set())
        _link(self.core, self.packages)

    def extra(self, name):
        """The folder with what one extra brings besides the core."""
        folder = self.folder / "extras" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            _link(self._required(NAME, {name}, set()) - self.core, folder)
        return folder

    def _required(self, name, extras, seen):
        """Names of all distributions that one requires, with these extras of it."""
        found = self.distribution if name == NAME else distribution(name)
        names = set()
        for line in found.requires or ():
            asked = Requirement(line)
            wanted = not asked.marker or any(
                asked.marker.evaluate({"extra": extra}) for extra in extras | {""}
            )
            key = (asked.name.lower(), *sorted(asked.extras))
            if wanted and key not in seen:
                seen.add(key)
                names |= ({asked.name} - {NAME}) | self._required(asked.name, asked.extras, seen)
        return names

    def run(self, *command, extra="", text=""):
        """Run a program of this environment, in an empty folder, and return how it ended."""
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        environment = {"JAX_PLATFORMS": "cpu", "HOME": str(empty), "PATH": "", "MPLBACKEND": "agg"}
        if extra:
            environment["PYTHONPATH"] = str(self.extra(extra))
        return subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            input=text,
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


def _link(names, folder):
    """Put links to the files of distributions into a folder."""
    for found in map(distribution, names):
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            place, target = folder / top, Path(str(found.locate_file(top)))
            if target.exists() and not place.exists():
                place.symlink_to(target)
