"""Whole networks: their outputs, their parameters, where they are cut, and their relevance."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import rfp_jax
from rfp_jax.convert import check_onnx, from_onnx
from tests.convert.onnx_models import assert_agree, by_onnxruntime, graph, save

RNG = np.random.default_rng(0)


def weights(*shape):
    return (RNG.normal(size=shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype(np.float32)


def value(name, *shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, constants, opset=17):
    tensors = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    body = helper.make_graph(nodes, "network", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8)


def node(op, inputs, outputs, **attributes):
    outputs = outputs.split()
    return helper.make_node(op, inputs.split(), outputs, name=f"/net/{outputs[0]}", **attributes)


def fusion(size="n"):
    """Two sensors, each with a convolution; joined, normalized, halved, enlarged, classified."""
    constants = {
        "wa": weights(4, 3, 3, 3), "wb": weights(4, 2, 3, 3), "ba": weights(4), "bb": weights(4),
        "scale": np.abs(weights(8)) + 0.5, "shift": weights(8), "mean": weights(8),
        "var": np.abs(weights(8)) + 0.5, "wc": weights(6, 8, 3, 3),
        "scales": np.float32([1, 1, 2, 2]),
        "wd": weights(5, 6), "bd": weights(5), "rows": np.array([0, -1]),
    }  # fmt: skip
    nodes = [
        node("Conv", "a wa ba", "ca", pads=[1, 1, 1, 1]),
        node("Conv", "b wb bb", "cb", auto_pad="SAME_UPPER"),
        node("Concat", "ca cb", "joined", axis=1),
        node("BatchNormalization", "joined scale shift mean var", "normal"),
        node("Relu", "normal", "hidden"),
        node("MaxPool", "hidden", "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "pooled wc", "deep", pads=[1, 1, 1, 1]),
        node("Sigmoid", "deep", "gate"),
        node("Mul", "deep gate", "silu"),
        node("Resize", "silu  scales".replace("  ", " none "), "large", mode="nearest"),
        node("GlobalAveragePool", "large", "mean_of_all"),
        node("Reshape", "mean_of_all rows", "flat"),
        node("Gemm", "flat wd bd", "y", transB=1),
    ]
    nodes[9].input[1] = ""
    inputs = [value("a", size, 3, 8, 8), value("b", size, 2, 8, 8)]
    return model_of(nodes, inputs, [value("y", size, 5)], constants)


A, B = weights(4, 3, 8, 8), weights(4, 2, 8, 8)


def transformer(opset=17):
    """Tokens, an embedding, attention as exporters write it, layer norm, a feed-forward network."""
    constants = {
        "table": weights(20, 8), "wq": weights(8, 8), "wk": weights(8, 8), "wv": weights(8, 8),
        "heads": np.array([0, 0, 2, 4]), "back": np.array([0, 0, 8]), "root": np.float32(2),
        "g": np.abs(weights(8)) + 0.5, "b": weights(8), "w1": weights(8, 16), "w2": weights(16, 8),
        "half": np.float32(0.5), "one": np.float32(1), "sqrt2": np.float32(2**0.5),
    }  # fmt: skip
    nodes = [node("Gather", "table tokens", "x")]
    for name in "qkv":
        nodes += [
            node("MatMul", f"x w{name}", f"{name}0"),
            node("Reshape", f"{name}0 heads", f"{name}1"),
            node("Transpose", f"{name}1", name, perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]),
        ]
    nodes += [
        node("MatMul", "q k", "logits"),
        node("Div", "logits root", "scaled"),
        node("Softmax", "scaled", "attention", axis=-1),
        node("MatMul", "attention v", "mixed"),
        node("Transpose", "mixed", "mixed1", perm=[0, 2, 1, 3]),
        node("Reshape", "mixed1 back", "mixed2"),
        node("Add", "x mixed2", "residual"),
        node("LayerNormalization", "residual g b", "normal"),
        node("MatMul", "normal w1", "up"),
        node("Div", "up sqrt2", "up1"),
        node("Erf", "up1", "up2"),
        node("Add", "up2 one", "up3"),
        node("Mul", "up up3", "up4"),
        node("Mul", "up4 half", "gelu"),
        node("MatMul", "gelu w2", "y"),
    ]
    inputs = [value("tokens", "n", "length", kind=TensorProto.INT64)]
    return model_of(nodes, inputs, [value("y", "n", "length", 8)], constants, opset)


def test_outputs_are_those_of_onnxruntime_at_any_batch_size():
    model = fusion()
    for size in (1, 2, 4):
        assert_agree(model, {"a": A[:size], "b": B[:size]})


def test_parameters_are_the_floating_point_initializers():
    model = fusion()
    fun, params = from_onnx(save(model))
    names = {tensor.name for tensor in model.graph.initializer}
    assert set(params) == names - {"scales", "rows"}  # they decide over shapes
    assert str(fun) == (
        "OnnxFunction(params, a: float32 [n, 3, 8, 8], b: float32 [n, 2, 8, 8]) -> "
        "y: float32 [n, 5]"
    )
    doubled = {**params, "wd": 2 * params["wd"], "bd": 2 * params["bd"]}
    np.testing.assert_allclose(fun(doubled, A, B), 2 * fun(params, A, B), rtol=1e-6)
    gradient = jax.grad(lambda params: fun(params, A, B).sum())(params)
    np.testing.assert_allclose(gradient["bd"], np.full(5, 4.0), rtol=1e-6)


def test_relevance_is_conserved_and_the_same_in_both_directions():
    fun, params = from_onnx(save(fusion()), dtype="float32")
    rel = jax.jit(rfp_jax.relevance(fun, argnums=(1, 2)))(params, A, B)
    total = rel.bias + sum(rel.sources)
    np.testing.assert_allclose(total, rel.output, atol=1e-6)
    report = rfp_jax.audit(fun, argnums=(1, 2))(params, A, B)
    assert report.passed, report
    assert {"net/ca", "net/y"} <= {entry.path for entry in report.entries}


@pytest.mark.usefixtures("x64")
def test_forward_equals_reverse():
    fun, params = from_onnx(save(fusion()), dtype="float64")
    a, b = A.astype(np.float64), B.astype(np.float64)
    forward = rfp_jax.relevance(fun, argnums=(1, 2))(params, a, b)
    heat = rfp_jax.heatmap(fun, argnums=(1, 2), outputs="all")(params, a, b)
    for source, pixels in zip(forward.sources, heat, strict=True):
        total = pixels.sum((2, 3, 4)).T
        np.testing.assert_allclose(source, total, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_relevance_is_gradient_times_input_where_non_linear_parts_are_frozen():
    """Convolutions, ReLU and maxima have one gradient, frozen or not."""
    fun, params = from_onnx(save(fusion()), outputs=["deep"], dtype="float64")
    a, b = A.astype(np.float64), B.astype(np.float64)
    rel = rfp_jax.relevance(fun, argnums=(1, 2))(params, a, b)
    _, only_a = jax.jvp(lambda a: fun(params, a, b), (a,), (a,))
    _, only_b = jax.jvp(lambda b: fun(params, a, b), (b,), (b,))
    np.testing.assert_allclose(rel.sources[0], only_a, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(rel.sources[1], only_b, rtol=1e-10, atol=1e-12)


def test_a_transformer_is_cut_behind_its_embedding():
    path, model = save(transformer()), transformer()
    tokens = RNG.integers(0, 20, (3, 5))
    assert_agree(onnx.load(path), {"tokens": tokens})
    model = onnx.load(path)
    whole, params = from_onnx(path)
    fun, rest = from_onnx(path, inputs=["x"])
    assert set(params) - set(rest) == {"table"}
    embedded = params["table"][tokens]
    np.testing.assert_allclose(fun(rest, embedded), whole(params, tokens), rtol=1e-5, atol=1e-6)
    report = rfp_jax.audit(fun, argnums=1)(rest, embedded)
    assert report.passed, report
    middle, _ = from_onnx(path, inputs=["x"], outputs=["attention", "y"])
    attention, y = middle(rest, embedded)
    np.testing.assert_allclose(attention.sum(-1), np.ones((3, 2, 5)), rtol=1e-5)
    expected = by_onnxruntime(model, {"tokens": tokens})[0]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_cuts_that_do_not_hold_are_refused():
    path = save(transformer())
    with pytest.raises(ValueError, match=r"\['tokens'\] too: name them in inputs="):
        from_onnx(path, inputs=["q"])
    with pytest.raises(ValueError, match=r"inputs=\['gone'\]"):
        from_onnx(path, inputs=["gone"])
    with pytest.raises(ValueError, match=r"inputs=\['tokens'\] do not lead to"):
        from_onnx(path, inputs=["tokens", "x"])
    with pytest.raises(ValueError, match="outputs="):
        from_onnx(path, outputs=["y", "y"])
    with pytest.raises(TypeError, match="lists of names"):
        from_onnx(path, inputs="x")


def test_a_tensor_in_the_middle_may_be_a_constant_and_a_loose_end_an_output():
    model = fusion()
    model.graph.node.append(helper.make_node("Neg", ["deep"], ["loose"]))
    path = save(model)
    whole, params = from_onnx(path, outputs=["ca", "loose"])
    ca, loose = whole(params, A, B)
    fun, rest = from_onnx(path, outputs=["loose"], constants={"ca": ca})
    assert "wa" not in rest
    assert [entry.name for entry in fun.inputs] == ["a", "b"]
    np.testing.assert_allclose(fun(rest, A, B), loose, rtol=1e-6, atol=1e-7)


def test_a_parameter_may_become_an_argument():
    path = save(fusion())
    fun, params = from_onnx(path, inputs=["a", "b", "wd"])
    whole, all_params = from_onnx(path)
    assert "wd" not in params
    np.testing.assert_array_equal(fun(params, A, B, all_params["wd"]), whole(all_params, A, B))


def half():
    """The fusion network with weights in float16, each cast before it is used."""
    model = fusion()
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name != "scales":
            name = tensor.name
            stored = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(stored, f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def test_weights_stored_as_float16():
    model = half()
    assert_agree(model, {"a": A, "b": B})
    fun, params = from_onnx(save(model))
    assert params["wa_half"].dtype == jnp.float16
    assert fun(params, A, B).dtype == jnp.float32


@pytest.mark.usefixtures("x64")
def test_another_precision():
    """Every number in float64: the weights, the constants, what is cast."""
    path = save(half())
    fun, params = from_onnx(path, dtype="float64")
    assert {array.dtype for array in params.values()} == {jnp.dtype("float64")}
    jaxpr = jax.make_jaxpr(fun)(params, A, B)
    floats = {v.aval.dtype for eqn in jaxpr.eqns for v in eqn.outvars} - {jnp.dtype("int64")}
    assert floats == {jnp.dtype("float64")}
    single, params32 = from_onnx(path)
    np.testing.assert_allclose(fun(params, A, B), single(params32, A, B), rtol=1e-4, atol=1e-5)
    rel = rfp_jax.relevance(fun, argnums=(1, 2))(params, A, B)
    np.testing.assert_allclose(rel.bias + sum(rel.sources), rel.output, rtol=1e-13)


def test_a_lower_precision():
    fun, params = from_onnx(save(fusion()), dtype=jnp.bfloat16)
    assert fun(params, A, B).dtype == jnp.bfloat16


def test_precisions_that_cannot_be_had_are_refused():
    with pytest.raises(TypeError, match="jax_enable_x64"):
        from_onnx(save(fusion()), dtype="float64")
    with pytest.raises(TypeError, match="is not a floating-point dtype"):
        from_onnx(save(fusion()), dtype="int32")


def test_inputs_are_checked():
    fun, params = from_onnx(save(fusion()))
    with pytest.raises(TypeError, match=r"2 inputs, and 1 were given; they are\n  a: float32"):
        fun(params, A)
    with pytest.raises(ValueError, match=r"input 'a' of model.onnx is float32\[4, 2, 8, 8\]"):
        fun(params, B, B)
    with pytest.raises(ValueError, match=r"params lack \['wa'\]"):
        fun({name: array for name, array in params.items() if name != "wa"}, A, B)
    with pytest.raises(ValueError, match="n is 4 in 'a'"):
        fun(params, A, B[:2])
    with pytest.raises(TypeError, match="from_onnx"):
        fun(params, A.astype(np.float16), B)
    with pytest.raises(TypeError, match="from_onnx"):
        fun(params, A.astype(np.int32), B)


def test_constants_choose_a_branch_once_and_for_all():
    def branch(op):
        made = helper.make_tensor_value_info(op, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, ["x"], [op])], op, [], [made])

    nodes = [
        helper.make_node("Equal", ["rate", "wanted"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], then_branch=branch("Exp"),
                         else_branch=branch("Neg")),
    ]  # fmt: skip
    x, rate = weights(3), np.array(16, np.int64)
    path = save(graph(nodes, {"x": x, "rate": rate}, ["y"], {"wanted": rate}))
    fun, params = from_onnx(path, constants={"rate": 16})
    assert [entry.name for entry in fun.inputs] == ["x"]
    np.testing.assert_allclose(fun(params, x), np.exp(x), rtol=1e-6)
    fun, params = from_onnx(path, constants={"rate": 8})
    np.testing.assert_allclose(fun(params, x), -x)
    assert check_onnx(path, x, constants={"rate": 8}).passed
    with pytest.raises(ValueError, match=r"constants=\['speed'\]"):
        from_onnx(path, constants={"speed": 1})


def test_functions_of_the_model_itself():
    """As exporters of PyTorch write modules: with attributes, calling each other."""
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    leaky = helper.make_function(
        "custom", "Leaky", ["a"], ["b"],
        [onnx.parser.parse_node("b = LeakyRelu <alpha: float = @slope> (a)")], versions, ["slope"],
    )  # fmt: skip
    twice = helper.make_function(
        "custom", "Twice", ["a"], ["b"],
        [
            helper.make_node("Leaky", ["a"], ["c"], domain="custom", slope=0.5),
            helper.make_node("Leaky", ["c"], ["b"], domain="custom", slope=0.1),
        ], versions,
    )  # fmt: skip
    x = weights(3, 4)
    model = graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="custom")], {"x": x}, ["y"],
        functions=[leaky, twice],
    )  # fmt: skip
    assert_agree(model, {"x": x})
    fun, params = from_onnx(save(model))
    np.testing.assert_allclose(fun(params, x), np.where(x < 0, 0.05 * x, x), rtol=1e-6)


def test_check_finds_the_same():
    path = save(fusion())
    found = check_onnx(path, A, B)
    assert found.passed
    assert found.runtime == "onnxruntime"
    assert found.largest < 1e-5
    assert str(found).startswith("The same: largest difference to onnxruntime:")
    assert check_onnx(path, A[:1], B[:1], runtime="reference").passed
    with pytest.raises(ValueError, match="runtime='other'"):
        check_onnx(path, A, B, runtime="other")


def test_check_names_the_first_node_that_differs(monkeypatch):
    from rfp_jax.convert._onnx_operations import TABLE, Operation

    wrong = Operation.from_function(lambda x: jax.nn.sigmoid(1.01 * x))
    monkeypatch.setitem(TABLE, "Sigmoid", wrong)
    found = check_onnx(save(fusion()), A, B)
    assert not found.passed
    assert found.parting.node == "/net/gate"
    assert "NOT THE SAME" in str(found)
    assert "First: '/net/gate' (Sigmoid) makes 'gate'" in str(found)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_an_export_of_pytorch(tmp_path):
    pytest.importorskip("onnxscript")
    torch = pytest.importorskip("torch")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.norm = torch.nn.GroupNorm(2, 8)
            layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.rnn = torch.nn.LSTM(8, 6, batch_first=True, bidirectional=True)
            self.head = torch.nn.Linear(12, 4)

        def forward(self, x):
            h = torch.nn.functional.gelu(self.norm(self.conv(x)))
            h = torch.nn.functional.interpolate(h, scale_factor=0.5, mode="bilinear")
            tokens = self.encoder(h.flatten(2).transpose(1, 2))
            return self.head(self.rnn(tokens)[0][:, -1])

    torch.manual_seed(0)
    network = Network().eval()
    path, x = tmp_path / "network.onnx", torch.randn(2, 3, 8, 8)
    batch = torch.export.Dim("batch")
    torch.onnx.export(network, (x,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    fun, params = from_onnx(path)
    wide = torch.randn(5, 3, 8, 8)
    expected = network(wide).detach().numpy()
    np.testing.assert_allclose(fun(params, wide.numpy()), expected, rtol=1e-4, atol=1e-5)
    assert rfp_jax.audit(fun, argnums=1)(params, wide.numpy()).passed
