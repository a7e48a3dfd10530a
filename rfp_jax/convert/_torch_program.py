"""A program of PyTorch as plain data: nodes, inputs, constants. PyTorch is not needed to hold it.

    Program   inputs -> nodes -> output
    Node      name = operation(*args, **kwargs), with the shape and dtype that PyTorch found
    Body      a branch or the body of a loop, as an argument of a node: nodes of its own

Arguments of a node are Python values, dtypes, bodies, lists of them, and `Ref`s to what earlier
nodes returned. Everything can be written as JSON, but the constants, which are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given, Json, Leaf, Tree

Params = dict[str, jax.Array]
"""Parameters and buffers by their names in the state dict."""


@dataclass(frozen=True)
class Ref:
    """Return the type that the input or node of this name holds."""

    name: str


@dataclass(frozen=True)
class Body:
    """A function of what it is given alone: a branch, or the body of a loop.

    Attributes:
        inputs: names of what it is given.
        nodes: its operations, in an order in which they can run.
        output: what it returns: a tree with `Ref`s.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    output: Argument


Argument: TypeAlias = (
    Ref
    | Body
    | np.dtype
    | bool
    | int
    | float
    | complex
    | str
    | list[Tree]
    | tuple[Tree, ...]
    | dict[Given, Tree]
    | None
)
"""A Python value, a dtype, a `Ref`, a `Body`, or a tree of these."""


@dataclass(frozen=True)
class Spec:
    """Shape and dtype of an array; None where a size is free."""

    shape: tuple[int | None, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        """Like `float32[2, 3]`."""
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.dtype}[{sizes}]"

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of this shape is one of these."""
        return len(shape) == len(self.shape) and all(
            wanted in (None, size) for wanted, size in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True)
class Input:
    """The values that enter a program.

    Attributes:
        name: by which nodes refer to it.
        kind: a parameter, a constant of the program, an argument of the call, or a cut: the output
            of a submodule that became an argument.
        key: of the parameter or constant; of an argument its position among the leaves, of a cut
            its position among the sources.
        spec: shape and dtype; None for an argument that is a Python value, fixed at export.
    """

    name: str
    kind: Literal["parameter", "constant", "argument", "source"]
    key: str | int
    spec: Spec | None


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        name: by which later nodes refer to it.
        operation: its name in PyTorch, like `aten.add.Tensor`.
        args: positional arguments.
        kwargs: keyword arguments.
        result: shape and dtype of what PyTorch returned; a tuple where it returned several; None
            for what is not an array.
        module: path of the submodule that called it.
    """

    name: str
    operation: str
    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument]
    result: Spec | tuple[Spec | None, ...] | None
    module: str

    def refs(self) -> Iterator[str]:
        """Names of everything that the node takes."""
        return refs((self.args, dict(self.kwargs)))

    def bodies(self) -> Iterator[Body]:
        """Branches and bodies of loops among its arguments."""
        return (leaf for leaf in leaves(self.args) if isinstance(leaf, Body))


@dataclass(frozen=True)
class Program:
    """A network as PyTorch exported it, for one set of shapes.

    Attributes:
        inputs: everything that enters.
        nodes: the operations, in an order in which they can run.
        output: what is returned: a tree of lists, tuples and dicts with `Ref`s as leaves.
        arguments: what is called with, `(args, kwargs)`: a tree with positions of leaves.
        constants: arrays of the program itself, by key.
    """

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    output: Argument
    arguments: Argument
    constants: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def parameters(self) -> dict[str, Spec]:
        """Shape and dtype of each parameter that the program reads."""
        return {
            str(entry.key): entry.spec
            for entry in self.inputs
            if entry.kind == "parameter" and entry.spec is not None
        }

    def needed(self, targets: Argument | None = None) -> tuple[Node, ...]:
        """Nodes that the output, or another tree of targets, depends on."""
        wanted = set(refs(self.output if targets is None else targets))
        kept = []
        for node in reversed(self.nodes):
            if node.name in wanted:
                kept.append(node)
                wanted.update(node.refs())
        return tuple(reversed(kept))


