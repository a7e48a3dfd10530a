"""Operations against onnxruntime, on random shapes and attributes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from onnx import TensorProto, defs, helper

from rfp_jax.convert import from_onnx
from rfp_jax.convert._onnx_operations import TABLE
from tests.convert.onnx_draws import few, normal, windows
from tests.convert.onnx_models import (
    assert_agree,
    assert_node_agrees,
    by_onnxruntime,
    graph,
    here,
    one_node,
    save,
)

SCHEMAS = defs.get_all_schemas_with_history()


@few
@given(windows(), st.integers(1, 2), st.integers(1, 3), st.booleans())
def test_convolution(window, groups, channels, has_bias):
    attributes, spatial = window
    kernel = attributes["kernel_shape"]
    x = normal(2, groups * channels, *spatial)
    w = normal(groups * 2, channels, *kernel, seed=1)
    more = [normal(groups * 2, seed=2)] if has_bias else []
    assert_node_agrees("Conv", [x, w, *more], group=groups, **attributes)


@few
@given(windows(), st.integers(1, 2), st.data())
def test_transposed_convolution(window, groups, data):
    attributes, spatial = window
    kernel, strides = attributes["kernel_shape"], attributes["strides"]
    assume(attributes.get("auto_pad") != "VALID")
    extra = [data.draw(st.integers(0, stride - 1), label="output padding") for stride in strides]
    if "auto_pad" not in attributes:
        attributes["output_padding"] = extra
    else:  # where kernels are smaller than strides, programs do not agree on the padding
        assume(all(k >= s for k, s in zip(kernel, strides, strict=True)))
    x, w = normal(2, 2 * groups, *spatial), normal(2 * groups, 3, *kernel, seed=1)
    assert_node_agrees("ConvTranspose", [x, w, normal(3 * groups)], group=groups, **attributes)


def test_transposed_convolution_to_a_shape():
    x, w = normal(1, 2, 5, 4), normal(2, 3, 3, 3, seed=1)
    more = {"output_shape": [10, 8], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
    assert_node_agrees("ConvTranspose", [x, w], **more)


@few
@given(windows(), st.booleans())
def test_max_pool(window, ceil_mode):
    attributes, spatial = window
    assume("auto_pad" not in attributes or not ceil_mode)
    x = normal(2, 3, *spatial)
    assert_node_agrees("MaxPool", [x], outputs=2, ceil_mode=int(ceil_mode), **attributes)


@few
@given(windows(), st.booleans(), st.booleans())
def test_average_pool(window, ceil_mode, count_include_pad):
    attributes, spatial = window
    assume("auto_pad" not in attributes or not ceil_mode)
    more = {"ceil_mode": int(ceil_mode), "count_include_pad": int(count_include_pad)}
    assert_node_agrees("AveragePool", [normal(2, 3, *spatial)], opset=19, **more, **attributes)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_global_norm_pool(p):
    assert_node_agrees("GlobalLpPool", [normal(2, 3, 4, 5)], p=p)


@settings(max_examples=30)
@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(
        ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"]
    ),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    st.sampled_from([2.0, 0.5, 1.7, 0.6, 3.0]),
    st.sampled_from([2.0, 0.5, 1.3]),
)
@example("nearest", "asymmetric", "floor", 2.0, 3.0)  # repetition
def test_resize(mode, transformation, nearest_mode, high, wide):
    x = normal(1, 2, 10, 10)  # whole sizes: for others onnxruntime leaves the format's definition
    roi = np.array([0, 0, 0.1, 0.2, 1, 1, 0.9, 1.2], np.float32)
    scales = np.array([1, 1, high, wide], np.float32)
    more = {"coordinate_transformation_mode": transformation, "nearest_mode": nearest_mode}
    if transformation == "tf_crop_and_resize":
        more["extrapolation_value"] = 7.0
    assert_node_agrees("Resize", [x], [roi, scales], mode=mode, tolerance=1e-4, **more)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_to_sizes_computed_from_shapes(mode):
    x = normal(2, 3, 4, 5)
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Mul", ["shape", "twice"], ["sizes"]),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode=mode),
    ]
    model = graph(nodes, {"x": x}, ["y"], {"twice": np.array([1, 1, 2, 3])})
    assert_agree(model, {"x": x})


@few
@given(
    st.sampled_from(["bilinear", "nearest", "bicubic"]),
    st.sampled_from(["zeros", "border", "reflection"]),
    st.integers(0, 1),
)
def test_grid_sample(mode, padding_mode, align_corners):
    x, grid = normal(2, 3, 5, 4), normal(2, 3, 6, 2, seed=1) * 0.8
    more = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    assert_node_agrees("GridSample", [x, grid], tolerance=1e-4, **more)


CELLS = {"RNN": 1, "GRU": 3, "LSTM": 4}


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(CELLS)),
    st.sampled_from(["forward", "reverse", "bidirectional"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 0.5]),
)
def test_recurrent_layers(cell, direction, has_lengths, has_state, option, clip):
    gates, hidden, directions = CELLS[cell], 4, 1 + (direction == "bidirectional")
    x = normal(5, 3, 2)
    weights = [
        normal(directions, gates * hidden, 2, seed=1),
        normal(directions, gates * hidden, hidden, seed=2),
        normal(directions, 2 * gates * hidden, seed=3),
    ]
    lengths = np.array([5, 2, 4], np.int32) if has_lengths else None
    state = normal(directions, 3, hidden, seed=4) if has_state else None
    more = [lengths, state]
    if cell == "LSTM":
        more += [state, normal(directions, 3 * hidden, seed=5) if option else None]
    attributes = {} if clip is None else {"clip": clip}
    if cell == "GRU":
        attributes["linear_before_reset"] = int(option)
    if cell == "RNN" and option:
        attributes |= {"activations": ["LeakyRelu"] * directions,
                       "activation_alpha": [0.1] * directions}  # fmt: skip
    assert_node_agrees(
        cell, [x, *weights, *more], outputs=3 if cell == "LSTM" else 2,
        direction=direction, hidden_size=hidden, **attributes,
    )  # fmt: skip


def test_recurrent_layers_are_scans():
    x, w, r = normal(5, 3, 2), normal(1, 16, 2, seed=1), normal(1, 16, 4, seed=2)
    fun, params = from_onnx(save(one_node("LSTM", [x], [w, r], hidden_size=4)))
    assert "scan" in {eqn.primitive.name for eqn in jax.make_jaxpr(fun)(params, x).eqns}


@few
@given(st.data())
def test_slices(data):
    x = normal(6, 5)

    def end(step):
        return st.integers(-8, 8) | st.just(2**63 - 1 if step > 0 else -(2**63))

    starts = [data.draw(st.integers(-8, 8)) for _ in range(2)]
    steps = [data.draw(st.sampled_from([1, 2, -1, -2])) for _ in range(2)]
    ends = [data.draw(end(step)) for step in steps]
    numbers = [np.array(v, np.int64) for v in (starts, ends, [0, -1], steps)]
    assert_node_agrees("Slice", [x], numbers)


@few
@given(st.sampled_from(["constant", "reflect", "edge"]), st.integers(0, 2), st.integers(-1, 2))
def test_padding(mode, low, high):
    pads = np.array([0, low, 0, high])
    assert_node_agrees("Pad", [normal(3, 5)], [pads], mode=mode)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
def test_softmax_of_opset_11_takes_all_later_axes_together(op, axis):
    assert_node_agrees(op, [normal(2, 3, 4)], opset=11, axis=axis)


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"])
def test_axes_are_an_attribute_or_an_input(op, opset):
    x, axes = normal(2, 3, 4), [0, -1]
    since = 13 if op == "ReduceSum" else 18
    if opset >= since:
        assert_node_agrees(op, [x], [np.array(axes)], opset=opset, keepdims=0)
    else:
        assert_node_agrees(op, [x], opset=opset, axes=axes, keepdims=0)


@few
@given(st.sampled_from([(2, 3, 4), (5, 4)]), st.integers(0, 1), st.lists(st.integers(-3, 2)))
def test_gather_counts_from_both_ends(shape, axis, places):
    assume(places)
    x = normal(*shape)
    index = np.array([p % x.shape[axis] for p in places]) - x.shape[axis] * (len(places) % 2)
    assert_node_agrees("Gather", [x, index], axis=axis)
    assert_node_agrees("Gather", [x], [index], axis=axis)


def test_gathers_and_scatters_by_constant_places_are_those_by_computed_ones():
    x, index = normal(4, 5), np.array([[0, -1, 2], [1, 0, 2]])
    updates = normal(2, 3, seed=1)
    for op, more in (("GatherElements", []), ("ScatterElements", [updates])):
        model = one_node(op, [x, index, *more])
        a = here(model, {f"x{i}": v for i, v in enumerate([x, index, *more])})
        fixed = one_node(op, [x], [index, *more])
        (b,) = here(fixed, {"x0": x})
        np.testing.assert_array_equal(a[0], b)
        np.testing.assert_array_equal(b, by_onnxruntime(fixed, {"x0": x})[0])


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0, 2.5])
def test_known_exponents_stay_numbers(exponent):
    x = np.abs(normal(3, 4)) + 0.5
    model = one_node("Pow", [x], [np.array([exponent], np.float32)])
    fun, params = from_onnx(save(model))
    assert params == {}
    names = {eqn.primitive.name for eqn in jax.make_jaxpr(fun)(params, x).eqns}
    assert (names <= {"integer_pow", "square", "div"}) == float(exponent).is_integer()
    assert_agree(model, {"x0": x})


def subgraph(nodes, inputs, outputs, name="body"):
    entries = [helper.make_tensor_value_info(n, t, None) for n, t in inputs]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
    return helper.make_graph(nodes, name, entries, ends)


def branches():
    return {
        "then_branch": subgraph([helper.make_node("Exp", ["x"], ["a"])], [], ["a"], "then"),
        "else_branch": subgraph([helper.make_node("Neg", ["x"], ["b"])], [], ["b"], "else"),
    }


@pytest.mark.parametrize("sign", [1, -1])
def test_branch_on_an_input(sign):
    x = np.abs(normal(3)) * sign
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], **branches()),
    ]
    model = graph(nodes, {"x": x}, ["y"], {"zero": np.float32(0)})
    assert_agree(model, {"x": x})
    fun, params = from_onnx(save(model))
    assert "cond" in {eqn.primitive.name for eqn in jax.make_jaxpr(fun)(params, x).eqns}


def test_branch_on_a_shape_is_taken_when_traced():
    x = normal(3)
    nodes = [
        helper.make_node("Size", ["x"], ["size"]),
        helper.make_node("Greater", ["size", "two"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], **branches()),
    ]
    fun, params = from_onnx(save(graph(nodes, {"x": x}, ["y"], {"two": np.int64(2)})))
    assert [eqn.primitive.name for eqn in jax.make_jaxpr(fun)(params, x).eqns] == ["exp"]


@pytest.mark.parametrize("trips", [0, 3, 100])
def test_loop_of_a_known_length(trips):
    """Few iterations are unrolled, many are a scan."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still"]),
            helper.make_node("Mul", ["state", "factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "x"], ["next"]),
            helper.make_node("Neg", ["next"], ["row"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [3]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [3]),
            helper.make_tensor_value_info("row", TensorProto.FLOAT, [3]),
        ],
    )
    x = normal(3)
    nodes = [helper.make_node("Loop", ["trips", "", "x"], ["last", "rows"], body=body)]
    constants = {"trips": np.int64(trips), "factor": np.float32(0.5)}
    model = graph(nodes, {"x": x}, ["last", "rows"], constants)
    assert_agree(model, {"x": x})


@pytest.mark.parametrize("direction", [0, 1])
def test_scan(direction):
    body = subgraph(
        [
            helper.make_node("Add", ["state", "row"], ["next"]),
            helper.make_node("Tanh", ["next"], ["out"]),
        ],
        [("state", TensorProto.FLOAT), ("row", TensorProto.FLOAT)],
        ["next", "out"],
    )
    start, rows = normal(2), normal(2, 5)
    assert_node_agrees(
        "Scan", [start, rows], outputs=2, body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[direction], scan_output_directions=[1 - direction],
        scan_output_axes=[1],
    )  # fmt: skip


def test_sequences():
    x, y = normal(2, 3), normal(2, 3, seed=1)
    one = np.array(1)
    nodes = [
        helper.make_node("SequenceEmpty", [], ["empty"]),
        helper.make_node("SequenceConstruct", ["x", "y", "x"], ["three"]),
        helper.make_node("SequenceErase", ["three", "one"], ["two"]),
        helper.make_node("SequenceInsert", ["two", "y"], ["more"]),
        helper.make_node("SequenceAt", ["more", "one"], ["second"]),
        helper.make_node("SequenceLength", ["more"], ["length"]),
        helper.make_node("ConcatFromSequence", ["more"], ["joined"], axis=1),
        helper.make_node("ConcatFromSequence", ["more"], ["stacked"], axis=0, new_axis=1),
    ]
    outputs = ["second", "length", "joined", "stacked"]
    model = graph(nodes, {"x": x, "y": y}, outputs, {"one": one})
    assert_agree(model, {"x": x, "y": y})


SMOOTH = {
    "Conv": ([normal(1, 2, 5, 5), normal(3, 2, 3, 3)], {"pads": [1, 1, 1, 1]}),
    "ConvTranspose": ([normal(1, 2, 4, 4), normal(2, 3, 3, 3)], {"strides": [2, 2]}),
    "AveragePool": ([normal(1, 2, 6, 6)], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "Gelu": ([normal(3, 4)], {}),
    "LayerNormalization": ([normal(3, 4), normal(4)], {}),
    "Softmax": ([normal(3, 4)], {}),
    "LSTM": ([normal(3, 2, 2), normal(1, 12, 2), normal(1, 12, 3)], {"hidden_size": 3}),
    "GRU": ([normal(3, 2, 2), normal(1, 9, 2), normal(1, 9, 3)], {"hidden_size": 3}),
    "InstanceNormalization": ([normal(2, 3, 4), normal(3), normal(3)], {}),
    "Gemm": ([normal(3, 4), normal(5, 4)], {"transB": 1, "alpha": 0.5}),
}


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("largest", [0, 1])
def test_the_greatest_and_the_least_of_any_numbers(dtype, largest):
    ends = (-np.inf, np.inf) if dtype == "float32" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    x, k = np.array([[3, ends[0], ends[1], 7, 3]], dtype), np.array([4])
    model = one_node("TopK", [x], [k], outputs=2, largest=largest)
    assert_agree(model, {"x0": x}, 0)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("op", SMOOTH)
def test_gradients_are_those_of_finite_differences(op):
    arrays, attributes = SMOOTH[op]
    arrays = [array.astype(np.float64) for array in arrays]
    opset = 20 if op == "Gelu" else 17
    fun, params = from_onnx(save(one_node(op, arrays, opset=opset, **attributes)))
    check_grads(lambda *xs: fun(params, *xs), tuple(map(jnp.asarray, arrays)), 1, rtol=1e-6)


def test_every_line_of_the_table_takes_what_the_format_defines():
    """All attributes of all versions from opset 11 on, and as many inputs."""
    for schema in SCHEMAS:
        name, version = schema.name, schema.since_version
        line = TABLE.get(f"{name}-{version}") or TABLE.get(name)
        newer = [s.since_version for s in SCHEMAS if s.name == name and not s.domain]
        if schema.domain or line is None or any(version < v <= 11 for v in newer):
            continue
        parameters = line.parameters
        missing = set(schema.attributes) - set(parameters)
        assert not missing, (name, version, missing)
        if len(schema.inputs) > len([p for p in parameters.values() if p.kind != p.KEYWORD_ONLY]):
            assert any(p.kind == p.VAR_POSITIONAL for p in parameters.values()), (name, version)
