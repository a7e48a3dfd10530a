"""The examples of README and docs run as they stand."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "docs/index.md", "docs/rules.md", "docs/performance.md", "docs/torch.md"]


@pytest.fixture
def registered_rules():
    from rfp_jax.convert.aten import TABLE as OPERATIONS
    from rfp_jax.rules.lrp0 import TABLE as RULES

    before = [(table, dict(table)) for table in (OPERATIONS, RULES)]
    yield
    for table, content in before:
        table.clear()
        table.update(content)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("registered_rules")
def test_examples_run(page):
    if page == "docs/torch.md" and not find_spec("torch"):
        pytest.skip("not installed: torch")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
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
