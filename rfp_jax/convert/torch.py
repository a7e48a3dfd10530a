"""`from_torch`: a PyTorch network as a function of JAX arrays and its parameters; and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._extras import needs_extra
from rfp_jax.convert.errors import ProgramError
from rfp_jax.convert.torch_cut import cut
from rfp_jax.convert.torch_graph import Precision, check_params, require_operations, run
from rfp_jax.convert.torch_program import Program, Spec, map_leaves

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from rfp_jax.convert.torch_check import Comparison

Params = dict[str, Any]
"""Parameters and buffers by their names in the state dict."""


@dataclass(frozen=True)
class Leaf:
    """A leaf of the arguments: an array and its shape and dtype, or a Python value twice."""

    value: Any
    described: Any


class Programs(Protocol):
    """Where the programs of a network come from."""

    def for_call(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Program, list[Leaf]]:
        """Return the program for arguments of these shapes, and their leaves in its order.

        Args:
            args: positional arguments: trees of `Leaf`s.
            kwargs: keyword arguments.
        """
        ...


class SavedPrograms:
    """One program, as it was saved."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def for_call(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Program, list[Leaf]]:
        """Return the program, if the arguments have its structure."""
        found: dict[int, Leaf] = {}
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


def _match(wanted: Any, given: Any, found: dict[int, Leaf]) -> bool:
    """Find what stands at each position of a program's arguments; False if the trees differ."""
    if isinstance(wanted, int):
        found[wanted] = given
        return isinstance(given, Leaf)
    if isinstance(wanted, dict):
        same = isinstance(given, Mapping) and set(given) == set(wanted)
        return same and all(_match(part, given[key], found) for key, part in wanted.items())
    same = isinstance(given, (list, tuple)) and len(given) == len(wanted)
    return same and all(map(_match, wanted, given, [found] * len(wanted)))


class ModulePrograms:
    """A module, exported once for each set of shapes."""

    def __init__(self, module: nn.Module, aliases: Mapping[str, str]) -> None:
        self.module, self.aliases = module, aliases
        self.cache: dict[str, Program] = {}

    def for_call(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Program, list[Leaf]]:
        """Export the module for these shapes, unless it has been."""
        from rfp_jax.convert.torch_export import export_module, read_program, require_evaluation

        require_evaluation(self.module)
        given = args, dict(sorted(kwargs.items()))
        described = map_leaves(lambda leaf: leaf.described, given)
        key = repr(described)
        if key not in self.cache:
            self.cache[key] = read_program(export_module(self.module, *described), self.aliases)
        leaves: list[Leaf] = []
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

    def __call__(self, params: Params, *args: Any, **kwargs: Any) -> Any:
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

    def source_values(self, params: Params, *args: Any, **kwargs: Any) -> tuple[jax.Array, ...]:
        """Compute the outputs of the submodules that are `sources`, by the module's arguments."""
        program, precision, leaves = self._prepare(params, args, kwargs)
        _, places = cut(program, self.sources)
        require_operations(program.needed(places))
        return tuple(run(program, precision, params, leaves, targets=places))

    def program(self, params: Params, *args: Any, **kwargs: Any) -> Program:
        """Return the program that runs for these arguments: what PyTorch exported, as data."""
        return self._prepare(params, args, kwargs)[0]

    def _prepare(
        self, params: Params, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Program, Precision, list[Any]]:
        """Find the program for a call, its precision, and the leaves of the arguments."""
        check_params(params, self.exported)
        dtypes = {name: spec.dtype for name, spec in self.exported.items()}
        precision = Precision.from_params(dtypes, params)

        def leaf(value: Any) -> Leaf:
            if not hasattr(value, "shape") or not hasattr(value, "dtype"):
                return Leaf(value, value)
            array = value if isinstance(value, jax.Array) else jnp.asarray(np.asarray(value))
            dtype = precision.exported(array.dtype)
            if dtype == jnp.int32 and not jax.config.jax_enable_x64:
                dtype = np.dtype("int64")  # JAX has no other; PyTorch's indices are 64 bits wide
            return Leaf(array, Spec(array.shape, dtype))

        program, leaves = self.programs.for_call(*map_leaves(leaf, (args, dict(kwargs))))
        return program, precision, [leaf.value for leaf in leaves]


