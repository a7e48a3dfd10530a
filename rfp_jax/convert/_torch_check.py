"""Compare an imported network with PyTorch: its output, then each node on PyTorch's operands."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx.node import Target

from rfp_jax._util.trees import Given, Leaf, Tree
from rfp_jax.convert import _torch_export as export
from rfp_jax.convert._aten.creation import EMPTY
from rfp_jax.convert._errors import DifferenceError, ProgramError
from rfp_jax.convert._torch_graph import Precision, Values, apply, describe, fill
from rfp_jax.convert._torch_program import Params, Program, Ref, Spec, map_leaves, refs


@dataclass(frozen=True)
class Comparison:
    """The distance of JAX from PyTorch on one example.

    Attributes:
        largest: largest absolute difference of the outputs.
        relative: the same over PyTorch's largest output.
        tolerance: up to which relative difference it is rounding, by the coarsest dtype of outputs.
    """

    largest: float
    relative: float
    tolerance: float


class Function(Protocol):
    """A network in JAX that is computed node by node."""

    def __call__(self, params: Params, *args: Given, **kwargs: Given) -> Tree:
        """Compute the output."""
        ...

    def program(self, params: Params, *args: Given, **kwargs: Given) -> Program:
        """Return the program that is computed for these arguments."""
        ...


def split_example(example: Given, network: nn.Module | ExportedProgram) -> tuple[tuple, dict]:
    """Positional and keyword arguments of an example.

    Args:
        example: a tuple or list of arguments, a mapping of keyword arguments, one array; True takes
            the example in a saved program.
        network: where that is.
    """
    if example is True:
        saved = network.example_inputs if isinstance(network, ExportedProgram) else None
        if saved is None:
            raise ProgramError(
                "the program holds no example to check with: pass check=(array, ...), or do not "
                "check it (--no-example)"
            )
        return tuple(saved[0]), dict(saved[1])
    if isinstance(example, Mapping):
        return (), dict(example)
    return (tuple(example) if isinstance(example, (list, tuple)) else (example,)), {}


def compare_outputs(ours: Tree, theirs: Tree) -> Comparison:
    """Compare two trees of arrays and tensors."""
    pairs = [(np.asarray(mine), export.as_array(other)) for mine, other in _pairs(ours, theirs)]
    differences = [difference(*pair) for pair in pairs]
    return Comparison(
        largest=max((largest for largest, _ in differences), default=0.0),
        relative=max((relative for _, relative in differences), default=0.0),
        tolerance=max((tolerance(ours.dtype, theirs.dtype) for ours, theirs in pairs), default=0.0),
    )


def _pairs(ours: Tree, theirs: Tree) -> Iterator[tuple[Leaf, torch.Tensor]]:
    """Return what stands at the same places of two trees, where it is a tensor."""
    if isinstance(theirs, torch.Tensor):
        yield ours, theirs
    elif isinstance(theirs, (dict, list, tuple)):
        for key in theirs if isinstance(theirs, dict) else range(len(theirs)):
            yield from _pairs(ours[key], theirs[key])


def difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Largest difference, absolute and over the largest expected value; infinite for NaN."""
    if ours.shape != theirs.shape:
        return float("inf"), float("inf")
    wide = np.complex128 if np.iscomplexobj(theirs) else np.float64
    ours, theirs = ours.astype(wide), theirs.astype(wide)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    apart = np.abs(ours[~same] - theirs[~same])
    if not apart.size:
        return 0.0, 0.0
    largest = float(np.where(np.isfinite(apart), apart, np.inf).max())
    size = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0))
    return largest, largest / size if size else largest


def tolerance(*dtypes: np.dtype) -> float:
    """Up to which relative difference two results of these dtypes differ by rounding."""
    eps = [float(jnp.finfo(d).eps) for d in dtypes if jnp.issubdtype(d, jnp.inexact)]
    return max(eps, default=0.0) ** (2 / 3)


