"""Run a program of PyTorch as a function of JAX arrays: one walk over its nodes with the table.

require_operations(nodes)  operations that the table lacks, before anything runs
Precision                  in which dtypes it runs, by the dtypes of the parameters given
run(program, ...)          the walk; the shape of every node is compared with PyTorch's
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax._util.trees import Given, Tree
from rfp_jax.convert import _aten
from rfp_jax.convert._errors import (
    ConversionError,
    MissingOperationError,
    OperationError,
    ProgramError,
)
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

Values = dict[str, Tree]
"""Values of inputs and nodes, by their names: arrays, trees of them, Python values."""

_UNKNOWN = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
"""The errors of JAX where a size or a choice depends on numbers that it does not know yet."""


def require_operations(nodes: Iterable[Node]) -> None:
    """Raise `MissingOperationError` if the table lacks an operation of these nodes."""
    missing: dict[str, list[str]] = {}
    waiting = list(nodes)
    for node in waiting:
        if _aten.find(node.operation) is None:
            missing.setdefault(node.operation, []).append(node.module)
        waiting.extend(inner for body in node.bodies() for inner in body.nodes)
    if missing:
        raise MissingOperationError(missing)


@dataclass(frozen=True)
class Precision:
    """The dtype that takes the place of each dtype of a program, by those of its parameters.

    Cast parameters cast the whole program: one exported in float32 runs in float64 or bfloat16 if
    its parameters are. Without `jax_enable_x64`, 64-bit dtypes are 32-bit ones, as always in JAX.

    Attributes:
        dtypes: dtype of exported parameters -> dtype of those given, where it is another one.
    """

    dtypes: Mapping[np.dtype, np.dtype]

    @classmethod
    def from_params(
        cls, exported: Mapping[str, np.dtype], params: Mapping[str, jax.typing.ArrayLike]
    ) -> Precision:
        """Compare the dtypes of all parameters with those at export.

        Raises:
            ProgramError: parameters of one dtype were cast to several.
        """
        dtypes: dict[np.dtype, np.dtype] = {}
        first: dict[np.dtype, str] = {}
        for key, dtype in exported.items():
            given = jnp.result_type(params[key])
            first.setdefault(dtype, key)
            if dtypes.setdefault(dtype, given) != given:
                raise ProgramError(
                    f"parameters were cast to different dtypes: '{first[dtype]}' is "
                    f"{dtypes[dtype]} and '{key}' is {given}; both were {dtype}. Cast all alike: "
                    "params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)"
                )
        return cls({dtype: given for dtype, given in dtypes.items() if given != dtype})

    def __call__(self, dtype: np.dtype) -> np.dtype:
        """Return the dtype that stands for one of the program."""
        return jax.dtypes.canonicalize_dtype(self.dtypes.get(dtype, dtype))

    def exported(self, dtype: np.dtype) -> np.dtype:
        """Return the dtype of the program that a dtype of the call stands for."""
        return next((ours for ours, given in self.dtypes.items() if given == dtype), dtype)


def check_params(params: Mapping[str, Given], expected: Mapping[str, Spec]) -> None:
    """Raise `ProgramError` if a parameter is missing, unknown, or has another shape."""
    missing = sorted(set(expected) - set(params))
    unknown = sorted(set(params) - set(expected))
    misshapen = [
        f"{key} has shape {np.shape(params[key])}, not {spec.shape}"
        for key, spec in expected.items()
        if key in params and not spec.fits(np.shape(params[key]))
    ]
    problems = [f"'{key}' is missing" for key in missing]
    problems += [f"'{key}' is not known" for key in unknown] + misshapen
    if problems:
        rest = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ProgramError(
            f"these are not the network's parameters: {'; '.join(problems[:5])}{rest}. Pass the "
            "dict that came with the function as its first argument"
        )


def run(
    program: Program,
    precision: Precision,
    params: Mapping[str, Given],
    arguments: Sequence[Given] = (),
    sources: Sequence[Given] = (),
    *,
    targets: Argument | None = None,
) -> Tree:
    """Compute a program's output.

    Args:
        program: the program.
        precision: in which dtypes.
        params: its parameters by key.
        arguments: leaves of the arguments, by position.
        sources: values of the cut submodules' outputs, by position.
        targets: what to compute instead of the output: a tree with `Ref`s.

    Returns:
        The output's tree, with arrays in it.
    """
    targets = program.output if targets is None else targets
    held: dict[str, Mapping[Any, Given]] = {  # Any: a name or a position
        "parameter": params,
        "constant": program.constants,
        "argument": dict(enumerate(arguments)),
        "source": dict(enumerate(sources)),
    }
    values: Values = {
        entry.name: enter(entry, held[entry.kind][entry.key], precision)
        for entry in program.inputs
        if entry.key in held[entry.kind]
    }
    return walk(program.needed(targets), values, targets, precision)


def walk(nodes: Iterable[Node], values: Values, targets: Argument, precision: Precision) -> Tree:
    """Run nodes one after the other, and return the values of targets."""
    for node in nodes:
        values[node.name] = apply(node, values, precision)
    return fill(targets, values, precision)


def enter(entry: Input, value: Given, precision: Precision) -> Given:
    """Check what enters a program against what it was exported with, and bring it to its dtype."""
    if entry.spec is None:
        return value
    array = value if isinstance(value, jax.Array) else jnp.asarray(value)
    number, whole = jnp.issubdtype(array.dtype, jnp.inexact), jnp.integer
    if not entry.spec.fits(array.shape) or (number and jnp.issubdtype(entry.spec.dtype, whole)):
        raise ProgramError(
            f"'{entry.name}' is {array.dtype}{list(array.shape)}, but the program takes "
            f"{entry.spec}. A program has the shapes that it was exported with: "
            "torch.export.export(..., dynamic_shapes=...) leaves sizes free"
        )
    return lax.convert_element_type(array, precision(entry.spec.dtype))


def fill(tree: Argument, values: Values, precision: Precision) -> Tree:
    """Replace what a tree refers to by its value, dtypes by those that stand for them.

    Bodies of branches and loops become functions.
    """

    def leaf(argument: Argument) -> Tree:
        match argument:
            case Ref(name):
                return values[name]
            case np.dtype():
                return precision(argument)
            case Body(inputs, nodes, output):
                return lambda *given: walk(
                    nodes, dict(zip(inputs, given, strict=True)), output, precision
                )
        return argument

    return map_leaves(leaf, tree)


def apply(node: Node, values: Values, precision: Precision) -> Tree:
    """Run one node; its result has the shapes and dtypes that PyTorch found."""
    operation: Callable[..., Tree] | None = _aten.find(node.operation)
    if operation is None:
        raise MissingOperationError({node.operation: [node.module]})
    args = fill(node.args, values, precision)
    kwargs = fill(dict(node.kwargs), values, precision)
    try:
        with jax.named_scope(node.module or "network"):
            result = operation(*args, **kwargs)
            if isinstance(node.result, tuple):
                return tuple(
                    _checked(node, array, spec, precision)
                    for array, spec in zip(result, node.result, strict=True)
                )
            return _checked(node, result, node.result, precision)
    except ConversionError:
        raise
    except _UNKNOWN as error:
        raise OperationError(
            f"{describe(node)} needs numbers that are known only when the network runs: how large "
            "its result is, or which of its entries are taken. A program has the same sizes for "
            "all values: write torch.where(mask, x, 0) instead of x[mask], and masks instead of "
            "nonzero, or sizes that are Python's own numbers"
        ) from error
    except Exception as error:
        error.add_note(f"in {describe(node)}")
        raise


def describe(node: Node) -> str:
    """Say which node of which submodule this is."""
    return f"{node.operation}, node '{node.name}' of submodule '{node.module or '(root)'}'"


def _checked(node: Node, array: Tree, spec: Spec | None, precision: Precision) -> Tree:
    if spec is None or array is None:
        return array
    if not spec.fits(np.shape(array)):
        raise OperationError(
            f"{describe(node)} returned an array of shape {np.shape(array)}; PyTorch's has "
            f"{spec.shape}. If the operation is your own, correct it; otherwise please report it"
        )
    return lax.convert_element_type(array, precision(spec.dtype))