def from_torch(
    network: nn.Module | ExportedProgram | str | Path,
    *,
    sources: str | Sequence[str] = (),
    check: Any = None,
) -> tuple[TorchFunction, Params]:
    """Take a PyTorch network over, unmodified.

    The module is exported by `torch.export` when the function is called or traced, once for each
    set of shapes and dtypes, so batch sizes are free. A saved program has the shapes that it was
    exported with. The program is walked with a table of operations written with JAX.

    Args:
        network: a module in evaluation mode; an exported program, or the `.pt2` file of one.
        sources: path of a submodule, or several: their outputs become arguments of the function,
            after `params`. So an embedding becomes a source, where token ids cannot be one.
        check: an example to compare with PyTorch: a tuple of arguments, or a mapping of keyword
            arguments, of arrays or tensors; `True` takes the example saved in a program.

    Returns:
        `(fun, params)`, where `fun(params, *args, **kwargs)` computes what the module computes.
        `params` maps names of the state dict to arrays, floating-point parameters and buffers; a
        tied one stands once, under its first name, and integer buffers are part of the program.
        Cast, shard, train and save it like any tree of arrays; `to_torch` writes it back.

    Raises:
        ValueError: the module is in training mode.
        ProgramError: the file is not an exported program.
        DifferenceError: `check` found a difference that is not rounding; it names the first node.
        ModuleNotFoundError: PyTorch is not installed (extra `convert`).

    Examples:
        >>> import torch, rfp_jax
        >>> import numpy as np
        >>> class Fusion(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.optical, self.sar = torch.nn.Linear(3, 4), torch.nn.Linear(2, 4)
        ...         self.head = torch.nn.Linear(4, 5)
        ...     def forward(self, optical, sar):
        ...         return self.head(torch.relu(self.optical(optical) + self.sar(sar)))
        >>> fun, params = from_torch(Fusion().eval())
        >>> sorted(params)[:2], params["head.weight"].shape
        (['head.bias', 'head.weight'], (5, 4))
        >>> optical, sar = np.ones((7, 3), "float32"), np.ones((7, 2), "float32")
        >>> rel = jax.jit(rfp_jax.relevance(fun, argnums=(1, 2)))(params, optical, sar)
        >>> rel.sources[1].shape
        (7, 5)
    """
    paths = (sources,) if isinstance(sources, str) else tuple(sources)
    fun, arrays, original = read_network(network, paths)
    params = {name: jnp.asarray(array) for name, array in arrays.items()}
    if check is not None and check is not False:
        from rfp_jax.convert.torch_check import compare

        fun.compared = compare(original, TorchFunction(fun.programs, fun.exported), params, check)
    return fun, params


def read_network(
    network: nn.Module | ExportedProgram | str | Path, sources: Sequence[str] = ()
) -> tuple[TorchFunction, dict[str, np.ndarray], nn.Module | ExportedProgram]:
    """Read a network: the function, its parameters in PyTorch's dtypes, the module or program."""
    with needs_extra("Reading a PyTorch network", "convert"):
        import torch

        from rfp_jax.convert import torch_export as export

    if isinstance(network, torch.nn.Module):
        export.require_evaluation(network)
        unknown = sorted(set(sources) - {name for name, _ in network.named_modules()})
        if unknown:
            raise ValueError(f"the module has no submodule {unknown[0]!r}: see named_modules()")
        tensors, aliases = export.module_arrays(network)
        programs: Programs = ModulePrograms(network, aliases)
    else:
        if isinstance(network, (str, Path)):
            from rfp_jax.convert.torch_archive import read_file

            network = read_file(network)
        tensors, aliases = export.program_arrays(network)
        programs = SavedPrograms(export.read_program(network, aliases))
    arrays = {name: export.as_array(tensor) for name, tensor in tensors.items()}
    specs = {name: Spec(array.shape, array.dtype) for name, array in arrays.items()}
    return TorchFunction(programs, specs, sources), arrays, network


def to_torch(params: Mapping[str, Any], module: nn.Module) -> None:
    """Write parameters back into the module that they came from.

    Args:
        params: as `from_torch` returned them, trained or not; cast ones are cast back.
        module: the module; its parameters and buffers are overwritten, tied ones at once.

    Raises:
        ProgramError: the parameters are not those of the module; then none is written.

    Examples:
        >>> import torch
        >>> module = torch.nn.Linear(2, 1).eval()
        >>> fun, params = from_torch(module)
        >>> to_torch(jax.tree.map(jnp.zeros_like, params), module)
        >>> module.weight.tolist()
        [[0.0, 0.0]]
    """
    with needs_extra("Writing into a PyTorch module", "convert"):
        import torch

        from rfp_jax.convert import torch_export as export

    tensors, _ = export.module_arrays(module)
    specs = {name: Spec(tuple(t.shape), export.as_dtype(t.dtype)) for name, t in tensors.items()}
    check_params(params, specs)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(export.as_tensor(params[name]))
