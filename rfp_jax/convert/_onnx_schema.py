"""The definition of an operator by ONNX itself, and whether it can be computed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import onnx
from onnx import helper

from rfp_jax.convert._onnx_operations import TABLE
from rfp_jax.convert._onnx_operations.operation import Operation
from rfp_jax.convert._onnx_program import Node, Value

SHAPES = frozenset(("EyeLike", "Shape", "Size"))
"""Operators that ask an input for its shape alone."""


def schema_of(node: Node) -> Any:  # Any: the stubs of `OpSchema` lack half of its attributes
    """Return the definition of an operator in the version of its opset, or None."""
    own = "::" not in node.operator and onnx.defs.has(node.operator, node.opset, "")
    return onnx.defs.get_schema(node.operator, node.opset, "") if own else None


def find(node: Node) -> Operation | None:
    """The line of the table for a node, in the version that its opset means."""
    schema = schema_of(node)
    versioned = None if schema is None else f"{node.operator}-{schema.since_version}"
    return TABLE[versioned] if versioned in TABLE else TABLE.get(node.operator)


def definition(node: Node, inputs: Sequence[Value] = ()) -> onnx.FunctionProto | None:
    """ONNX's own definition of an operator by others, for the types of the inputs."""
    schema = schema_of(node)
    if schema is None:
        return None

    def newest(versions: Iterable[int]) -> int | None:
        return max((version for version in versions if version <= node.opset), default=None)

    version = newest(schema.function_opset_versions)
    if version is not None:
        return onnx.FunctionProto.FromString(schema.get_function_with_opset_version(version))
    version = newest(schema.context_dependent_function_opset_versions)
    if version is None:
        return None
    types = [_type_proto(value).SerializeToString() for value in inputs]
    body = schema.get_context_dependent_function_with_opset_version(
        version, node.proto.SerializeToString(), types
    )
    return onnx.FunctionProto.FromString(body)


def with_defaults(node: Node) -> Node:
    """A node of ONNX's own with all its attributes, those too that are left to defaults."""
    schema = schema_of(node)
    if schema is None:
        return node
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    proto.attribute.extend(
        attribute.default_value
        for name, attribute in schema.attributes.items()
        if name not in node.attributes and attribute.default_value.type
    )
    return replace(node, proto=proto)


def _type_proto(value: Value) -> onnx.TypeProto:
    if value is None:
        return onnx.TypeProto()
    if isinstance(value, list):
        return helper.make_sequence_type_proto(_type_proto(value[0]))
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def is_folded(node: Node) -> bool:
    """Return whether `onnx.reference` computes the node once its inputs are known."""
    return schema_of(node) is not None and not is_random(node) and not node.blocks


def is_random(node: Node) -> bool:
    """Return whether the node draws random numbers."""
    return node.operator.startswith("Random") or node.operator in ("Bernoulli", "Multinomial")


def is_supported(node: Node) -> bool:
    """Return whether there is a way to compute the node."""
    if find(node) is not None:
        return True
    schema = schema_of(node)
    if schema is None or is_random(node):
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def missing_message(nodes: Sequence[Node]) -> str:
    """All operators that are missing, with the nodes that use them."""
    uses: dict[str, list[str]] = {}
    for node in nodes:
        uses.setdefault(node.operator, []).append(node.label)
    lines = [
        f"  {operator} ({len(labels)}): {', '.join(labels[:3])}{' ...' if labels[3:] else ''}"
        for operator, labels in sorted(uses.items())
    ]
    first = next(iter(sorted(uses)))
    return "\n".join(
        [
            f"{len(uses)} operators cannot be read:",
            *lines,
            "Say what they compute, before you read the model:",
            f'  register_onnx_operation("{first}", lambda x: ...)  # inputs, then attributes=',
            "or read the part behind them: from_onnx(path, inputs=[...]).",
        ]
    )
