"""A PyTorch network as a function of JAX arrays, and the programs behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given, Tree
from rfp_jax.convert._errors import ProgramError
from rfp_jax.convert._torch_cut import cut
from rfp_jax.convert._torch_graph import Precision, check_params, require_operations, run
from rfp_jax.convert._torch_program import Params, Program, Spec, map_leaves

if TYPE_CHECKING:
    from torch import nn

    from rfp_jax.convert._torch_check import Comparison


@dataclass(frozen=True)
class ArgumentLeaf:
    """A leaf of the arguments: an array and its shape and dtype, or a Python value twice."""

    value: Given
    described: object


class Programs(Protocol):
    """The origin of the programs of a network."""

    def for_call(
        self, args: Sequence[Tree], kwargs: Mapping[str, Tree]
    ) -> tuple[Program, list[ArgumentLeaf]]:
        """Return the program for arguments of these shapes, and their leaves in its order.

        Args:
            args: positional arguments: trees of `ArgumentLeaf`s.
            kwargs: keyword arguments.
        """
        ...


class SavedPrograms:
    """One program, as it was saved."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def for_call(
        self, args: Sequence[Tree], kwargs: Mapping[str, Tree]
    ) -> tuple[Program, list[ArgumentLeaf]]:
        """Return the program, if the arguments have its structure."""
        found: dict[int, ArgumentLeaf] = {}
        names = {
            entry.key: f"{entry.name}: {entry.spec or 'a Python value'}"
            for entry in self.program.inputs
            if entry.kind == "argument"
        }
        if not _match(self.program.arguments, (args, kwargs), found):
            positional, keyword = map_leaves(names.get, self.program.arguments)
            given = map_leaves(lambda leaf: str(leaf.described), (args, kwargs))
            raise ProgramError(
                f"the program takes the positional arguments {positional} and the keywords "
                f"{keyword}, as it was exported with; these were given: {given[0]} and {given[1]}"
            )
        for entry in self.program.inputs:
            if entry.kind == "argument" and entry.spec is not None:
                given = found[int(entry.key)].described
                if not isinstance(given, Spec):
                    raise ProgramError(f"'{entry.name}' has to be an array {entry.spec}: {given!r}")
        return self.program, [found[place] for place in range(len(found))]


def _match(wanted: Tree, given: Tree, found: dict[int, ArgumentLeaf]) -> bool:
    """Find what stands at each position of a program's arguments; False if the trees differ."""
    if isinstance(wanted, int):
        found[wanted] = given
        return isinstance(given, ArgumentLeaf)
    if isinstance(wanted, dict):
        same = isinstance(given, Mapping) and set(given) == set(wanted)
        return same and all(_match(part, given[key], found) for key, part in wanted.items())
    same = isinstance(given, (list, tuple)) and len(given) == len(wanted)
    return same and all(map(_match, wanted, given, [found] * len(wanted)))


class ModulePrograms:
    """A module, exported once for each set of shapes.

    Attributes:
        module: the module; its weights are not read when it is exported.
        aliases: name of each of its parameters -> name in the tree of parameters.
        exported: shape and dtype of each parameter when it was taken over.
        cache: the programs.
    """

    def __init__(
        self, module: nn.Module, aliases: Mapping[str, str], exported: Mapping[str, Spec]
    ) -> None:
        self.module, self.aliases, self.exported = module, aliases, exported
        self.cache: dict[str, Program] = {}

    def for_call(
        self, args: Sequence[Tree], kwargs: Mapping[str, Tree]
    ) -> tuple[Program, list[ArgumentLeaf]]:
        """Export the module for these shapes, unless it has been."""
        from rfp_jax.convert import _torch_export as export
        from rfp_jax.convert._torch_reader import read_program

        given = args, dict(sorted(kwargs.items()))
        described = map_leaves(lambda leaf: leaf.described, given)
        key = repr(described)
        if key not in self.cache:
            export.require_evaluation(self.module)
            export.require_unchanged(self.module, self.exported)
            exported = export.export_module(self.module, *described)
            self.cache[key] = read_program(exported, self.aliases)
        leaves: list[ArgumentLeaf] = []
        map_leaves(leaves.append, given)
        return self.cache[key], leaves


