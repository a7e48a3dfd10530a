"""Small ONNX models for tests, and what other programs compute from them."""

import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from rfp_jax.convert import from_onnx


def one_node(op, inputs, constants=None, opset=17, outputs=1, domain="", **attributes):
    """A model of one node. `inputs` and `constants` are arrays; None is an input left out.

    The node's inputs are those of `inputs` and then of `constants`, which become initializers.
    """
    given = [(f"x{i}", array, False) for i, array in enumerate(inputs)]
    given += [(f"c{i}", array, True) for i, array in enumerate(constants or [])]
    names = ["" if array is None else name for name, array, _ in given]
    made = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, made, name="the_node", domain=domain, **attributes)
    return graph(
        [node],
        {name: array for name, array, fixed in given if array is not None and not fixed},
        made,
        {name: array for name, array, fixed in given if array is not None and fixed},
        opset,
    )


def graph(nodes, inputs, outputs, constants=None, opset=17, **more):
    """A model of nodes; inputs take the shape and dtype of arrays."""
    entries = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in inputs.items()
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    body = helper.make_graph(
        nodes, "graph", entries, [onnx.ValueInfoProto(name=name) for name in outputs], tensors
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("custom", 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8, **more)


def save(model, folder=None):
    path = Path(folder or tempfile.mkdtemp()) / "model.onnx"
    onnx.save(model, path)
    return path


def by_onnxruntime(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = {entry.name for entry in session.get_inputs()}
    return session.run(None, {k: v for k, v in feeds.items() if k in names})


def here(model, feeds, **options):
    fun, params = from_onnx(save(model), **options)
    results = fun(params, *(jnp.asarray(feeds[entry.name]) for entry in fun.inputs))
    return results if isinstance(results, tuple) else (results,)


def assert_agree(model, feeds, tolerance=2e-5):
    """All outputs are those of onnxruntime."""
    expected = by_onnxruntime(model, feeds)
    got = here(model, feeds)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(
            np.asarray(a, np.float64), b.astype(np.float64), rtol=tolerance, atol=tolerance
        )


def feeds_of(*arrays):
    return {f"x{i}": array for i, array in enumerate(arrays) if array is not None}


def assert_node_agrees(op, inputs, constants=None, tolerance=2e-5, **more):
    model = one_node(op, inputs, constants, **more)
    assert_agree(model, feeds_of(*inputs), tolerance)
