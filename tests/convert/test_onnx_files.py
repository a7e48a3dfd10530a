"""Files from anyone: damaged, hostile, unsupported. Each error names the thing and the remedy."""

import os
from unittest import mock

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from rfp_jax.convert import (
    OnnxFileError,
    OnnxNodeError,
    UnsupportedOnnxError,
    from_onnx,
    register_onnx_operation,
)
from rfp_jax.convert._onnx_operations import TABLE
from tests.convert.onnx_models import graph, one_node, save

X = np.arange(6, dtype=np.float32).reshape(2, 3)
W = np.ones((3, 2), np.float32)


def dense():
    return graph([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": X}, ["y"], {"w": W})


def refused(model_or_bytes, tmp_path, error=OnnxFileError, **options):
    path = tmp_path / "model.onnx"
    if isinstance(model_or_bytes, bytes):
        path.write_bytes(model_or_bytes)
    else:
        path.write_bytes(model_or_bytes.SerializeToString())
    with pytest.raises(error) as caught:
        from_onnx(path, **options)
    assert "model.onnx" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!doctype html><html>not found</html>",
        b"\x80\x04\x95pickle",
        TensorProto(dims=[2], data_type=1, float_data=[1, 2]).SerializeToString(),
    ],
)
def test_other_files_are_refused(content, tmp_path):
    assert "is not an ONNX model" in refused(content, tmp_path)


def test_half_a_download_is_refused(tmp_path):
    whole = dense().SerializeToString()
    for size in range(1, len(whole) - 30, 7):  # the last entries are versions
        refused(whole[:size], tmp_path, (OnnxFileError, UnsupportedOnnxError))


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")


@pytest.mark.parametrize("shape", [[10**9, 10**9], [3, 3], [-1, 2], [2**62, 4]])
@pytest.mark.parametrize("field", ["raw_data", "float_data"])
def test_declared_sizes_are_compared_with_the_data_before_anything_is_allocated(
    shape, field, tmp_path
):
    model = dense()
    tensor = model.graph.initializer[0]
    if field == "float_data":
        tensor.ClearField("raw_data")
        tensor.float_data.extend([1.0] * 6)
    tensor.dims[:] = shape
    assert "tensor 'w' declares the shape" in refused(model, tmp_path)


def test_sparse_initializers_are_refused(tmp_path):
    model = dense()
    sparse = model.graph.sparse_initializer.add(dims=[10**9, 10**9])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "s"))
    assert "'s' is stored as sparse" in refused(model, tmp_path)


def test_huge_tensors_are_not_made_when_constants_are_folded(tmp_path):
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"], name="bomb"),
        helper.make_node("Add", ["x", "huge"], ["y"]),
    ]
    model = graph(nodes, {"x": X}, ["y"], {"size": np.array([10**6, 10**6])})
    fun, params = from_onnx(save(model, tmp_path))
    with pytest.raises(OnnxNodeError, match=r"'bomb' \(ConstantOfShape\).* 10{12} elements"):
        fun(params, X)
    nodes[0] = helper.make_node("Tile", ["one", "size"], ["huge"], name="bomb")
    constants = {"size": np.array([10**6, 10**6]), "one": np.ones((1, 1), np.int64)}
    nodes[1] = helper.make_node("Gather", ["huge", "x"], ["y"])
    fun, params = from_onnx(save(graph(nodes, {"x": np.ones(2, np.int32)}, ["y"], constants)))
    with pytest.raises(OnnxNodeError, match=r"'bomb' \(Tile\).* 10{12} elements"):
        fun(params, np.ones(2, np.int32))


def test_constants_are_not_broadcast_to_huge_ones(tmp_path):
    nodes = [
        helper.make_node("Add", ["row", "column"], ["huge"], name="bomb"),
        helper.make_node("Gather", ["huge", "x"], ["y"]),
    ]
    numbers = np.ones(10**5, np.int64)
    constants = {"row": numbers[None], "column": numbers[:, None]}
    model = graph(nodes, {"x": np.ones(2, np.int32)}, ["y"], constants)
    fun, params = from_onnx(save(model, tmp_path))
    with pytest.raises(OnnxNodeError, match=r"'bomb' \(Add\).* 10{10} elements"):
        fun(params, np.ones(2, np.int32))
    nodes[0] = helper.make_node("Add", ["row", "row"], ["huge"])  # large, and no larger than it is
    model = graph(nodes, {"x": np.zeros(2, np.int32)}, ["y"], constants)
    fun, params = from_onnx(save(model, tmp_path))
    assert fun(params, np.zeros(2, np.int32)).shape == (2, 10**5)