class TorchFunction:
    """A PyTorch network as a function of JAX arrays: `fun(params, *args, **kwargs)`.

    Pure, for `jax.jit`, `jax.grad` and `rfp_jax.relevance` like any other. Arguments are those of
    the module's forward, arrays where it takes tensors; Python values are fixed when it is traced.
    With `sources`, the outputs of these submodules come after `params`, before the arguments.

    Attributes:
        programs: where the programs come from.
        exported: shape and dtype of each parameter in PyTorch.
        sources: paths of the submodules whose outputs are arguments.
        compared: how far the outputs were from PyTorch's, if that was checked.
    """

    def __init__(
        self,
        programs: Programs,
        exported: Mapping[str, Spec],
        sources: Sequence[str] = (),
    ) -> None:
        self.programs, self.exported, self.sources = programs, dict(exported), tuple(sources)
        self.compared: Comparison | None = None
        self.__name__ = "network"

    def __call__(self, params: Params, *args: Given, **kwargs: Given) -> Tree:
        """Compute the network's output.

        Args:
            params: its parameters; cast, all of them alike, the network computes in their dtype.
            args: values of `sources` first, if there are any; then the module's arguments.
            kwargs: keyword arguments of the module.

        Returns:
            What the module returns: arrays in tuples, lists and dicts; a dataclass is a dict.

        Raises:
            ExportError: PyTorch cannot export the module.
            MissingOperationError: operations are not in the table; all of them are listed.
            ProgramError: parameters or arguments do not fit.
        """
        values, args = args[: len(self.sources)], args[len(self.sources) :]
        if len(values) < len(self.sources):
            raise ProgramError(
                f"after the parameters come the outputs of {', '.join(self.sources)}, then the "
                "module's arguments; fun.source_values(params, *args) computes them"
            )
        program, precision, leaves = self._prepare(params, args, kwargs)
        program, _ = cut(program, self.sources)
        require_operations(program.needed())
        return run(program, precision, params, leaves, [jnp.asarray(value) for value in values])

    def source_values(self, params: Params, *args: Given, **kwargs: Given) -> tuple[jax.Array, ...]:
        """Compute the outputs of the submodules that are `sources`, by the module's arguments."""
        program, precision, leaves = self._prepare(params, args, kwargs)
        _, places = cut(program, self.sources)
        require_operations(program.needed(places))
        return tuple(run(program, precision, params, leaves, targets=places))

    def program(self, params: Params, *args: Given, **kwargs: Given) -> Program:
        """Return the program that runs for these arguments: what PyTorch exported, as data."""
        return self._prepare(params, args, kwargs)[0]

    def _prepare(
        self, params: Params, args: Sequence[Tree], kwargs: Mapping[str, Tree]
    ) -> tuple[Program, Precision, list[Given]]:
        """Find the program for a call, its precision, and the leaves of the arguments."""
        check_params(params, self.exported)
        dtypes = {name: spec.dtype for name, spec in self.exported.items()}
        precision = Precision.from_params(dtypes, params)

        def leaf(value: Given) -> ArgumentLeaf:
            if not hasattr(value, "shape") or not hasattr(value, "dtype"):
                return ArgumentLeaf(value, value)
            array = value if isinstance(value, jax.Array) else jnp.asarray(np.asarray(value))
            dtype = precision.exported(array.dtype)
            widest = jax.dtypes.canonicalize_dtype(np.int64)
            if dtype == widest:  # without jax_enable_x64 int32, but PyTorch's indices have 64 bits
                dtype = np.dtype("int64")
            return ArgumentLeaf(array, Spec(array.shape, dtype))

        program, leaves = self.programs.for_call(*map_leaves(leaf, (args, dict(kwargs))))
        return program, precision, [leaf.value for leaf in leaves]
