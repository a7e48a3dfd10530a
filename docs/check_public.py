"""Fail if a public name has no docstring or does not stand in the API reference."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import rfp_jax


def modules() -> list[str]:
    """All modules of the library, private ones and what they hold left out."""
    found = pkgutil.walk_packages(rfp_jax.__path__, "rfp_jax.")
    return ["rfp_jax", *(m.name for m in found if "._" not in m.name)]


def problems() -> list[str]:
    """One line for each public name that is not documented."""
    pages = "\n".join(page.read_text() for page in Path(__file__).parent.glob("*.md"))
    shown = re.findall(r"^::: ([\w.]+)", pages, re.MULTILINE)
    found = []
    for name in modules():
        module = importlib.import_module(name)
        if not module.__doc__:
            found.append(f"{name}: the module has no docstring")
        for public in getattr(module, "__all__", ()):
            thing = getattr(module, public)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            paths = [f"{name}.{public}", f"{thing.__module__}.{public}"]
            if not inspect.getdoc(thing):
                found.append(f"{name}.{public}: no docstring")
            if not any(_is_shown(path, shown) for path in paths):
                found.append(f"{name}.{public}: not in the API reference (add `::: {paths[0]}`)")
    private = [path for path in shown if "._" in path]
    return found + [f"{path}: a private path in the API reference" for path in private]


def _is_shown(path: str, shown: list[str]) -> bool:
    """Return whether a page shows this name, or the module that defines it."""
    return any(path == place or path.startswith(f"{place}.") for place in shown)


if __name__ == "__main__":
    lines = problems()
    print("\n".join(lines) or "every public name is documented")
    sys.exit(bool(lines))
