"""Converted ONNX networks on disk: a folder that `rfp_jax.convert.load` reads.

manifest.json   format, versions, inputs and outputs, how the file is to be read
network.onnx    the file itself, beside its external data
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import new_folder
from rfp_jax._util.trees import Json
from rfp_jax.convert._errors import DifferenceError

if TYPE_CHECKING:
    from rfp_jax.convert._onnx import OnnxFunction, Params
    from rfp_jax.convert._onnx_program import TensorType

FORMAT = "rfp-jax onnx network 1"
MANIFEST = "manifest.json"
_NETWORK = "network.onnx"
_EXAMPLE_BATCH = 2


def convert_onnx(
    path: str | Path,
    directory: str | Path,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    dtype: str | None = None,
    check: bool = False,
    example: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Json]:
    """Convert an ONNX file to a folder for `load`.

    Args:
        path: the `.onnx` file; external data lies in its folder.
        directory: the folder to write; it must not exist, and appears complete or not at all.
        inputs: names of the tensors that become arguments, as for `from_onnx`.
        outputs: names of the tensors that are returned, likewise.
        dtype: the precision of all floating-point numbers, likewise.
        check: whether to compare with the runtime (`check_onnx`): on the example, or else on a
            batch of two random samples, where the model takes numbers of fixed sizes.
        example: an array for each of the model's inputs, by name.

    Returns:
        The manifest, as written. Its `checked` says what was compared, or why nothing was.

    Raises:
        FileExistsError: the folder exists.
        OnnxFileError, UnsupportedOnnxError, ValueError, TypeError: as `from_onnx`.
        DifferenceError: JAX and the runtime differ by more than rounding; names the first node.
        ModuleNotFoundError: the `convert` extra is not installed.

    Examples:
        >>> import tempfile, onnx.parser
        >>> from rfp_jax.convert import load
        >>> model = onnx.parser.parse_model('''
        ...     <ir_version: 8, opset_import: ["" : 17]>
        ...     small (float[n, 2] x) => (float[n, 2] y) { y = Softmax(x) }''')
        >>> folder = tempfile.mkdtemp()
        >>> onnx.save(model, f"{folder}/small.onnx")
        >>> manifest = convert_onnx(f"{folder}/small.onnx", f"{folder}/network", check=True)
        >>> fun, params = load(f"{folder}/network")
        >>> fun(params, np.zeros((1, 2), "float32")).tolist()
        [[0.5, 0.5]]
    """
    with needs_extra("Converting an ONNX file", "convert"):
        from rfp_jax.convert._onnx import from_onnx
        from rfp_jax.convert._onnx_file import external_files, read_model

    path = Path(path)
    options = {"inputs": _listed(inputs), "outputs": _listed(outputs), "dtype": dtype}
    fun, params = from_onnx(path, **options)
    found = _compared(path, fun, options, example) if check else "not asked for"
    with new_folder(Path(directory)) as folder:
        for location, file in external_files(read_model(path), path).items():
            place = folder / location
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
        shutil.copyfile(path, folder / _NETWORK)
        manifest = {
            "format": FORMAT,
            "source": path.name,
            "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "options": options,
            "inputs": {entry.name: str(entry) for entry in fun.inputs},
            "outputs": {entry.name: str(entry) for entry in fun.outputs},
            "params": {
                name: {"shape": list(array.shape), "dtype": str(array.dtype)}
                for name, array in params.items()
            },
            "checked": found,
            "versions": {name: version(name) for name in ("jax", "onnx")},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def read_onnx_network(directory: Path, manifest: Mapping[str, Json]) -> tuple[OnnxFunction, Params]:
    """Read a folder that `convert_onnx` wrote."""
    with needs_extra("Loading a converted ONNX network", "convert"):
        from rfp_jax.convert._onnx import from_onnx

    given = manifest["options"]
    options = {name: given[name] for name in ("inputs", "outputs", "dtype")}
    return from_onnx(directory / _NETWORK, **options)


def _listed(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)


def _compared(
    path: Path,
    fun: OnnxFunction,
    options: Mapping[str, Json],
    example: Mapping[str, np.ndarray] | None,
) -> str:
    """Compare with the runtime, and say in one line what came of it."""
    from rfp_jax.convert._onnx_check import check_onnx

    if options["inputs"] or options["outputs"]:
        return "no: a part of the network was taken, which the runtime cannot compute by itself"
    names = [entry.name for entry in fun.inputs]
    if example is not None:
        if missing := [name for name in names if name not in example]:
            raise ValueError(f"the example lacks {missing}; it has {sorted(example)}")
        arrays = [np.asarray(example[name]) for name in names]
    elif open_ := [str(entry) for entry in fun.inputs if not _can_be_drawn(entry)]:
        return f"no: give an example, since nothing says what fits {'; '.join(open_)}"
    else:
        generator = np.random.default_rng(0)
        arrays = [_drawn(entry, generator) for entry in fun.inputs]
    found = check_onnx(path, *arrays, dtype=options["dtype"])
    if not found.passed:
        raise DifferenceError(f"{path}: {found} Nothing was written.")
    return f"{found} On {'the example' if example is not None else 'random numbers'}."


def _can_be_drawn(entry: TensorType) -> bool:
    """Return whether random numbers fit an input: floats, all sizes but the batch told."""
    return (
        entry.dtype is not None
        and np.issubdtype(entry.dtype, np.floating)
        and entry.shape is not None
        and all(isinstance(size, int) for size in entry.shape[1:])
    )


def _drawn(entry: TensorType, generator: np.random.Generator) -> np.ndarray:
    assert entry.shape is not None  # it can be drawn
    assert entry.dtype is not None
    shape = [size if isinstance(size, int) else _EXAMPLE_BATCH for size in entry.shape]
    return generator.normal(size=shape).astype(jax.dtypes.canonicalize_dtype(entry.dtype))
