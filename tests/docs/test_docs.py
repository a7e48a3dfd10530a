"""The examples of README and docs run as they stand, and print what stands below them."""

import contextlib
import io
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from rfp_jax._command import main

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/index.md",
    "docs/how.md",
    "docs/rules.md",
    "docs/named_rules.md",
    "docs/audit.md",
    "docs/performance.md",
    "docs/torch.md",
]
EXAMPLE = re.compile(
    r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE
)
COMMAND = re.compile(r"^\$ rfp-jax (.*)\n", re.MULTILINE)
WITH_COMMANDS = ["docs/torch.md"]
"""Pages whose commands work on what their examples write."""


@pytest.fixture
def registered_rules():
    from rfp_jax.convert._aten import TABLE as OPERATIONS
    from rfp_jax.rules._registry import REGISTERED

    before = [(table, dict(table)) for table in (OPERATIONS, REGISTERED)]
    yield
    for table, content in before:
        table.clear()
        table.update(content)


def run_commands(page, text):
    """Run the commands of the package that stand in a part of a page, if they can be."""
    for line in COMMAND.findall(text) if page in WITH_COMMANDS else ():
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(shlex.split(line)) == 0, line


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("registered_rules")
def test_examples_run_and_print_what_the_page_shows(page, tmp_path, monkeypatch):
    if page == "docs/torch.md" and not find_spec("torch"):
        pytest.skip("not installed: torch")
    monkeypatch.chdir(tmp_path)  # some of them write files
    text = (ROOT / page).read_text()
    examples = list(EXAMPLE.finditer(text))
    assert len(examples) == text.count("```python\n") > 0
    namespace, others, place = {}, [], 0
    for example in examples:
        run_commands(page, text[place : example.start()])
        place = example.end()
        code, shown = example.groups()
        line = text.count("\n", 0, example.start(1))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):  # errors name the page's line
            exec(compile("\n" * line + code, page, "exec"), namespace)
        if printed.getvalue() != (shown or ""):
            others.append((f"{page}:{line + 1}", printed.getvalue(), shown))
    run_commands(page, text[place:])
    assert others == []
    rel = namespace["rel"]
    total = rel.bias + sum(rel.sources if isinstance(rel.sources, tuple) else (rel.sources,))
    assert total.shape == rel.output.shape
    assert abs(total - rel.output).max() < 1e-5


def test_every_link_of_readme_leads_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_package_table_names_real_files():
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    for cell in table:
        first, *others = re.findall(r"`([^`]+)`", cell)
        for name in (first, *(str(Path(first).parent / other) for other in others)):
            assert (ROOT / name).exists(), name
