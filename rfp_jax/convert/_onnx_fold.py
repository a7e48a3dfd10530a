"""Nodes that depend on no input and no parameter: computed when the program is traced."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import Operation
from rfp_jax.convert._onnx_program import Node, Value

LARGEST_FOLDED = 2**27
"""Elements of the largest tensor that is computed beforehand."""

GROWING = frozenset("ConstantOfShape EyeLike Expand OneHot Pad Range Resize Tile".split())
"""Operators whose output may have more elements than the product of their inputs' sizes."""


def fold(node: Node, inputs: list[Value], operation: Operation | None) -> list[Value]:
    """Compute a node of known inputs by the format's own reference implementation."""
    size = _size_of_result(node, inputs, operation)
    if size > LARGEST_FOLDED:
        raise ValueError(f"its output would have {size} elements")
    names = [name for name in node.inputs if name]
    graph = helper.make_graph(
        [node.proto],
        "node",
        [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names)],
        [onnx.ValueInfoProto(name=name) for name in node.outputs if name],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
    feeds = {name: value for name, value in zip(node.inputs, inputs, strict=True) if name}
    with np.errstate(all="ignore"):
        results = ReferenceEvaluator(model).run(None, feeds)
    return in_places([_as_known(value) for value in results], node)


def in_places(results: Sequence[Value], node: Node) -> list[Value]:
    """The outputs that were asked for, with None for those that were not."""
    given = iter(results)
    return [next(given) if name else None for name in node.outputs]


def _as_known(value: Value) -> Value:
    return value if isinstance(value, list) or value is None else np.asarray(value)


def _size_of_result(node: Node, inputs: list[Value], operation: Operation | None) -> int:
    """The elements that the output of a node may have at most, without computing it."""
    arrays = [value for value in inputs if isinstance(value, np.ndarray)]
    most = math.prod(max(array.size, 1) for array in arrays)  # of broadcasts and outer products
    if node.operator not in GROWING and most <= LARGEST_FOLDED:
        return most
    match node.operator:
        case "ConstantOfShape":
            return math.prod(int(size) for size in inputs[0])
        case "Range":
            start, limit, delta = (value.item() for value in inputs)
            return max(0, math.ceil((limit - start) / delta)) if delta else 0
        case "EyeLike":
            return inputs[0].size
    is_text = any(array.dtype.kind in "OSU" for array in arrays)
    if operation is None or is_text or len(arrays) < len([v for v in inputs if v is not None]):
        return sum(array.size for array in arrays)  # it does not broadcast

    def result() -> Tree:
        operands = [
            v
            if v is None or operation.is_fixed(i)
            else jnp.zeros(v.shape, jax.dtypes.canonicalize_dtype(v.dtype))
            for i, v in enumerate(inputs)
        ]
        count = {"n_outputs": len(node.outputs)} if operation.counts_outputs else {}
        return operation.fun(*operands, **node.attributes, **count)

    return sum(y.size for y in jax.tree.leaves(jax.eval_shape(result)))
