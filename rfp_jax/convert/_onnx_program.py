"""A model as Python values: blocks of nodes with their attributes, constants and declared types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx

from rfp_jax.convert._onnx_errors import OnnxFileError
from rfp_jax.convert._onnx_file import read_tensor

DEFAULT_DOMAINS = ("", "ai.onnx")

Value: TypeAlias = Any  # a NumPy array if it is known, else a JAX array; a list for a sequence

Attribute: TypeAlias = Any
"""The value of an attribute. Any: each operator has its own, numbers, text, arrays, blocks."""


@dataclass(frozen=True)
class TensorType:
    """A tensor's element type and shape, as the model declares them.

    Attributes:
        name: the tensor's name.
        dtype: its dtype, or None if the model does not say.
        shape: a number for a fixed size, a name for a symbolic one, None for one not told; None
            for all of it if the rank is not told.
    """

    name: str
    dtype: np.dtype | None
    shape: tuple[int | str | None, ...] | None

    def misfit(self, shape: tuple[int, ...]) -> bool:
        """Return whether a shape contradicts the fixed sizes that are declared."""
        if self.shape is None:
            return False
        return len(shape) != len(self.shape) or any(
            isinstance(declared, int) and declared != size
            for declared, size in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        sizes = "any" if self.shape is None else [size or "?" for size in self.shape]
        return f"{self.name}: {self.dtype or 'any'} {sizes}".replace("'", "")


@dataclass(frozen=True)
class Node:
    """One operation of a block.

    Attributes:
        proto: as the file has it; constant folding hands it to `onnx.reference`.
        opset: the version of its domain.
        inputs: names of its inputs, empty for one that is left out.
        outputs: names of its outputs, likewise.
        attributes: values of its attributes; a subgraph is a `Block`.
    """

    proto: onnx.NodeProto
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]

    @property
    def operator(self) -> str:
        """The operator's name, behind its domain if that is not ONNX's own."""
        own = self.proto.domain in DEFAULT_DOMAINS
        return self.proto.op_type if own else f"{self.proto.domain}::{self.proto.op_type}"

    @property
    def label(self) -> str:
        """Return what to call the node in a message."""
        return self.proto.name or next((f"maker of {name}" for name in self.outputs if name), "?")

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The subgraphs among its attributes."""
        return tuple(value for value in self.attributes.values() if isinstance(value, Block))

    @property
    def reads(self) -> frozenset[str]:
        """All tensors that it needs: its inputs, and what its subgraphs take from outside."""
        captured = (block.captures for block in self.blocks)
        return frozenset(filter(None, self.inputs)).union(*captured)


