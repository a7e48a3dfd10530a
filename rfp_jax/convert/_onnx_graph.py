"""The walk through a model's nodes: what is known is folded, the rest is computed by the table.

A tensor is known (a NumPy array) if it depends on no input and no parameter; shapes are known
whenever the program is traced. `onnx.reference` computes nodes all of whose inputs are known.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax.typing import DTypeLike

from rfp_jax.convert._onnx_errors import OnnxNodeError, UnsupportedOnnxError
from rfp_jax.convert._onnx_fold import fold, in_places
from rfp_jax.convert._onnx_operations.operation import Operation
from rfp_jax.convert._onnx_program import Attribute, Block, Functions, Node, Value, read_function
from rfp_jax.convert._onnx_schema import definition, find, is_folded, missing_message, with_defaults


@dataclass(frozen=True)
class Walk:
    """The computation of a model's nodes, one after another.

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
            return fold(node, inputs, operation)
        if operation is not None:
            return self.apply(operation, node, inputs, scope)
        full = with_defaults(node)
        body = definition(full, inputs)
        if body is None:
            raise UnsupportedOnnxError(f"{self.path}: {missing_message([node])}")
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
        array = self.array(value)
        if operation.is_number(position) and isinstance(value, np.ndarray) and value.size == 1:
            return value.astype(array.dtype)
        return array

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

    def _attribute(self, value: Attribute, scope: MutableMapping[str, Value]) -> Attribute:
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
        return in_places(results, node)

    def _check_shape(self, block: Block, node: Node, name: str, value: Value) -> None:
        declared = block.types.get(name)
        if declared is None or not hasattr(value, "shape") or not declared.misfit(value.shape):
            return
        raise OnnxNodeError(
            f"{self.path}: node {node.label!r} ({node.operator}) made {name!r} of shape "
            f"{value.shape}, and the model declares {list(declared.shape or ())}. Inputs of "
            "another size than the model was exported for? Export it with dynamic axes."
        )


def is_known(value: Value) -> bool:
    """Return whether a value does not depend on an input or a parameter."""
    if isinstance(value, list):
        return all(map(is_known, value))
    return value is None or isinstance(value, np.ndarray)


def is_float(dtype: DTypeLike) -> bool:
    """Return whether numbers are of a floating-point dtype in which networks compute."""
    return jnp.issubdtype(dtype, jnp.floating) and np.dtype(dtype).itemsize >= 2


def _describe(value: Value) -> str:
    if value is None or isinstance(value, list):
        return "nothing" if value is None else f"a sequence of {len(value)}"
    return f"{value.dtype}{list(value.shape)}"


def _maps(scope: MutableMapping[str, Value]) -> Iterator[MutableMapping[str, Value]]:
    yield from scope.maps if isinstance(scope, ChainMap) else (scope,)
