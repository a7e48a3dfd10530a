"""Environments that hold the wheel and what it asks for, and nothing else; made without a network.

The packages are links to those of the environment that runs the tests.
"""

import subprocess
import sys
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

NAME = "rfp-jax"


class Environment:
    """A virtual environment with the wheel, one extra of it, and what these require."""

    def __init__(self, folder, wheel, extra=""):
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        command = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install"]
        options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
        subprocess.run([*command, *options, wheel], check=True)
        (self.packages,) = folder.glob("lib/python*/site-packages")
        (metadata,) = self.packages.glob("rfp_jax-*.dist-info")
        self.distribution = PathDistribution(metadata)
        for name in self._required(NAME, {extra}, set()):
            self._link(distribution(name))

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

    def _link(self, found):
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            place, target = self.packages / top, Path(str(found.locate_file(top)))
            if target.exists() and not place.exists():
                place.symlink_to(target)

    def run(self, *command, text=""):
        """Run a program of this environment, in an empty folder, and return how it ended."""
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        return subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            input=text,
            cwd=empty,
            env={"JAX_PLATFORMS": "cpu", "HOME": str(empty), "PATH": "", "MPLBACKEND": "agg"},
            capture_output=True,
            text=True,
            check=False,
        )
