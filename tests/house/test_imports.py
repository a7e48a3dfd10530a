"""The drawing of the imports: no circle, one direction, no module named like a public function.

It is drawn from the sources, so imports inside functions and for type checkers count.
"""

import ast
import importlib
import inspect
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rfp_jax

ROOT = Path(rfp_jax.__file__).parent


def _name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def _targets(node):
    """The modules of this package that a node of the syntax tree imports."""
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "imports name their module in full"
        inside = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in FILES else node.module for name in inside]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Constant) and node.value in FILES and "." in str(node.value):
        return [node.value]  # for importlib
    return []


def imports(path):
    """The modules of this package that a file imports, anywhere in it."""
    found = {name for node in ast.walk(ast.parse(path.read_text())) for name in _targets(node)}
    return found & FILES.keys()


ARROWS = {name: imports(path) - {name} for name, path in FILES.items()}


def room(module):
    """The room of a module: the first part of its name after the package's."""
    return ".".join(module.split(".")[:2])


def _ordered(arrows):
    try:
        return list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(reversed(error.args[1]))}")


def test_no_circle_of_modules():
    assert set(_ordered(ARROWS)) == FILES.keys()


def test_no_circle_of_rooms():
    rooms = {}
    for module, targets in ARROWS.items():
        rooms.setdefault(room(module), set()).update(map(room, targets))
    _ordered({one: others - {one} for one, others in rooms.items()})


def table_of_rooms():
    """List the rooms of README's table, from the top down."""
    text = (ROOT.parent / "README.md").read_text().split("## The rooms of the package")[1]
    cells = [line.split("|")[1] for line in text.split("\n## ")[0].splitlines() if line[:1] == "|"]
    cells = [cell for cell in cells if "`rfp_jax/" in cell]
    names = [name for cell in cells for name in re.findall(r"`(?:rfp_jax/)?(.*?)`", cell)]
    rooms = [re.sub(r"/?(__init__)?(\.py)?$", "", name) for name in names]
    return [f"rfp_jax.{room}".rstrip(".") for room in rooms]


def test_every_room_is_in_the_table():
    assert sorted(table_of_rooms()) == sorted(set(map(room, FILES)))


def test_imports_go_down_the_table():
    place = {one: number for number, one in enumerate(table_of_rooms())}
    up = [
        f"{module} imports {target}"
        for module, targets in ARROWS.items()
        for target in targets
        if place[room(target)] < place[room(module)]
    ]
    assert not up


LOWER = ("_transforms", "attribution", "convert", "datasets", "export", "maps", "models", "plot")
FORBIDDEN = {
    "rfp_jax._core": ("rules", "tables", "losses", *LOWER),
    "rfp_jax.errors": ("_core", "rules", "tables", *LOWER),
    "rfp_jax.models": ("_core", "_transforms", "rules", "tables", "datasets", "plot"),
    "rfp_jax.datasets": ("_core", "_transforms", "rules", "tables", "models", "plot"),
    "rfp_jax.plot": ("_core", "_transforms", "rules", "tables", "models", "datasets"),
    "rfp_jax._util": ("_core", "rules", "tables", *LOWER),
}


@pytest.mark.parametrize("one", FORBIDDEN)
def test_arrows_go_one_way(one):
    never = {f"rfp_jax.{name}" for name in FORBIDDEN[one]}
    found = [
        f"{module} imports {target}"
        for module, targets in ARROWS.items()
        if room(module) == one
        for target in targets
        if room(target) in never
    ]
    assert not found


def _is_public(module):
    return not any(part.startswith("_") for part in module.split("."))


PUBLIC = [module for module in FILES if _is_public(module)]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_namespace_says_what_is_public(module):
    namespace = importlib.import_module(module)
    assert namespace.__all__ == sorted(set(namespace.__all__), key=namespace.__all__.index)
    assert all(hasattr(namespace, name) for name in namespace.__all__)


@pytest.mark.parametrize("module", [name for name in FILES if "__main__" not in name])
def test_no_module_hides_behind_a_function(module):
    """`import a.b as m` and `from a import b` give the module, whatever `a` exports."""
    parent, _, name = module.rpartition(".")
    loaded = importlib.import_module(module)
    assert not parent or getattr(importlib.import_module(parent), name) is loaded


def test_no_name_of_a_public_class_stands_for_something_else():
    """A class is called by its name alone in errors, in documentation, and behind an import."""
    named = {}
    for module in PUBLIC:
        namespace = importlib.import_module(module)
        for name in namespace.__all__:
            named.setdefault(name, []).append(getattr(namespace, name))
    assert not {
        name
        for name, objects in named.items()
        if any(map(inspect.isclass, objects)) and any(one is not objects[0] for one in objects)
    }


FAMILIES = ("rfp_jax.convert._aten.", "rfp_jax.convert._onnx_operations.")
"""Operations by their families, whose names PyTorch and ONNX gave to one of them, too."""


def _functions(path):
    """The functions of a file that are not its own alone."""
    found = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in found if not node.name.startswith("_")}


def test_no_module_is_named_like_a_function_that_is_public_or_in_it():
    """Else `from a import b` and `from a.b import b` are two things that read as one."""
    public = {
        name
        for module in PUBLIC
        for name in importlib.import_module(module).__all__
        if callable(getattr(importlib.import_module(module), name))
    }
    found = {
        module
        for module, path in FILES.items()
        if module.rpartition(".")[2] in public | _functions(path)
    }
    assert not {module for module in found if not module.startswith(FAMILIES)}
    assert found  # the families have some


def test_annotations_of_shapes_are_strings():
    """Else a function that is defined inside another one asks for jaxtyping when it is called."""
    future = "from __future__ import annotations"
    texts = {name: path.read_text() for name, path in FILES.items()}
    shaped = {name: text for name, text in texts.items() if "import shapes" in text}
    assert len(shaped) > 10
    assert not [name for name, text in shaped.items() if future not in text]