def compare(
    network: nn.Module | ExportedProgram, fun: Function, params: Params, example: Given
) -> Comparison:
    """Run a network in PyTorch and in JAX.

    Args:
        network: the original.
        fun: the same in JAX, `fun(params, *args, **kwargs)`, with its `program`.
        params: its parameters.
        example: as of `split_example`.

    Raises:
        DifferenceError: the outputs differ, and a node does on the same operands.
    """
    args, kwargs = split_example(example, network)
    theirs = map_leaves(_tensor, (list(args), kwargs))
    arguments = map_leaves(_array, theirs)
    got = jax.jit(lambda params: fun(params, *arguments[0], **arguments[1]))(params)
    program = fun.program(params, *arguments[0], **arguments[1])
    leaves: list[Leaf] = []
    map_leaves(leaves.append, theirs)
    if isinstance(network, nn.Module):
        with torch.no_grad():
            expected = export.plain(network(*theirs[0], **theirs[1]))
    else:  # its nodes alone, all of which the table knows: `module()` would run code of the file
        expected = map_leaves(run_nodes(network, program, leaves).get, program.output)
    found = compare_outputs(got, expected)
    if found.relative <= found.tolerance:
        return found
    if isinstance(network, nn.Module):
        network = export.export_module(network, *map_leaves(_spec, theirs))
    place = first_difference(network, program, leaves)
    apart = f"JAX and PyTorch differ by {found.largest:.3g} ({found.relative:.3g} relative)"
    if place is not None:
        raise DifferenceError(f"{apart}, which is not rounding. They part first at {place}")
    warnings.warn(
        f"{apart}, though every operation agrees on the same operands: rounding adds up in this "
        "network; compare again in float64",
        stacklevel=3,
    )
    return found


def first_difference(
    exported: ExportedProgram, program: Program, leaves: Sequence[Leaf]
) -> str | None:
    """Say which node differs first from PyTorch's on PyTorch's own operands; None if none does.

    Args:
        exported: the program in PyTorch.
        program: the same as data.
        leaves: of its arguments, tensors and Python values.
    """
    precision, nodes = Precision({}), {node.name: node for node in program.nodes}
    values: Values = {}
    found: list[str] = []

    def inspect(name: str, theirs: Tree) -> None:
        node = nodes.get(name)
        if node is not None and not found and _base(node.operation) not in EMPTY:
            step = compare_outputs(_plain(apply(node, values, precision)), _plain(theirs))
            if step.relative > step.tolerance:
                shown = fill([*node.args, dict(node.kwargs)], values, precision)
                found.append(
                    f"{describe(node)}, by {step.largest:.3g} on the same operands: "
                    f"{map_leaves(_brief, shown)}"
                )
        values[name] = map_leaves(_array, _plain(theirs))

    run_nodes(exported, program, leaves, inspect)
    return found[0] if found else None


def _base(operation: str) -> str:
    """The name of one of PyTorch's own operations without its overload."""
    return operation.removeprefix("aten.").split(".")[0]


def run_nodes(
    exported: ExportedProgram,
    program: Program,
    leaves: Sequence[Leaf],
    inspect: Callable[[str, Tree], None] = lambda name, value: None,
) -> dict[Ref | None, Tree]:
    """Run the nodes of a program in PyTorch.

    Args:
        exported: the program in PyTorch.
        program: the same as data.
        leaves: of its arguments, tensors and Python values.
        inspect: is called with the name and value of each input and node.

    Returns:
        What the program returns, by `Ref`; and None for None.
    """
    given, operands = iter(leaves), []
    for spec, entry in zip(exported.graph_signature.input_specs, program.inputs, strict=True):
        operands.append(next(given) if entry.kind == "argument" else export.held(exported, spec))
    wanted = set(refs(program.output))
    kept: dict[Ref | None, Tree] = {}

    class Walk(torch.fx.Interpreter):
        def get_attr(
            self, target: Target, args: tuple[Given, ...], kwargs: dict[str, Given]
        ) -> Tree:
            """Give a branch or the body of a loop as a function that runs its nodes alone."""
            found = super().get_attr(target, args, kwargs)
            is_body = isinstance(found, torch.fx.GraphModule)
            return torch.fx.Interpreter(found).run if is_body else found

        def run_node(self, n: torch.fx.Node) -> Tree:
            value = super().run_node(n)
            inspect(n.name, value)
            if n.name in wanted:
                kept[Ref(n.name)] = value
            return value

    with torch.no_grad():
        Walk(exported.graph_module).run(*operands)
    return kept


def _plain(value: Tree) -> Tree:
    return list(value) if isinstance(value, (list, tuple)) else value


def _tensor(leaf: Leaf) -> Leaf:
    if isinstance(leaf, torch.Tensor) or not hasattr(leaf, "dtype"):
        return leaf
    return export.as_tensor(leaf)


def _array(leaf: Leaf) -> Leaf:
    return jnp.asarray(export.as_array(leaf)) if isinstance(leaf, torch.Tensor) else leaf


def _spec(leaf: Leaf) -> Leaf:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return Spec(tuple(leaf.shape), export.as_dtype(leaf.dtype))


def _brief(value: Leaf) -> str:
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "shape") else repr(value)
