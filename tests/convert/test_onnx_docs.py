"""The examples of the page on ONNX run as they stand, with a network of two sensors."""

import re
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnx.parser
import pytest

from rfp_jax._command import main
from rfp_jax.convert import load
from rfp_jax.convert._onnx_operations import TABLE
from tests.convert.onnx_models import by_onnxruntime
from tests.convert.test_onnx_networks import fusion

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "onnx.md"


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
    with mock.patch.dict(TABLE):
        yield


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


def sensors():
    """Two sensors of 32 x 32 pixels and five classes, as the arrays of docs/torch.md are."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        sensors (float[n, 10, 32, 32] optical, float[n, 2, 32, 32] sar) => (float[n, 5] y) {
            a = Conv <strides = [2, 2]> (optical, wa)
            b = Conv <strides = [2, 2]> (sar, wb)
            joined = Concat <axis = 1> (a, b)
            hidden = Relu(joined)
            mean = GlobalAveragePool(hidden)
            flat = Flatten(mean)
            y = Gemm <transB = 1> (flat, w, bias)
        }""")
    rng = np.random.default_rng(0)
    shapes = {"wa": (4, 10, 3, 3), "wb": (4, 2, 3, 3), "w": (5, 8), "bias": (5,)}
    for name, shape in shapes.items():
        weights = rng.normal(size=shape).astype("float32") / 4
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    return model


@pytest.mark.slow
def test_from_a_file_and_a_folder_of_arrays_to_a_report(tmp_path, monkeypatch, capsys):
    """The section of docs/torch.md with its command for an `.onnx` file in front."""
    monkeypatch.chdir(tmp_path)
    onnx.save(sensors(), "my_model.onnx")
    title = "## From a file and a folder of arrays to a report\n"
    _, _, section = (DOCS / "torch.md").read_text().partition(title)
    section, _, _ = section.partition("\n## ")
    (convert,) = re.findall(r"`rfp-jax (convert my_model\.onnx \w+)`", section)
    assert main(convert.split()) == 0
    assert "The same: largest difference to onnxruntime" in capsys.readouterr().out

    names = dict(zip(("fun", "params"), load(convert.split()[-1]), strict=True))
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(compile(block, "docs/torch.md", "exec"), names)
    assert capsys.readouterr().out == "".join(re.findall(r"```text\n(.*?)```", section, re.DOTALL))

    files = sorted(Path("arrays").glob("*.npz"))
    stacked = {name: np.stack([np.load(file)[name] for file in files]) for name in names["images"]}
    (outputs,) = by_onnxruntime(sensors(), stacked)
    table = names["table"]
    assert (table.failure == "").all()
    np.testing.assert_allclose(table.output, outputs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table.relevance.sum("source"), outputs, rtol=1e-4, atol=1e-5)

    (report,) = re.findall(r"^\$ rfp-jax (report .*)$", section, re.MULTILINE)
    assert main(report.split()) == 0
    assert "forest" in Path(report.split()[-1]).read_text()
