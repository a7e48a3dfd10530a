"""ONNX files become folders that `load` reads: the same numbers, checked, nothing half written."""

import json

import numpy as np
import onnx
import onnx.parser
import pytest

from rfp_jax.convert import (
    DifferenceError,
    OnnxFileError,
    ProgramError,
    convert_onnx,
    from_onnx,
    load,
)

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
WEIGHTS = np.random.default_rng(1).normal(size=(4, 2)).astype("float32")


def network(path, shape="n, 4", external=False, body=None):
    """Two nodes and an initializer, whose data may lie in a file beside the model."""
    text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        fusion (float[{shape}] x) => (float[n, 2] y)
        {{ {body or "z = MatMul(x, w)  y = Relu(z)"} }}"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(WEIGHTS, "w"))
    onnx.save(
        model,
        path,
        save_as_external_data=external,
        location="weights/w.bin" if external else None,
        size_threshold=0,
    )
    return path


@pytest.mark.parametrize("external", [False, True])
def test_the_folder_computes_what_the_file_does(tmp_path, external):
    (tmp_path / "weights").mkdir()
    path = network(tmp_path / "fusion.onnx", external=external)
    manifest = convert_onnx(path, tmp_path / "out", check=True)
    path.unlink()  # the folder stands by itself
    for file in (tmp_path / "weights").iterdir():
        file.unlink()
    fun, params = load(tmp_path / "out")
    np.testing.assert_allclose(fun(params, X), np.maximum(X @ WEIGHTS, 0), rtol=1e-6)
    assert manifest["inputs"] == {"x": "x: float32 [n, 4]"}
    assert manifest["params"] == {"w": {"shape": [4, 2], "dtype": "float32"}}
    assert manifest["checked"].startswith("The same")
    assert manifest["checked"].endswith("On random numbers.")


@pytest.mark.usefixtures("x64")
def test_options_are_kept(tmp_path):
    path = network(tmp_path / "fusion.onnx")
    manifest = convert_onnx(path, tmp_path / "out", inputs=["z"], dtype="float64", check=True)
    assert manifest["checked"].startswith("no: a part of the network was taken")
    fun, params = load(tmp_path / "out")
    expected, _ = from_onnx(path, inputs=["z"], dtype="float64")
    z = np.array([[1.5, -2.0]])
    assert fun(params, z).dtype == "float64"
    np.testing.assert_array_equal(fun(params, z), expected({}, z))


def test_an_example_is_what_is_compared(tmp_path):
    path = network(tmp_path / "fusion.onnx", shape="n, m")
    manifest = convert_onnx(path, tmp_path / "a", check=True)
    assert manifest["checked"].startswith("no: give an example")
    manifest = convert_onnx(path, tmp_path / "b", check=True, example={"x": X})
    assert manifest["checked"].endswith("On the example.")
    with pytest.raises(ValueError, match=r"the example lacks \['x'\]; it has \['y'\]"):
        convert_onnx(path, tmp_path / "c", check=True, example={"y": X})
    assert not (tmp_path / "c").exists()


def test_a_difference_writes_nothing(tmp_path, monkeypatch):
    from rfp_jax.convert import _onnx_check

    path = network(tmp_path / "fusion.onnx")
    name, run = _onnx_check._runtime(None)
    off = lambda *args: [np.asarray(y) + 1 for y in run(*args)]  # noqa: E731
    monkeypatch.setattr(_onnx_check, "_runtime", lambda _: (name, off))
    with pytest.raises(DifferenceError, match=r"NOT THE SAME.*Nothing was written"):
        convert_onnx(path, tmp_path / "out", check=True)
    assert not (tmp_path / "out").exists()


def test_data_from_elsewhere_is_refused(tmp_path):
    path = network(tmp_path / "fusion.onnx")
    model = onnx.load(path)
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(OnnxFileError, match="external data is read from the model's folder only"):
        convert_onnx(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_folder_is_named(tmp_path):
    out = tmp_path / "out"
    convert_onnx(network(tmp_path / "fusion.onnx"), out)
    (out / "network.onnx").write_bytes(b"not a model")
    with pytest.raises(ProgramError, match=r"network\.onnx is not an ONNX model"):
        load(out)
    content = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**content, "format": "other"}))
    with pytest.raises(ProgramError, match="its format is 'other'"):
        load(out)


def test_a_folder_that_exists_is_kept(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError):
        convert_onnx(network(tmp_path / "fusion.onnx"), tmp_path / "out")


def command(*arguments):
    from rfp_jax.convert._command import main

    return main([str(argument) for argument in arguments])


def test_the_command_says_what_it_did(tmp_path, capsys):
    path = network(tmp_path / "fusion.onnx", shape="n, m")
    np.savez(tmp_path / "own.npz", x=X)
    assert command(path, tmp_path / "out", "--check", tmp_path / "own.npz") == 0
    said = capsys.readouterr().out
    assert "inputs              x: float32 [n, m]" in said
    assert "On the example." in said
    assert said.splitlines()[-1] == f"written             {tmp_path / 'out'}"
    fun, params = load(tmp_path / "out")
    np.testing.assert_allclose(fun(params, X), np.maximum(X @ WEIGHTS, 0), rtol=1e-6)
    assert command(path, tmp_path / "cut", "--inputs", "z") == 0
    fun, params = load(tmp_path / "cut")
    assert [entry.name for entry in fun.inputs] == ["z"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--arch", "resnet50"), "--arch is of checkpoints"),
        (("--inputs", "q"), "are not different tensors of fusion.onnx"),
        (("--dtype", "int32"), "is not a floating-point dtype"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, capsys, options, text):
    assert command(network(tmp_path / "fusion.onnx"), tmp_path / "out", *options) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert text in said
    assert not (tmp_path / "out").exists()


def test_options_of_onnx_are_of_onnx(tmp_path, capsys):
    (tmp_path / "network.pt2").write_bytes(b"")
    assert command(tmp_path / "network.pt2", tmp_path / "out", "--dtype", "float32") == 1
    assert "--dtype is of ONNX networks" in capsys.readouterr().err