def map_leaves(f: Callable[[Leaf], Tree], tree: Tree) -> Tree:
    """Apply `f` to every leaf of a tree of lists, tuples and dicts."""
    if isinstance(tree, dict):
        return {key: map_leaves(f, value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return (list if isinstance(tree, list) else tuple)(map_leaves(f, value) for value in tree)
    return f(tree)


def leaves(tree: Tree) -> Iterator[Leaf]:
    """Every leaf of a tree of lists, tuples and dicts."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


def refs(tree: Tree) -> Iterator[str]:
    """Names of all `Ref`s in a tree."""
    return (leaf.name for leaf in leaves(tree) if isinstance(leaf, Ref))


# As JSON. A tuple, a Ref, a dtype and numbers that JSON lacks are dicts of one tagged entry.


def to_json(program: Program) -> dict[str, Json]:
    """A program without its constants, as what `json.dumps` takes."""
    return {
        "inputs": [
            {"name": e.name, "kind": e.kind, "key": e.key, "spec": _encode_spec(e.spec)}
            for e in program.inputs
        ],
        "nodes": [_encode_node(node) for node in program.nodes],
        "output": _encode(program.output),
        "arguments": _encode(program.arguments),
    }


def from_json(content: Mapping[str, Json], constants: Mapping[str, np.ndarray]) -> Program:
    """The program that `to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: the content is something else.
    """
    return Program(
        inputs=tuple(
            Input(e["name"], e["kind"], e["key"], _decode_spec(e["spec"]))
            for e in content["inputs"]
        ),
        nodes=tuple(_decode_node(entry) for entry in content["nodes"]),
        output=_decode(content["output"]),
        arguments=_decode(content["arguments"]),
        constants=constants,
    )


def _encode_node(node: Node) -> dict[str, Json]:
    return {
        "name": node.name,
        "operation": node.operation,
        "args": [_encode(value) for value in node.args],
        "kwargs": {key: _encode(value) for key, value in node.kwargs.items()},
        "result": [_encode_spec(spec) for spec in node.result]
        if isinstance(node.result, tuple)
        else _encode_spec(node.result),
        "module": node.module,
    }


def _decode_node(content: Mapping[str, Json]) -> Node:
    result = content["result"]
    return Node(
        name=content["name"],
        operation=content["operation"],
        args=tuple(_decode(value) for value in content["args"]),
        kwargs={key: _decode(value) for key, value in content["kwargs"].items()},
        result=tuple(_decode_spec(spec) for spec in result)
        if isinstance(result, list)
        else _decode_spec(result),
        module=content["module"],
    )


def _encode_body(body: Body) -> dict[str, Json]:
    return {
        "inputs": list(body.inputs),
        "nodes": [_encode_node(node) for node in body.nodes],
        "output": _encode(body.output),
    }


def _decode_body(content: Mapping[str, Json]) -> Body:
    return Body(
        inputs=tuple(content["inputs"]),
        nodes=tuple(_decode_node(entry) for entry in content["nodes"]),
        output=_decode(content["output"]),
    )


def _encode_spec(spec: Spec | None) -> dict[str, Json] | None:
    return spec and {"shape": list(spec.shape), "dtype": str(spec.dtype)}


def _decode_spec(content: Mapping[str, Json] | None) -> Spec | None:
    if content is None:
        return None
    return Spec(tuple(content["shape"]), jnp.dtype(content["dtype"]))


def _encode(value: Argument) -> Json:  # noqa: PLR0911 (one per kind)
    match value:
        case Ref(name):
            return {"ref": name}
        case Body():
            return {"body": _encode_body(value)}
        case np.dtype():
            return {"dtype": str(value)}
        case float():
            return {"float": value.hex()}
        case complex():
            return {"complex": [value.real.hex(), value.imag.hex()]}
        case tuple():
            return {"tuple": [_encode(entry) for entry in value]}
        case list():
            return [_encode(entry) for entry in value]
        case dict():
            return {"dict": [[key, _encode(entry)] for key, entry in value.items()]}
        case bool() | int() | str() | None:
            return value
    raise TypeError(f"an argument of type {type(value).__name__} cannot be written: {value!r}")


def _decode(content: Json) -> Argument:  # noqa: PLR0911 (one per kind)
    if isinstance(content, list):
        return [_decode(entry) for entry in content]
    if not isinstance(content, dict):
        return content
    ((tag, value),) = content.items()
    match tag:
        case "ref":
            return Ref(value)
        case "body":
            return _decode_body(value)
        case "dtype":
            return jnp.dtype(value)
        case "float":
            return float.fromhex(value)
        case "complex":
            return complex(*map(float.fromhex, value))
        case "tuple":
            return tuple(_decode(entry) for entry in value)
        case "dict":
            return {key: _decode(entry) for key, entry in value}
    raise ValueError(f"{tag!r} is not a tag of a program")
