"""The notebooks run from the top, hold their figures, and say the same as their text forms."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "experiments"
QUICK = {"mnist": "epochs = 1", "regression": "steps = 20"}
FIGURES = {"mnist": 4, "regression": 2}


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def pictures(notebook):
    """Encoded PNG pictures among the outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    found = [output.get("data", {}).get("image/png") for output in outputs]
    return [picture for picture in found if picture]


def cells(notebook):
    """Return what a text form keeps of every cell."""
    return [(cell.cell_type, cell.source, cell.metadata.get("tags")) for cell in notebook.cells]


@pytest.mark.parametrize("name", QUICK)
def test_notebook_is_in_step_with_its_text_form(name):
    text = jupytext.read(FOLDER / "notebooks" / f"{name}.py")
    assert cells(read(name)) == cells(text), "run `make notebooks`"


@pytest.mark.parametrize("name", QUICK)
def test_notebook_has_short_cells_and_its_figures(name):
    notebook = read(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert max(len(cell.source.splitlines()) for cell in code) <= 12
    assert [cell.execution_count for cell in code] == list(range(1, 1 + len(code)))
    assert len(pictures(notebook)) == FIGURES[name]
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 500_000


@pytest.mark.long
@pytest.mark.parametrize("name", QUICK)
def test_notebook_runs(name, tmp_path):
    notebook = jupytext.read(FOLDER / "notebooks" / f"{name}.py")
    (parameters,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    parameters.source = QUICK[name]
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert len(pictures(notebook)) == FIGURES[name]
