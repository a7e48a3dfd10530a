"""The tutorials are short, and in step with their notebooks; that they run: `make stress`."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml

from tests.docs.notebooks import pictures

DOCS = Path(__file__).parents[2] / "docs"
NAMES = sorted(path.stem for path in DOCS.glob("tutorials/*.py"))


def read(name):
    return nbformat.read(DOCS / "tutorials" / f"{name}.ipynb", as_version=4)


def text_form(name):
    return jupytext.read(DOCS / "tutorials" / f"{name}.py")


def cells(notebook):
    """The kind and the source of every cell: all that a text form keeps."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_in_step_with_its_text_form_and_was_run(name):
    notebook = read(name)
    assert cells(notebook) == cells(text_form(name)), "run `make notebooks`"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, 1 + len(code)))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "error" not in kinds
    assert not [o.text for c in code for o in c.outputs if o.get("name") == "stderr"]


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_has_sixty_lines_of_code_at_most_and_one_picture(name):
    """A line counts if it is neither a comment nor a magic command."""
    code = [cell.source for cell in text_form(name).cells if cell.cell_type == "code"]
    lines = [line for cell in code for line in cell.splitlines() if re.match(r"\s*[^\s#%]", line)]
    assert len(lines) <= 60
    assert len(pictures(read(name))) == 1
    assert (DOCS / "tutorials" / f"{name}.ipynb").stat().st_size < 1_000_000
    assert (DOCS / "images" / "tutorials" / f"{name}.webp").stat().st_size < 100_000


@pytest.mark.parametrize("name", NAMES)
def test_links_of_a_tutorial_lead_to_pages(name):
    """A notebook is not Markdown to mkdocs: its links are those of the site."""
    text = "\n".join(cell.source for cell in text_form(name).cells if cell.cell_type == "markdown")
    for link in re.findall(r"\]\(([^)#]*)", text):
        page = re.fullmatch(r"\.\./\.\./([\w/]+)/", link)
        assert page, f"{link}: write ../../PAGE/"
        assert any((DOCS / f"{page[1]}{suffix}").is_file() for suffix in (".md", ".ipynb")), link


def test_gallery_and_navigation_name_every_tutorial():
    gallery = (DOCS / "gallery.md").read_text()
    nav = (DOCS.parent / "mkdocs.yml").read_text().partition("\nnav:")[2]
    for page in (gallery, str(yaml.safe_load(nav))):
        assert sorted(set(re.findall(r"tutorials/(\w+)\.ipynb", page))) == NAMES
    assert sorted(re.findall(r"images/tutorials/(\w+)\.webp", gallery)) == NAMES
