"""The walk through a model's nodes: what is known is folded, the rest is computed by the table.

A tensor is known (a NumPy array) if it depends on no input and no parameter; shapes are known
whenever the program is traced. `onnx.reference` computes nodes all of whose inputs are known.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from rfp_jax.convert.onnx_errors import OnnxFileError, OnnxNodeError, UnsupportedOnnxError
from rfp_jax.convert.onnx_operations import TABLE, Operation
from rfp_jax.convert.onnx_program import Block, Functions, Node, read_function

Value: TypeAlias = Any  # a NumPy array if it is known, else a JAX array; a list for a sequence

LARGEST_FOLDED = 2**27
"""Elements of the largest tensor that is computed beforehand."""

LARGEST_PROGRAM = 1_000_000
"""Nodes of the largest program, with its functions unfolded."""

GROWING = frozenset("ConstantOfShape EyeLike Expand OneHot Pad Range Resize Tile".split())
"""Operators whose output may have more elements than the product of their inputs' sizes."""

SHAPES = frozenset(("EyeLike", "Shape", "Size"))
"""Operators that ask an input for its shape alone."""


@dataclass(frozen=True)
class Walk:
    """How the nodes of a model are computed.

    Attributes:
        path: the model's file.
        opsets: the version of each domain.
        functions: what the model itself defines.
        dtype: the precision of floating-point numbers, or None for the model's own.
        watch: called with the name and value of each tensor, in the order of the program.
    """

    path: Path
    opsets: Mapping[str, int]
    functions: Functions
    dtype: np.dtype | None = None
    watch: Callable[[str, Value], None] | None = None

    def run(self, block: Block, values: Mapping[str, Value]) -> list[Value]:
        """Compute the outputs of a block from its inputs, constants and what it captures."""
        scope: MutableMapping[str, Value] = ChainMap({}, {**block.constants}, dict(values))
        return self._run(block, scope)

    def _run(self, block: Block, scope: MutableMapping[str, Value]) -> list[Value]:
        for node in block.nodes:
            results = self.step(node, scope)
            for name, value in zip(node.outputs, results, strict=False):
                if not name:
                    continue
                self._check_shape(block, node, name, value)
                scope[name] = value
                if self.watch is not None:
                    self.watch(name, value)
        return [scope[name] for name in block.outputs]

    def step(self, node: Node, scope: MutableMapping[str, Value]) -> Sequence[Value]:
        """Compute the outputs of one node."""
        inputs = [scope[name] if name else None for name in node.inputs]
        try:
            with jax.named_scope(node.label.strip("/") or node.operator):
                return self._compute(node, inputs, scope)
        except (OnnxNodeError, UnsupportedOnnxError):
            raise
        except Exception as error:
            given = ", ".join(_describe(value) for value in inputs)
            raise OnnxNodeError(
                f"{self.path}: node {node.label!r} ({node.operator}) of {given}: {error}"
            ) from error

    def _compute(
        self, node: Node, inputs: list[Value], scope: MutableMapping[str, Value]
    ) -> Sequence[Value]:
        known = all(map(is_known, inputs)) and is_folded(node)
        own = self.function(node)
        if own is not None:
            return self.call(own, node, inputs)
        operation = find(node)
        if known:
            return self.fold(node, inputs, operation)
        if operation is not None:
            return self.apply(operation, node, inputs, scope)
        full = with_defaults(node)
        body = definition(full, inputs)
        if body is None:
            raise UnsupportedOnnxError(f"{self.path}: {_missing([node])}")
        return self.call(body, full, inputs)

    def apply(
        self,
        operation: Operation,
        node: Node,
        inputs: list[Value],
        scope: MutableMapping[str, Value],
    ) -> Sequence[Value]:
        """Compute a node by its line in the table."""
        operands = [self._operand(operation, i, value) for i, value in enumerate(inputs)]
        attributes = {
            name: self._attribute(value, scope) for name, value in node.attributes.items()
        }
        if operation.counts_outputs:
            attributes["n_outputs"] = len(node.outputs)
        results = operation.fun(*operands, **attributes)
        return results if isinstance(results, (tuple, list)) else [results]

    def _operand(self, operation: Operation, position: int, value: Value) -> Value:
        if value is None or isinstance(value, list):
            return value
        if operation.is_known(position) and not isinstance(value, np.ndarray):
            raise ValueError(
                f"its {operation.name(position)!r} depends on an input or a parameter, and must be "
                "known when the program is traced. Cut the graph behind it: "
                "from_onnx(path, inputs=[...])"
            )
        if operation.is_fixed(position):
            return value
        return self.array(value)

    def array(self, value: Value) -> Value:
        """A known value as an array of JAX, in the precision that is asked for."""
        if not isinstance(value, np.ndarray):
            return value
        if self.dtype is not None and is_float(value.dtype):
            return jnp.asarray(value, self.dtype)
        kind = jax.dtypes.canonicalize_dtype(value.dtype)
        if jnp.issubdtype(kind, jnp.integer) and kind != value.dtype and value.size:
            limits = np.iinfo(kind)
            if value.min() < limits.min or value.max() > limits.max:
                raise ValueError(
                    f"integers up to {np.abs(value).max()} need 64 bits: "
                    "jax.config.update('jax_enable_x64', True)"
                )
        return jnp.asarray(value.astype(kind))

    def _attribute(self, value: Any, scope: MutableMapping[str, Value]) -> Any:
        """An attribute for an operation: a subgraph as a function, a dtype in our precision."""
        if isinstance(value, np.dtype) and self.dtype is not None and is_float(value):
            return self.dtype
        if not isinstance(value, Block):
            return value

        def body(*inputs: Value) -> list[Value]:
            inner = ChainMap(
                dict(zip(value.inputs, inputs, strict=True)), dict(value.constants), *_maps(scope)
            )
            return self._run(value, inner)

        return body

    def fold(self, node: Node, inputs: list[Value], operation: Operation | None) -> list[Value]:
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
        return _in_places([_as_known(value) for value in results], node)

    def function(self, node: Node) -> onnx.FunctionProto | None:
        """The model's own definition of an operator."""
        proto = node.proto
        return self.functions.get((proto.domain, proto.op_type, proto.overload))

    def call(
        self, function: onnx.FunctionProto, node: Node, inputs: list[Value]
    ) -> Sequence[Value]:
        """Compute a node by the body of a function."""
        block = read_function(function, node, self.path, self.opsets)
        given = dict.fromkeys(block.inputs) | dict(zip(block.inputs, inputs, strict=False))
        asked = [o for o, name in zip(block.outputs, node.outputs, strict=False) if name]
        results = replace(self, watch=None).run(block.cut(block.inputs, tuple(asked)), given)
        return _in_places(results, node)

    def _check_shape(self, block: Block, node: Node, name: str, value: Value) -> None:
        declared = block.types.get(name)
        if declared is None or not hasattr(value, "shape") or not declared.misfit(value.shape):
            return
        raise OnnxNodeError(
            f"{self.path}: node {node.label!r} ({node.operator}) made {name!r} of shape "
            f"{value.shape}, and the model declares {list(declared.shape or ())}. Inputs of "
            "another size than the model was exported for? Export it with dynamic axes."
        )


