"""`Any` has its reason beside it: where Python has a type, that type stands there.

Trees of arrays and values that users give are named in `rfp_jax._util.trees`, with the reason.
"""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rfp_jax"


def unexplained(source: str) -> list[int]:
    """List the lines that have `Any` and neither a comment nor, below, a text that names it."""
    lines = ["", *source.splitlines(), "", ""]
    program = ast.parse(source)
    texts = {
        node.lineno: node.value.value
        for node in ast.walk(program)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    used = {node.lineno for node in ast.walk(program) if getattr(node, "id", "") == "Any"}
    return [
        line
        for line in sorted(used)
        if "  # " not in lines[line]
        and not lines[line - 1].lstrip().startswith("# ")
        and "Any:" not in texts.get(line + 1, "")
    ]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("x: Any = f()", [1]),
        ("x: Any = f()  # its own types are too narrow", []),
        ("# its own types are too narrow\nx: Any = f()", []),
        ("T = Any\n'''A tree. Any: it has no type.'''", []),
        ("def f(\n    x: int,\n    y: dict[str, Any],\n) -> Any: ...", [3, 4]),
        ("from typing import Any\n'''Any of them.'''", []),
    ],
)
def test_an_unexplained_any_is_found(source, lines):
    assert unexplained(source) == lines


def test_each_type_that_is_ignored_has_its_reason():
    bare = re.compile(r"# type: ignore(\[[^\]]*\])?+(?!  # \w)")
    assert bare.search("x = 1  # type: ignore[return-value]")
    assert not bare.search("x = 1  # type: ignore[return-value]  # NumPy does not say")
    assert not [
        f"{path.relative_to(PACKAGE)}: {found[0]}"
        for path in PACKAGE.rglob("*.py")
        for found in bare.finditer(path.read_text())
    ]


def test_each_any_has_its_reason():
    assert not [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in PACKAGE.rglob("*.py")
        for line in unexplained(path.read_text())
    ]
