"""Run the text form of a tutorial as a notebook."""

from importlib.util import find_spec
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
NEEDS = {
    "cloud_bands": ("ukis_csmask", "spyndex"),
    "cluster": ("dask",),
    "files": ("magika",),
    "geotiffs": ("rasterio", "spyndex"),
    "lrp": ("captum", "torch"),
    "motion": ("aeon",),
    "pytorch": ("torch",),
}
"""Packages beyond those of the extra `experiments`."""


def pictures(notebook):
    """Encoded PNG pictures among the outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    found = [output.get("data", {}).get("image/png") for output in outputs]
    return [picture for picture in found if picture]


def run(name, folder):
    """Run a tutorial in a folder; it ends without an error and shows its picture."""
    missing = [package for package in NEEDS.get(name, ()) if not find_spec(package)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (extra tutorials, `make notebooks`)")
    notebook = jupytext.read(FOLDER / f"{name}.py")
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources=resources).execute()
    assert len(pictures(notebook)) == 1