def schema_of(node: Node) -> Any:
    """What ONNX itself says of an operator in the version of its opset, or None.

    The stubs of `onnx.defs.OpSchema` lack half of its attributes.
    """
    own = "::" not in node.operator and onnx.defs.has(node.operator)
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


def check_supported(block: Block, walk: Walk) -> None:
    """Refuse a program that cannot be computed; name all operators and nodes that are missing.

    Raises:
        UnsupportedOnnxError: operators are in no table and not defined by others.
        OnnxFileError: a function calls itself, or so many others that the program would not end.
    """
    missing: list[Node] = []
    sizes: dict[tuple[str, str, str], int] = {}

    def size(block: Block, calls: tuple[tuple[str, str, str], ...]) -> int:
        return sum(size_of(node, calls) for node in unfolded(block))

    def size_of(node: Node, calls: tuple[tuple[str, str, str], ...]) -> int:
        function = walk.function(node)
        if function is None:
            if not is_supported(node):
                missing.append(node)
            return 1
        key = (function.domain, function.name, function.overload)
        if key in calls:
            raise OnnxFileError(f"{walk.path}: the function {function.name!r} calls itself")
        if key not in sizes:
            body = read_function(function, node, walk.path, walk.opsets)
            sizes[key] = size(body, (*calls, key))
        return sizes[key]

    if size(block, ()) > LARGEST_PROGRAM:
        raise OnnxFileError(f"{walk.path}: its functions unfold to over {LARGEST_PROGRAM} nodes")
    if missing:
        raise UnsupportedOnnxError(f"{walk.path}: {_missing(missing)}")