def test_the_long_name_of_the_domain(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], domain="ai.onnx"),
        helper.make_node("Neg", ["shape"], ["minus"], domain="ai.onnx"),
        helper.make_node("Neg", ["minus"], ["again"], domain="ai.onnx"),
        helper.make_node("Reshape", ["x", "again"], ["y"], domain="ai.onnx"),
    ]
    fun, params = from_onnx(save(graph(nodes, {"x": X}, ["y"]), tmp_path))
    np.testing.assert_array_equal(fun(params, X), X)


def external(tmp_path, location, **entries):
    model = dense()
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    external_data_helper.set_external_data(tensor, location, **entries)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return model, data


def test_external_data_is_read_from_the_folder(tmp_path):
    model, data = external(tmp_path, "weights/w.bin", offset=8, length=24)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"12345678" + data)
    fun, params = from_onnx(save(model, tmp_path))
    np.testing.assert_array_equal(params["w"], W)
    np.testing.assert_array_equal(fun(params, X), X @ W)


@pytest.mark.parametrize("location", ["../secret", "a/../../secret", "/etc/hostname", ""])
def test_external_data_outside_is_refused(location, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_bytes(bytes(24))
    model, _ = external(inner, location)
    assert "from the model's folder only" in refused(model, inner)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_are_refused(what, tmp_path):
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.mkdir()
    outer.mkdir()
    (outer / "w.bin").write_bytes(bytes(24))
    if what == "file":
        (inner / "w.bin").symlink_to(outer / "w.bin")
        model, _ = external(inner, "w.bin")
    else:
        (inner / "data").symlink_to(outer)
        model, _ = external(inner, "data/w.bin")
    assert "which is a link" in refused(model, inner)


def test_external_data_that_is_no_file_or_too_short_is_refused(tmp_path):
    model, data = external(tmp_path, "w.bin")
    assert "missing" in refused(model, tmp_path)
    (tmp_path / "w.bin").write_bytes(data[:-1])
    assert "cut short" in refused(model, tmp_path)
    (tmp_path / "w.bin").unlink()
    os.mkfifo(tmp_path / "w.bin")
    assert "not a file" in refused(model, tmp_path)
    model, _ = external(tmp_path, "w.bin", length=10**15)
    (tmp_path / "w.bin").unlink()
    (tmp_path / "w.bin").write_bytes(data)
    assert "which is 24 bytes" in refused(model, tmp_path)
    model, _ = external(tmp_path, "w.bin", offset=-24)
    assert "cut short" in refused(model, tmp_path)


@pytest.mark.parametrize("opset", [9, 10])
def test_old_opsets_are_refused_with_the_way_out(opset, tmp_path):
    model = one_node("Relu", [X], opset=opset)
    message = refused(model, tmp_path, UnsupportedOnnxError)
    assert f"opset {opset}" in message
    assert "convert_version" in message
    newer = onnx.version_converter.convert_version(model, 13)
    fun, params = from_onnx(save(newer, tmp_path))
    np.testing.assert_array_equal(fun(params, X), X)


def test_opsets_of_the_future_are_refused(tmp_path):
    message = refused(one_node("Relu", [X], opset=999), tmp_path, UnsupportedOnnxError)
    assert "opset 999" in message
    assert "newer onnx" in message


def test_missing_operators_are_listed_all_at_once(tmp_path):
    body = helper.make_graph(
        [helper.make_node("Wish", ["x"], ["a"], name="deep", domain="custom")],
        "then", [], [helper.make_tensor_value_info("a", 1, None)],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["b"])],
        "else", [], [helper.make_tensor_value_info("b", 1, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Magic", ["x"], ["m"], name="first", domain="custom"),
        helper.make_node("Magic", ["m"], ["n"], name="second", domain="custom"),
        helper.make_node("RandomNormalLike", ["n"], ["r"], name="noise"),
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["condition"], to=TensorProto.BOOL),
        helper.make_node("If", ["condition"], ["z"], then_branch=body, else_branch=other),
        helper.make_node("Add", ["r", "z"], ["y"]),
    ]
    message = refused(graph(nodes, {"x": X}, ["y"]), tmp_path, UnsupportedOnnxError)
    assert "3 operators cannot be read" in message
    assert "custom::Magic (2): first, second" in message
    assert "custom::Wish (1): deep" in message
    assert "RandomNormalLike (1): noise" in message
    assert 'register_onnx_operation("RandomNormalLike"' in message


