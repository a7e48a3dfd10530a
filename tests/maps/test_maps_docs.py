"""The page of scenes runs as it stands, and prints what stands below its examples."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "maps.md"
EXAMPLE = re.compile(
    r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE
)


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    examples = list(EXAMPLE.finditer(text))
    assert len(examples) == text.count("```python\n") > 5
    namespace = {}
    for example in examples:
        code, shown = example.groups()
        line = text.count("\n", 0, example.start(1))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + code, str(PAGE), "exec"), namespace)
        assert printed.getvalue() == (shown or ""), f"maps.md:{line + 1}"
