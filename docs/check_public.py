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
    """All modules of the library, private ones left out."""
    found = pkgutil.walk_packages(rfp_jax.__path__, "rfp_jax.")
    return ["rfp_jax", *(m.name for m in found if not m.name.rsplit(".", 1)[-1].startswith("_"))]


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
            home = f"{thing.__module__}.{public}"
            if not inspect.getdoc(thing):
                found.append(f"{name}.{public}: no docstring")
            if not any(home == path or home.startswith(f"{path}.") for path in shown):
                found.append(f"{name}.{public}: not in the API reference (add `::: {home}`)")
    return found


if __name__ == "__main__":
    lines = problems()
    print("\n".join(lines) or "every public name is documented")
    sys.exit(bool(lines))
