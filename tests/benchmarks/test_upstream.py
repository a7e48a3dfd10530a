"""The program for the maintainers of XLA needs JAX alone, and runs."""

import ast
from pathlib import Path

import pytest

import rfp_jax
from benchmarks import upstream
from rfp_jax._util import compiler


def test_it_imports_jax_alone():
    program = ast.parse(Path(upstream.__file__).read_text())
    names = [n for n in ast.walk(program) if isinstance(n, ast.Import | ast.ImportFrom)]
    found = {getattr(node, "module", None) or node.names[0].name for node in names}
    assert found == {"time", "jax"}


@pytest.mark.skipif(not rfp_jax.compiler_options("cpu"), reason="XLA does not know the option")
def test_it_prints_four_times(capsys):
    upstream.main(batch=1, rounds=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "default, written",
        "default, pooled",
        "without YNNPACK, written",
        "without YNNPACK, pooled",
    ]


def test_the_option_is_that_of_the_library():
    assert upstream.OPTIONS["without YNNPACK"] == compiler._PLAIN_CONVOLUTIONS


def test_the_page_shows_the_program():
    page = Path(__file__).parents[2] / "docs" / "upstream.md"
    assert f"```python\n{Path(upstream.__file__).read_text()}```" in page.read_text()
