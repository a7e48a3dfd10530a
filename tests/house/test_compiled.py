"""Relevance is compiled by `rfp_jax.jit` wherever we show it: readers copy what stands there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CALL = re.compile(r"(?<!\w)jax\.jit\((?:\w+\.)?(?:relevance|heatmap)\(")
TEXTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PROGRAMS = [
    path
    for folder in ("rfp_jax", "experiments", "docs/tutorials")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def plainly_compiled(source):
    """Names of functions that compute relevance and are compiled by `jax.jit` itself."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator) == "jax.jit" for decorator in node.decorator_list)
        and any(
            isinstance(call, ast.Call)
            and ast.unparse(call.func).split(".")[-1] in ("relevance", "heatmap")
            for call in ast.walk(node)
        )
    ]


def test_relevance_is_compiled_by_rfp_jax_jit():
    texts = {path: path.read_text() for path in (*TEXTS, *PROGRAMS)}
    called = [path for path, text in texts.items() if CALL.search(text)]
    decorated = [path for path in PROGRAMS if plainly_compiled(texts[path])]
    assert not called + decorated


def test_a_plain_jit_is_found():
    decorated = "@jax.jit\ndef explain(x):\n    return rfp_jax.relevance(fun)(x)\n"
    assert plainly_compiled(decorated) == ["explain"]
    assert not plainly_compiled(decorated.replace("jax.jit", "rfp_jax.jit", 1))
    assert CALL.search("rel = jax.jit(rfp.relevance(fun))(x)")
    assert not CALL.search("rel = rfp_jax.jit(rfp_jax.relevance(fun))(x)")