def unfolded(block: Block, known: frozenset[str] = frozenset()) -> Iterator[Node]:
    """The nodes, those of subgraphs too, that are not computed when the program is traced."""
    names = {"", *known, *block.constants}
    for node in block.nodes:
        if node.operator in SHAPES or (node.reads <= names and is_folded(node)):
            names.update(node.outputs)
        else:
            yield node
            for inner in node.blocks:
                yield from unfolded(inner, frozenset(names))


def is_folded(node: Node) -> bool:
    """Whether `onnx.reference` computes the node once its inputs are known."""
    return schema_of(node) is not None and not is_random(node) and not node.blocks


def is_random(node: Node) -> bool:
    """Whether the node draws random numbers."""
    return node.operator.startswith("Random") or node.operator in ("Bernoulli", "Multinomial")


def is_supported(node: Node) -> bool:
    """Whether there is a way to compute the node."""
    if find(node) is not None:
        return True
    schema = schema_of(node)
    if schema is None or is_random(node):
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _missing(nodes: Sequence[Node]) -> str:
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


def fixed_names(block: Block) -> set[str]:
    """The tensors whose values must be numbers of the program: shapes, scales, exponents."""
    known: set[str] = set()  # and all that leads to them
    fixed: set[str] = set()  # and what they are cast from
    for node in reversed(block.nodes):
        operation = find(node)
        for i, name in enumerate(node.inputs):
            if operation is not None and operation.is_known(i):
                known.add(name)
            elif operation is not None and operation.is_fixed(i):
                fixed.add(name)
        if known.intersection(node.outputs) and node.operator not in SHAPES:
            known.update(node.reads)
        if fixed.intersection(node.outputs) and node.operator in ("Cast", "Identity"):
            fixed.update(node.reads)
    return known | fixed


def is_known(value: Value) -> bool:
    """Whether a value does not depend on an input or a parameter."""
    if isinstance(value, list):
        return all(map(is_known, value))
    return value is None or isinstance(value, np.ndarray)


def is_float(dtype: Any) -> bool:
    """Whether numbers are of a floating-point dtype in which networks compute."""
    return jnp.issubdtype(dtype, jnp.floating) and np.dtype(dtype).itemsize >= 2


def _in_places(results: Sequence[Value], node: Node) -> list[Value]:
    """The outputs that were asked for, with None for those that were not."""
    given = iter(results)
    return [next(given) if name else None for name in node.outputs]


def _as_known(value: Any) -> Value:
    return value if isinstance(value, list) or value is None else np.asarray(value)


def _describe(value: Value) -> str:
    if value is None or isinstance(value, list):
        return "nothing" if value is None else f"a sequence of {len(value)}"
    return f"{value.dtype}{list(value.shape)}"


def _maps(scope: MutableMapping[str, Value]) -> Iterator[MutableMapping[str, Value]]:
    yield from scope.maps if isinstance(scope, ChainMap) else (scope,)


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

    def result() -> Any:
        operands = [
            v
            if v is None or operation.is_fixed(i)
            else jnp.zeros(v.shape, jax.dtypes.canonicalize_dtype(v.dtype))
            for i, v in enumerate(inputs)
        ]
        count = {"n_outputs": len(node.outputs)} if operation.counts_outputs else {}
        return operation.fun(*operands, **node.attributes, **count)

    return sum(y.size for y in jax.tree.leaves(jax.eval_shape(result)))
