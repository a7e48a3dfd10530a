"""Read a program that PyTorch exported as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.utils import _pytree as pytree

from rfp_jax._util.trees import Given
from rfp_jax.convert._errors import ProgramError
from rfp_jax.convert._torch_export import ROOT, as_array, as_dtype, held, plain
from rfp_jax.convert._torch_program import (
    Argument,
    Body,
    Input,
    Node,
    Program,
    Ref,
    Spec,
    map_leaves,
)


def read_program(exported: ExportedProgram, aliases: Mapping[str, str]) -> Program:
    """Turn an exported program into plain data.

    Args:
        exported: what `torch.export` made.
        aliases: name of each parameter in it -> name in the tree of parameters.
    """
    constants: dict[str, np.ndarray] = {}
    inputs, arguments = [], 0
    vals = {node.name: node.meta.get("val") for node in exported.graph.nodes}
    for spec in exported.graph_signature.input_specs:
        name = spec.arg.name
        result = _spec(vals.get(name))
        single = result if isinstance(result, Spec) else None
        if spec.kind == InputKind.USER_INPUT:
            inputs.append(Input(name, "argument", arguments, single))
            arguments += 1
            continue
        target = _own(str(spec.target))
        if target in aliases:
            inputs.append(Input(name, "parameter", aliases[target], single))
        else:
            constants[target] = as_array(held(exported, spec))
            inputs.append(Input(name, "constant", target, single))
    leaves = [
        spec.arg.value if isinstance(spec.arg, ConstantArgument) else Ref(spec.arg.name)
        for spec in exported.graph_signature.output_specs
        if spec.kind == OutputKind.USER_OUTPUT
    ]
    call = exported.call_spec
    assert call.in_spec is not None
    assert call.out_spec is not None
    places = plain(pytree.tree_unflatten(range(len(leaves)), call.out_spec))
    return Program(
        inputs=tuple(inputs),
        nodes=_nodes(exported.graph),
        output=map_leaves(leaves.__getitem__, places),
        arguments=pytree.tree_unflatten(range(arguments), call.in_spec),
        constants=constants,
    )


def _own(path: str) -> str:
    """A path without the wrapper's part."""
    return "" if path == ROOT else path.removeprefix(f"{ROOT}.")


def _nodes(graph: fx.Graph) -> tuple[Node, ...]:
    return tuple(_node(node) for node in graph.nodes if node.op == "call_function")


def _body(node: fx.Node) -> Body:
    owner = node.graph.owning_module
    assert owner is not None
    module = owner.get_submodule(str(node.target))
    assert isinstance(module, fx.GraphModule)
    graph = module.graph
    return Body(
        inputs=tuple(node.name for node in graph.nodes if node.op == "placeholder"),
        nodes=_nodes(graph),
        output=_argument(graph.output_node().args[0]),
    )


def _node(node: fx.Node) -> Node:
    kwargs = {key: value for key, value in node.kwargs.items() if key not in _PLACES}
    args, operation = node.args, _operation(node.target)
    if operation.startswith("aten.as_strided"):
        args, kwargs["order"] = _absolute(node), _order(node)
    return Node(
        name=node.name,
        operation=operation,
        args=tuple(_argument(value) for value in args),
        kwargs={key: _argument(value) for key, value in kwargs.items()},
        result=_spec(node.meta.get("val")),
        module=_module(node),
    )


_PLACES = ("device", "layout", "pin_memory", "memory_format", "non_blocking", "copy")
"""PyTorch's ways to hold a tensor: of no concern to a program."""


def _order(node: fx.Node) -> list[int]:
    """The axes of what a strided view is taken of, the one with the greatest stride first.

    Raises:
        ProgramError: the view may reach what is not in it: it is itself a part of a tensor.
    """
    base = _base(node)
    strides, sizes = base.stride(), base.shape
    order = sorted(range(base.dim()), key=lambda axis: (-strides[axis], -sizes[axis]))
    dense = 1
    for axis in reversed(order):
        if sizes[axis] != 1 and strides[axis] != dense:
            dense = 0
        dense *= sizes[axis]
    if not dense or base.untyped_storage().nbytes() != dense * base.element_size():
        raise ProgramError(
            f"node '{node.name}' of submodule '{_module(node) or '(root)'}' is as_strided of a "
            "part of a tensor, by its place in memory: take it of the whole, of x.clone(), or "
            "write slices, unfold or expand"
        )
    return order


def _absolute(node: fx.Node) -> list[Given]:
    """The arguments of a strided view with its place in memory."""
    args = list(node.args)
    own = 3 if "scatter" in str(node.target) else 2
    args += [None] * (own + 2 - len(args))
    if args[own + 1] is None:
        args[own + 1] = _base(node).storage_offset()
    return args


def _base(node: fx.Node) -> torch.Tensor:
    given = node.args[0]
    assert isinstance(given, fx.Node)
    return given.meta["val"]


def _operation(target: Any) -> str:  # Any: no type of Python says that a function has a name
    if isinstance(target, (torch._ops.OpOverload, torch._ops.HigherOrderOperator)):
        return str(target)
    module = target.__module__.replace("_operator", "operator").removeprefix("torch")
    return f"{module}.{target.__name__}".removeprefix(".")


def _module(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return _own(next(reversed(stack.values()))[0]) if stack else ""


def _argument(value: object) -> Argument:
    if isinstance(value, fx.Node):
        # No tensor is an attribute, for they are inputs: this is a branch or the body of a loop.
        return _body(value) if value.op == "get_attr" else Ref(value.name)
    if isinstance(value, torch.dtype):
        return as_dtype(value)
    if isinstance(value, (torch.device, torch.layout, torch.memory_format)):
        return None
    if isinstance(value, (list, tuple)):
        return [_argument(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return value
    if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        raise ProgramError(f"a free size that no node computes: {value}")
    return str(value)


def _spec(value: object) -> Spec | tuple[Spec | None, ...] | None:
    """Shape and dtype of what PyTorch returned."""
    if isinstance(value, torch.Tensor):
        shape = tuple(size if isinstance(size, int) else None for size in value.shape)
        return Spec(shape, as_dtype(value.dtype))
    if isinstance(value, (list, tuple)):
        specs = (_spec(entry) for entry in value)
        return tuple(spec if isinstance(spec, Spec) else None for spec in specs)
    return None