@pytest.fixture
def table():
    with mock.patch.dict(TABLE):
        yield TABLE


@pytest.mark.usefixtures("table")
def test_users_add_operators(tmp_path):
    register_onnx_operation("custom::Scale", lambda x, *, by=1.0: x * by)
    model = one_node("Scale", [X], domain="custom", by=3.0)
    fun, params = from_onnx(save(model, tmp_path))
    np.testing.assert_array_equal(fun(params, X), 3 * X)
    with pytest.raises(TypeError, match="a name and a function"):
        register_onnx_operation("custom::Scale", 3)


def test_graphs_out_of_order_are_refused(tmp_path):
    nodes = [helper.make_node("Relu", ["later"], ["y"], name="early")]
    assert "'early' (Relu) reads ['later']" in refused(graph(nodes, {"x": X}, ["y"]), tmp_path)
    nodes = [helper.make_node("Relu", ["x"], ["x"], name="again")]
    assert "'again' (Relu) makes ['x']" in refused(graph(nodes, {"x": X}, ["x"]), tmp_path)
    nodes = [helper.make_node("Relu", ["x"], ["z"])]
    assert "no node makes ['y']" in refused(graph(nodes, {"x": X}, ["y"]), tmp_path)


def function(name, nodes):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    return helper.make_function("custom", name, ["a"], ["b"], nodes, opsets)


def call(name, x="a", y="b"):
    return helper.make_node(name, [x], [y], domain="custom")


def test_functions_that_never_end_are_refused(tmp_path):
    model = graph([call("f", "x", "y")], {"x": X}, ["y"], functions=[function("f", [call("f")])])
    assert "'f' calls itself" in refused(model, tmp_path)
    doubling = [function("f0", [helper.make_node("Neg", ["a"], ["b"])])]
    doubling += [
        function(f"f{i}", [call(f"f{i - 1}", "a", "c"), call(f"f{i - 1}", "c", "b")])
        for i in range(1, 60)
    ]
    model = graph([call("f59", "x", "y")], {"x": X}, ["y"], functions=doubling)
    assert "unfold to over" in refused(model, tmp_path)


def test_a_node_that_cannot_be_computed_is_named(tmp_path):
    fun, params = from_onnx(save(one_node("Reshape", [X], [np.array([5])]), tmp_path))
    with pytest.raises(OnnxNodeError, match=r"model.onnx: node 'the_node' \(Reshape\) of float32"):
        fun(params, X)


def test_a_shape_that_depends_on_values_is_refused(tmp_path):
    shape = np.array([3, 2])
    fun, params = from_onnx(save(one_node("Reshape", [X, shape]), tmp_path))
    with pytest.raises(OnnxNodeError, match="its 'shape' depends on an input"):
        fun(params, X, shape)


def test_shapes_are_checked_against_what_the_model_declares(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["h"], name="middle"),
        helper.make_node("Neg", ["h"], ["y"]),
    ]
    model = graph(nodes, {"x": X}, ["y"])
    model.graph.value_info.append(helper.make_tensor_value_info("h", 1, [2, 4]))
    fun, params = from_onnx(save(model, tmp_path))
    with pytest.raises(OnnxNodeError, match=r"'middle' \(Relu\) made 'h' of shape \(2, 3\)"):
        fun(params, X)
