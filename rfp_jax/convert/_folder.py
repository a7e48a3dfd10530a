"""Converted networks on disk: folders of every kind that `load` reads, without PyTorch.

That of a program of PyTorch is written here:

manifest.json   format, versions, which submodules are sources, the parameters' names, shapes and
                dtypes in PyTorch
program.json    the program: its nodes, as plain data
arrays/         parameters and constants (Orbax)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import new_folder
from rfp_jax._util.trees import Json, Tree
from rfp_jax.convert._errors import ProgramError
from rfp_jax.convert._onnx_folder import FORMAT as ONNX_FORMAT
from rfp_jax.convert._onnx_folder import read_onnx_network
from rfp_jax.convert._torch_function import SavedPrograms, TorchFunction
from rfp_jax.convert._torch_graph import require_operations
from rfp_jax.convert._torch_network import as_paths, read_network
from rfp_jax.convert._torch_program import Params, Spec, from_json, to_json

if TYPE_CHECKING:
    from rfp_jax.convert._onnx import OnnxFunction

_MANIFEST, _PROGRAM, _ARRAYS = "manifest.json", "program.json", "arrays"
_FORMAT = "rfp-jax torch program 1"
_CHECKPOINT = "checkpoint"
"""The kind of the folders whose manifests name an architecture and no format."""


def convert_program(
    path: str | Path,
    directory: str | Path,
    *,
    sources: str | Sequence[str] = (),
    check: bool = False,
) -> dict[str, Json]:
    """Convert a program that `torch.export.save` wrote to a folder for `load`.

    Args:
        path: the `.pt2` file.
        directory: the folder to write; it must not exist, and appears complete or not at all.
        sources: path of a submodule, or several, whose outputs become arguments of the function
            that `load` returns, as for `from_torch`.
        check: whether to compare JAX and PyTorch on the example that is saved in the program.

    Returns:
        The manifest, as written.

    Raises:
        FileExistsError: the folder exists.
        ProgramError: the file is not a program, or a source is not one array of a submodule.
        MissingOperationError: operations are not in the table; all of them are listed.
        DifferenceError: JAX and PyTorch differ by more than rounding.
        ModuleNotFoundError: the `convert` extra is not installed.

    Examples:
        >>> import tempfile, torch
        >>> module, example = torch.nn.Linear(3, 2).eval(), torch.ones(1, 3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.export.save(torch.export.export(module, (example,)), f"{folder}/n.pt2")
        ...     manifest = convert_program(f"{folder}/n.pt2", f"{folder}/network", check=True)
        ...     fun, params = load(f"{folder}/network")
        >>> fun(params, np.ones((1, 3), "float32")).shape
        (1, 2)
    """
    with needs_extra("Converting a program", "convert"):
        from orbax.checkpoint import v1 as ocp

    path = Path(path)
    with new_folder(Path(directory)) as folder:
        fun, params, original = read_network(path, as_paths(sources))
        assert isinstance(fun.programs, SavedPrograms)
        program = fun.programs.program
        require_operations(program.needed())
        found = None
        if check:
            from rfp_jax.convert._torch_check import compare

            whole = TorchFunction(fun.programs, fun.exported)
            found = compare(original, whole, jax.tree.map(jnp.asarray, params), True)
        manifest = {
            "format": _FORMAT,
            "source": path.name,
            "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "options": {"sources": list(fun.sources)},
            "inputs": {
                entry.name: str(entry.spec)
                for entry in program.inputs
                if entry.kind == "argument" and entry.spec is not None
            },
            "params": {
                name: {"shape": list(spec.shape), "dtype": str(spec.dtype)}
                for name, spec in fun.exported.items()
            },
            "largest_difference": found and found.largest,
            "relative_difference": found and found.relative,
            "versions": {name: version(name) for name in ("jax", "orbax-checkpoint", "torch")},
        }
        arrays = {"params": params, "constants": dict(program.constants)}
        arrays = {kind: held for kind, held in arrays.items() if held}
        if arrays:
            ocp.save(str((folder / _ARRAYS).absolute()), arrays)
        (folder / _PROGRAM).write_text(json.dumps(to_json(program)))
        (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def load(
    directory: str | Path,
) -> tuple[TorchFunction | OnnxFunction | Callable[..., Tree], Params]:
    """Load a network that `rfp-jax convert NETWORK OUT_DIR` wrote. PyTorch is not needed.

    Args:
        directory: the folder.

    Returns:
        `(fun, params)`: of programs and ONNX files as `from_torch` or `from_onnx` returned them, of
        checkpoints the `apply` of a Flax model and its variables. That takes its inputs channels
        last, as `rfp_jax.convert.flax.load` says.

    Raises:
        ConversionError: the folder is not one that the command wrote; a `ProgramError` unless it is
            a checkpoint's.
        ModuleNotFoundError: Orbax is not installed (extra `convert`).
    """
    directory = Path(directory)
    try:
        manifest = json.loads((directory / _MANIFEST).read_text())
        form = manifest.get("format", _CHECKPOINT if "architecture" in manifest else None)
        if form not in _READERS:
            raise ValueError(f"its format is {form!r}, not of {sorted(_READERS)}")
        fun, params = _READERS[form](directory, manifest)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProgramError(
            f"{directory} is not a folder that `rfp-jax convert NETWORK` wrote: {error}"
        ) from error
    return fun, jax.tree.map(jnp.asarray, params)


def _read_torch_program(
    directory: Path, manifest: Mapping[str, Json]
) -> tuple[TorchFunction, dict[str, np.ndarray]]:
    with needs_extra("Loading a converted network", "convert"):
        from orbax.checkpoint import v1 as ocp

    content = json.loads((directory / _PROGRAM).read_text())
    place = directory.absolute() / _ARRAYS
    arrays = ocp.load(str(place)) if place.exists() else {}
    specs = {
        name: Spec(tuple(entry["shape"]), jnp.dtype(entry["dtype"]))
        for name, entry in manifest["params"].items()
    }
    program = from_json(content, arrays.get("constants", {}))
    sources = manifest.get("options", {}).get("sources", ())  # none in older folders
    fun = TorchFunction(SavedPrograms(program), specs, sources)
    return fun, arrays.get("params", {})


def _read_checkpoint(
    directory: Path, _: Mapping[str, Json]
) -> tuple[Callable[..., Tree], dict[str, Tree]]:
    with needs_extra("Loading a converted checkpoint", "convert"):
        from rfp_jax.convert.flax import _store

    found = _store.load(directory)
    return found.model.apply, found.variables


_READERS = {
    _FORMAT: _read_torch_program,
    ONNX_FORMAT: read_onnx_network,
    _CHECKPOINT: _read_checkpoint,
}
"""The readers of a folder, by the format in its manifest."""
