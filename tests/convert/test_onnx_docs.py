"""The examples of the page on ONNX run as they stand, with a network of two sensors."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from rfp_jax.convert._onnx_operations import TABLE
from tests.convert.test_onnx_networks import fusion

PAGE = Path(__file__).parents[2] / "docs" / "onnx.md"


@pytest.fixture
def network(tmp_path, monkeypatch):
    """`network.onnx` in the working folder; the table as it was, afterwards."""
    model, names = fusion(), {"a": "optical", "b": "sar"}
    for entry in model.graph.input:
        entry.name = names[entry.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    onnx.save(model, tmp_path / "network.onnx")
    monkeypatch.chdir(tmp_path)
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


@pytest.mark.usefixtures("network")
def test_examples_run(capsys):
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, "docs/onnx.md", "exec"), namespace)
    rel, report = namespace["rel"], namespace["report"]
    np.testing.assert_allclose(rel.bias + sum(rel.sources), rel.output, atol=1e-6)
    assert report.passed
    printed = capsys.readouterr().out
    shown = re.findall(r"^print\(.*  # (.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(shown) == 4
    for line in shown:
        assert re.split(r": output|: \.\.\.", line)[0] in printed
    assert "The same: largest difference to onnxruntime" in printed
