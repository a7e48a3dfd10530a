"""`from_torch`: a PyTorch network as a function of JAX arrays and its parameters; and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.trees import Given
from rfp_jax.convert._torch_cut import cut
from rfp_jax.convert._torch_function import (
    ModulePrograms,
    Programs,
    SavedPrograms,
    TorchFunction,
)
from rfp_jax.convert._torch_graph import check_params
from rfp_jax.convert._torch_program import Params

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram


def from_torch(
    network: nn.Module | ExportedProgram | str | Path,
    *,
    sources: str | Sequence[str] = (),
    check: Given = None,
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
        ValueError: the module is in training mode, or has no such submodule.
        ProgramError: the file is not an exported program, or a source of it is not one array of a
            submodule.
        DifferenceError: `check` found a difference that is not rounding; it names the first node.
        ModuleNotFoundError: PyTorch is not installed (extra `convert`).

    Examples:
        >>> import jax, torch, rfp_jax
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
        >>> rel = rfp_jax.jit(rfp_jax.relevance(fun, argnums=(1, 2)))(params, optical, sar)
        >>> rel.sources[1].shape
        (7, 5)
    """
    fun, arrays, original = read_network(network, as_paths(sources))
    params = {name: jnp.asarray(array) for name, array in arrays.items()}
    if check is not None and check is not False:
        from rfp_jax.convert._torch_check import compare

        fun.compared = compare(original, TorchFunction(fun.programs, fun.exported), params, check)
    return fun, params


def as_paths(sources: str | Sequence[str]) -> tuple[str, ...]:
    """Return the paths of the submodules that are sources, of one or of several."""
    return (sources,) if isinstance(sources, str) else tuple(sources)


def read_network(
    network: nn.Module | ExportedProgram | str | Path, sources: Sequence[str] = ()
) -> tuple[TorchFunction, dict[str, np.ndarray], nn.Module | ExportedProgram]:
    """Read a network: the function, its parameters in PyTorch's dtypes, the module or program."""
    with needs_extra("Reading a PyTorch network", "convert"):
        import torch

        from rfp_jax.convert import _torch_export as export
        from rfp_jax.convert._torch_reader import read_program

    if isinstance(network, torch.nn.Module):
        export.require_evaluation(network)
        unknown = sorted(set(sources) - {name for name, _ in network.named_modules()})
        if unknown:
            raise ValueError(f"the module has no submodule {unknown[0]!r}: see named_modules()")
        tensors, aliases = export.module_arrays(network)
    else:
        if isinstance(network, (str, Path)):
            from rfp_jax.convert._torch_archive import read_file

            network = read_file(network)
        network = export.decompose(network)
        tensors, aliases = export.program_arrays(network)
    arrays = {name: export.as_array(tensor) for name, tensor in tensors.items()}
    specs = export.specs_of(tensors)
    programs: Programs
    if isinstance(network, torch.nn.Module):
        programs = ModulePrograms(network, aliases, specs)
    else:
        program = read_program(network, aliases)
        cut(program, sources)  # what cannot be cut is refused before anything is written or run
        programs = SavedPrograms(program)
    return TorchFunction(programs, specs, sources), arrays, network


def to_torch(params: Mapping[str, Given], module: nn.Module) -> None:
    """Write parameters back into the module that they came from.

    Args:
        params: as `from_torch` returned them, trained or not; cast ones are cast back.
        module: the module; its parameters and buffers are overwritten, tied ones at once.

    Raises:
        ProgramError: the parameters are not those of the module; then none is written.

    Examples:
        >>> import jax, torch
        >>> module = torch.nn.Linear(2, 1).eval()
        >>> fun, params = from_torch(module)
        >>> to_torch(jax.tree.map(jnp.zeros_like, params), module)
        >>> module.weight.tolist()
        [[0.0, 0.0]]
    """
    with needs_extra("Writing into a PyTorch module", "convert"):
        import torch

        from rfp_jax.convert import _torch_export as export

    tensors, _ = export.module_arrays(module)
    check_params(params, export.specs_of(tensors))
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(export.as_tensor(params[name]))
