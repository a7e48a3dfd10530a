"""Fail if a public name has no docstring or does not stand in the API reference."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import pydoc
import re
import sys
from pathlib import Path

import rfp_jax


def modules() -> list[str]:
    """All modules of the library, private ones and what they hold left out."""
    found = pkgutil.walk_packages(rfp_jax.__path__, "rfp_jax.")
    return ["rfp_jax", *(m.name for m in found if "._" not in m.name)]


def problems() -> list[str]:
    """One line for each public name that is not documented, and for each private path shown."""
    pages = "\n".join(page.read_text() for page in Path(__file__).parent.glob("*.md"))
    paths = re.findall(r"^::: (rfp_jax[\w.]*)", pages, re.MULTILINE)
    shown = {id(pydoc.locate(path)) for path in paths}
    found = [f"{path}: a private path in the API reference" for path in paths if "._" in path]
    for name in modules():
        module = importlib.import_module(name)
        if not module.__doc__:
            found.append(f"{name}: the module has no docstring")
        for public in getattr(module, "__all__", ()):
            thing = getattr(module, public)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            if not inspect.getdoc(thing):
                found.append(f"{name}.{public}: no docstring")
            home = thing.__module__
            if id(thing) not in shown and not {home, f"{home}.{public}"} & set(paths):
                found.append(
                    f"{name}.{public}: not in the API reference (add `::: {name}.{public}`)"
                )
    return found


if __name__ == "__main__":
    lines = problems()
    print("\n".join(lines) or "every public name is documented")
    sys.exit(bool(lines))
