"""Read off a program, before it runs, what it needs: operators, and numbers that must be known."""

from __future__ import annotations

from collections.abc import Iterator

from rfp_jax.convert._onnx_errors import OnnxFileError, UnsupportedOnnxError
from rfp_jax.convert._onnx_graph import Walk
from rfp_jax.convert._onnx_program import Block, Node, read_function
from rfp_jax.convert._onnx_schema import SHAPES, find, is_folded, is_supported, missing_message

LARGEST_PROGRAM = 1_000_000
"""Nodes of the largest program, with its functions unfolded."""


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
        raise UnsupportedOnnxError(f"{walk.path}: {missing_message(missing)}")


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
