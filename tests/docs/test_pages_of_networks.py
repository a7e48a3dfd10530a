"""The pages on networks of the paper, their checkpoints and their training run as they stand."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"


def run(page, folder, monkeypatch):
    """Run the blocks of a page one after the other, in a folder; returns their names."""
    monkeypatch.chdir(folder)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names


def adds_up(rel):
    total = rel.bias + sum(rel.sources)
    np.testing.assert_allclose(total, rel.output, rtol=1e-4, atol=1e-4)
    return total.shape


def test_loss(tmp_path, monkeypatch):
    names = run("loss.md", tmp_path, monkeypatch)
    assert jax.tree.map(np.shape, names["gradient"]) == jax.tree.map(np.shape, names["params"])
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(names["gradient"]))


@pytest.mark.long
def test_models(tmp_path, monkeypatch):
    names = run("models.md", tmp_path, monkeypatch)
    assert adds_up(names["rel"]) == (2, 10)
    assert names["logits"].shape == (2, 10)
    assert set(names["updates"]) == {"batch_stats"}


@pytest.mark.long
def test_convert(tmp_path, monkeypatch):
    names = run("convert.md", tmp_path, monkeypatch)
    assert adds_up(names["rel"]) == names["logits"].shape == (2, 10)
    assert names["manifest"].relative_difference <= 1e-4
    for key, array in names["state_dict"].items():
        np.testing.assert_array_equal(array, names["tensors"][key].numpy())