@dataclass(frozen=True)
class Block:
    """A graph, a subgraph, or the body of a function.

    Attributes:
        name: its name.
        inputs: names of its inputs.
        outputs: names of its outputs.
        nodes: its nodes, each after those that it needs.
        constants: its initializers by name.
        types: what is declared of its tensors, by name.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    types: Mapping[str, TensorType] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """All its tensors, without those of subgraphs."""
        made = (name for node in self.nodes for name in node.outputs if name)
        return frozenset((*self.inputs, *self.constants, *made))

    @property
    def reads(self) -> frozenset[str]:
        """The names that its nodes read or that it returns."""
        return frozenset(self.outputs).union(*(node.reads for node in self.nodes))

    @property
    def captures(self) -> frozenset[str]:
        """The names that it reads and does not define."""
        return self.reads - self.names

    def bound(self, values: Mapping[str, np.ndarray]) -> Block:
        """The graph in which some tensors have a value; `cut` leaves out what makes them."""
        inputs = tuple(name for name in self.inputs if name not in values)
        return replace(self, inputs=inputs, constants={**self.constants, **values})

    def cut(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Block:
        """The part that leads from some tensors, and from constants, to others."""
        given = {*inputs, *self.constants}
        needed, nodes = set(outputs) - set(inputs), []
        for node in reversed(self.nodes):
            if needed & (set(node.outputs) - given):
                nodes.append(node)
                needed |= node.reads - set(inputs)
        constants = {n: a for n, a in self.constants.items() if n in needed}
        return replace(
            self, inputs=inputs, outputs=outputs, nodes=tuple(reversed(nodes)), constants=constants
        )


Functions = Mapping[tuple[str, str, str], onnx.FunctionProto]


def read_block(graph: onnx.GraphProto, opsets: Mapping[str, int], path: Path) -> Block:
    """Read a graph with its subgraphs and initializers.

    Args:
        graph: as protobuf has it.
        opsets: the version of each domain.
        path: the model's file, for its external data and for messages.

    Returns:
        The block, with inputs that have no initializer.

    Raises:
        OnnxFileError: a tensor is damaged, stands twice, or is read before it is made.
    """
    if graph.sparse_initializer:
        raise OnnxFileError(
            f"{path}: tensor {graph.sparse_initializer[0].values.name!r} is stored as sparse; save "
            "it as a dense initializer"
        )
    constants = {tensor.name: read_tensor(tensor, path) for tensor in graph.initializer}
    declared = (*graph.input, *graph.value_info, *graph.output)
    return Block(
        name=graph.name,
        inputs=tuple(entry.name for entry in graph.input if entry.name not in constants),
        outputs=tuple(entry.name for entry in graph.output),
        nodes=tuple(read_node(node, opsets, path) for node in graph.node),
        constants=constants,
        types={entry.name: tensor_type(entry) for entry in declared},
    )


def read_node(
    proto: onnx.NodeProto,
    opsets: Mapping[str, int],
    path: Path,
    values: Mapping[str, onnx.AttributeProto] = {},
) -> Node:
    """Read a node.

    Args:
        proto: as protobuf has it.
        opsets: the version of each domain.
        path: the model's file.
        values: attributes of the function of whose body it is a part, as protobuf has them.

    Returns:
        The node, its references to the function's attributes replaced by their values.
    """
    if any(attribute.ref_attr_name for attribute in _attributes(proto)):
        proto = _bound(proto, values)
    if proto.domain == "ai.onnx":  # the long name of the domain without a name
        proto = onnx.NodeProto.FromString(proto.SerializeToString())
        proto.domain = ""
    domain = proto.domain
    if domain not in opsets:
        raise OnnxFileError(
            f"{path}: node {proto.name!r} ({proto.op_type}) is of the domain {domain!r}, of which "
            "the model names no version"
        )
    return Node(
        proto=proto,
        opset=opsets[domain],
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes={a.name: _attribute(a, opsets, path) for a in proto.attribute},
    )


def read_function(
    function: onnx.FunctionProto, call: Node, path: Path, opsets: Mapping[str, int] = {}
) -> Block:
    """The body of a function for one call of it, with the attributes of that call."""
    versions = {**opsets, **opset_versions(function.opset_import)}
    values = {attribute.name: attribute for attribute in function.attribute_proto}
    values |= {attribute.name: attribute for attribute in call.proto.attribute}
    nodes = tuple(read_node(node, versions, path, values) for node in function.node)
    return Block(function.name, tuple(function.input), tuple(function.output), nodes)


def opset_versions(entries: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """The version of each domain."""
    return {"" if e.domain in DEFAULT_DOMAINS else e.domain: e.version for e in entries}


def check_order(block: Block, path: Path, outer: frozenset[str] = frozenset()) -> None:
    """Refuse a block in which a tensor stands twice or is read before it is made."""
    known = {*outer, *block.inputs, *block.constants}
    for node in block.nodes:
        missing = sorted(filter(None, set(node.inputs) - known))
        if missing:
            raise OnnxFileError(
                f"{path}: node {node.label!r} ({node.operator}) reads {missing}, which no node "
                "before it makes"
            )
        for inner in node.blocks:
            check_order(inner, path, frozenset(known))
        made = list(filter(None, node.outputs))
        again = sorted(name for name in made if name in known or made.count(name) > 1)
        if again:
            raise OnnxFileError(
                f"{path}: node {node.label!r} ({node.operator}) makes {again}, which is made "
                "already"
            )
        known.update(made)
    missing = sorted(set(block.outputs) - known)
    if missing:
        raise OnnxFileError(f"{path}: no node makes {missing}, outputs of {block.name!r}")


def tensor_type(entry: onnx.ValueInfoProto) -> TensorType:
    """Return what an entry declares of a tensor."""
    if not entry.type.HasField("tensor_type"):
        return TensorType(entry.name, None, None)
    declared = entry.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(declared.elem_type) if declared.elem_type else None
    if not declared.HasField("shape"):
        return TensorType(entry.name, dtype, None)
    sizes = tuple(
        d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in declared.shape.dim
    )
    return TensorType(entry.name, dtype, sizes)


def _attribute(attribute: onnx.AttributeProto, opsets: Mapping[str, int], path: Path) -> Attribute:
    """The value of an attribute: text, numbers, arrays, dtypes, blocks."""
    kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
    if kind == "GRAPH":
        return read_block(attribute.g, opsets, path)
    if kind == "INT" and attribute.name in ("to", "dtype", "output_dtype"):
        return onnx.helper.tensor_dtype_to_np_dtype(attribute.i) if attribute.i else None
    if kind not in READERS:
        raise OnnxFileError(f"{path}: the attribute {attribute.name!r} of type {kind} is not read")
    return READERS[kind](attribute, path)


READERS: dict[str, Callable[[onnx.AttributeProto, Path], Attribute]] = {
    "FLOAT": lambda a, _: a.f,
    "INT": lambda a, _: a.i,
    "STRING": lambda a, _: a.s.decode(),
    "TENSOR": lambda a, path: read_tensor(a.t, path),
    "FLOATS": lambda a, _: tuple(a.floats),
    "INTS": lambda a, _: tuple(a.ints),
    "STRINGS": lambda a, _: tuple(s.decode() for s in a.strings),
    "TYPE_PROTO": lambda a, _: a.tp,
}


def _attributes(proto: onnx.NodeProto) -> Iterator[onnx.AttributeProto]:
    """The attributes of a node and of all nodes in its subgraphs."""
    for attribute in proto.attribute:
        yield attribute
        for node in attribute.g.node:
            yield from _attributes(node)


def _bound(proto: onnx.NodeProto, values: Mapping[str, onnx.AttributeProto]) -> onnx.NodeProto:
    """The node with references to attributes replaced; one that was not given is left out."""
    bound = onnx.NodeProto()
    bound.CopyFrom(proto)
    del bound.attribute[:]
    for attribute in proto.attribute:
        if attribute.ref_attr_name and attribute.ref_attr_name not in values:
            continue
        new = bound.attribute.add()
        new.CopyFrom(values[attribute.ref_attr_name] if attribute.ref_attr_name else attribute)
        new.name = attribute.name
        if new.HasField("g"):
            nodes = [_bound(node, values) for node in attribute.g.node]
            del new.g.node[:]
            new.g.node.extend(nodes)
    return bound
