"""The relevance-carrying model in one file for CPU, CUDA and TPU, and a loader that needs only JAX.

The file is an uncompressed zip archive of three kinds of entries:

    manifest.json      names, shapes and dtypes, versions
    program            the compiled-ahead function, StableHLO serialized by `jax.export`
    params/0, 1, ...   the parameters, raw little-endian bytes

Nothing in it is a pickle, and nothing is unpacked to the disk. `load` uses neither the model's code
nor the rest of this package: this file alone, beside JAX (with `flatbuffers`, which `jax.export`
reads programs with), is enough to run an exported model.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export
from jax.errors import InconclusiveDimensionOperation
from jax.typing import DTypeLike

if TYPE_CHECKING:  # this file alone must run elsewhere
    from rfp_jax._util.trees import Given, Json, Tree

__all__ = ["ExportedRelevance", "Result", "load", "save"]

FORMAT = "rfp-jax relevance 1"

BATCH = "batch"
"""The symbolic size of a batch."""


class Result(NamedTuple):
    """The result of an exported model: `output = bias + sum of sources`.

    Attributes:
        output: what the model returns, [batch, classes].
        sources: the relevance of each source by its name, each [batch, classes].
        bias: what came from no source, [batch, classes].
    """

    output: jax.Array
    sources: dict[str, jax.Array]
    bias: jax.Array


@dataclass(frozen=True, eq=False)
class ExportedRelevance:
    """An exported model: call it with one array per source, or within `jax.jit`.

    Attributes:
        program: the exported function of (parameters, inputs).
        params: the parameters.
        manifest: what is known about it: `sources`, `classes`, `inputs` (shape and dtype of one
            sample of each), `batch` (None if any), `rules`, `versions`, `model`.
    """

    program: jax_export.Exported
    params: tuple[jax.Array, ...]
    manifest: Mapping[str, Json]

    def __call__(self, *inputs: jax.typing.ArrayLike) -> Result:
        """Compute output and relevance of a batch.

        Args:
            inputs: one array per source, in the order of `manifest["inputs"]`, with a batch axis.

        Returns:
            Output, sources and bias.

        Raises:
            ValueError: shapes or dtypes are not those of the exported model.
        """
        expected = self.manifest["inputs"]
        arrays = [jnp.asarray(array) for array in inputs]
        found = [(list(array.shape[1:]), str(array.dtype)) for array in arrays]
        if found != [(entry["shape"], entry["dtype"]) for entry in expected]:
            wanted = ", ".join(f"{e['name']} {e['dtype']}[batch, *{e['shape']}]" for e in expected)
            given = ", ".join(f"{array.dtype}{list(array.shape)}" for array in arrays)
            raise ValueError(f"the exported model takes {wanted}; got {given}")
        relevance, output = self.program.call(self.params, tuple(arrays))
        named = {name: relevance[:, s] for s, name in enumerate(self.manifest["sources"])}
        return Result(output, named, relevance[:, -1])


def save(
    path: str | os.PathLike[str],
    fun: Callable[..., Tree],
    params: Tree,
    inputs: Mapping[str, Given],
    *,
    classes: Sequence[str],
    sources: Sequence[str] | None = None,
    rules: Given = "lrp0",
    method: Callable[..., Callable[..., Tree]] | None = None,
    model: Mapping[str, Json] | None = None,
    batch: int | None = None,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> None:
    """Export a model together with its relevance into one file.

    Args:
        path: the file to write; it appears when it is complete, and replaces one that is there.
        fun: the model, `fun(params, *inputs)`, returning one array, [batch, classes].
        params: its parameters, a tree of arrays.
        inputs: one sample of each argument of the model by name, in order, without a batch axis:
            arrays, or `jax.ShapeDtypeStruct`s.
        classes: names of the outputs.
        sources: names of the sources; by default those of the inputs.
        rules: the rules of propagation, as for `rfp_jax.relevance`.
        method: what makes the function that returns a `Relevance`; `rfp_jax.relevance` by default.
            Called as `method(fun, argnums=(1, 2, ...), rules=rules)`, as by
            `rfp_jax.tables.evaluate`.
        model: what to know about the model, kept in the manifest; what JSON can keep.
        batch: the batch size; None for any, which needs a model, and a method, that do not ask
            how large it is (sources inside one array do).
        platforms: where it shall run, of `"cpu"`, `"cuda"`, `"rocm"`, `"tpu"`.

    Raises:
        ModuleNotFoundError: `flatbuffers` is not installed (extra `tables`).
        ValueError: an unknown platform, no inputs, names that the model does not bear out, or a
            model that asks how large a batch is while `batch` is None.

    Examples:
        >>> import tempfile, numpy as np
        >>> def model(w, optical, sar):
        ...     return optical @ w + 2 * sar @ w
        >>> one = {"optical": np.zeros(3, "float32"), "sar": np.zeros(3, "float32")}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     weights = np.ones((3, 1), "float32")
        ...     save(f"{folder}/model.rfp", model, weights, one, classes=["forest"])
        ...     explain = load(f"{folder}/model.rfp")
        >>> result = explain(np.ones((5, 3), "float32"), np.ones((5, 3), "float32"))
        >>> result.output.shape, float(result.sources["sar"][0, 0])
        ((5, 1), 6.0)
    """
    _require_flatbuffers("Exporting a model")
    if method is None:
        from rfp_jax._transforms.propagation import relevance

        method = relevance
    from rfp_jax._runs.fingerprint import as_json, describe, versions
    from rfp_jax._transforms.stacking import stack_sources
    from rfp_jax._util.files import atomic_file

    if not inputs:
        raise ValueError("give one sample of each source: inputs={'optical': array, ...}")
    names, samples = (
        list(inputs),
        [jnp.asarray(x) if np.isscalar(x) else x for x in inputs.values()],
    )
    leaves, tree = jax.tree.flatten(params)
    leaves = [
        np.asarray(leaf, jax.dtypes.canonicalize_dtype(np.asarray(leaf).dtype)) for leaf in leaves
    ]
    named = list(names if sources is None else sources)
    explained = method(fun, argnums=tuple(range(1, len(names) + 1)), rules=rules)

    def program(leaves: tuple[jax.Array, ...], inputs: tuple[jax.Array, ...]):
        relevance = explained(jax.tree.unflatten(tree, leaves), *inputs)
        shape = (inputs[0].shape[0], len(classes))
        stacked = stack_sources(relevance, named, shape)
        return jnp.moveaxis(stacked, 0, 1), jnp.reshape(relevance.output, shape)

    size = jax_export.symbolic_shape(BATCH)[0] if batch is None else batch
    dtypes = [jax.dtypes.canonicalize_dtype(x.dtype) for x in samples]
    shapes = tuple(
        jax.ShapeDtypeStruct((size, *x.shape), t) for x, t in zip(samples, dtypes, strict=True)
    )
    try:
        exported = jax_export.export(jax.jit(program), platforms=tuple(platforms))(
            tuple(leaves), shapes
        )
    except (TypeError, InconclusiveDimensionOperation) as error:
        if batch is not None or not _asks_for_the_size(error):
            raise
        raise ValueError(
            "the model asks how large a batch is, so it cannot be exported for any size: write "
            "x.shape[0] where it has len(x), or export it for one size with batch=..."
        ) from error
    manifest = {
        "format": FORMAT,
        "sources": named,
        "classes": list(classes),
        "inputs": [
            {"name": name, "shape": list(x.shape), "dtype": str(t)}
            for name, x, t in zip(names, samples, dtypes, strict=True)
        ],
        "batch": batch,
        "params": [{"shape": list(leaf.shape), "dtype": str(leaf.dtype)} for leaf in leaves],
        "platforms": list(exported.platforms),
        "rules": describe(rules),
        "versions": versions(),
        "model": as_json("model", model),
    }
    serialized = exported.serialize()
    with (
        atomic_file(Path(path)) as draft,
        zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive,
    ):
        archive.writestr("manifest.json", json.dumps(manifest, indent=2))
        archive.writestr("program", bytes(serialized))
        for number, leaf in enumerate(leaves):
            archive.writestr(f"params/{number}", np.ascontiguousarray(leaf).tobytes())


def load(path: str | os.PathLike[str]) -> ExportedRelevance:
    """Load an exported model. Needs JAX only, not the code that the model was written with.

    Args:
        path: what `save` has written.

    Returns:
        A function of one array per source that returns a `Result`.

    Raises:
        ValueError: the file is not such an export, is damaged, or its parts do not fit; names it.
        ModuleNotFoundError: `flatbuffers` is not installed (extra `tables`).
        FileNotFoundError: there is no such file.
    """
    _require_flatbuffers("Loading an exported model")
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no exported model at {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_stored(archive, Path(path).stat().st_size)
            manifest = json.loads(archive.read("manifest.json"))
            if manifest["format"] != FORMAT:
                raise ValueError(f"its format is {manifest['format']!r}, not {FORMAT!r}")
            params = tuple(
                _param(archive, f"params/{number}", entry)
                for number, entry in enumerate(manifest["params"])
            )
            program = jax_export.deserialize(bytearray(archive.read("program")))
        _check_fits(program, manifest)
    except MemoryError:
        raise
    except Exception as error:  # whatever damage makes of a parser
        why = str(error) or type(error).__name__
        raise ValueError(f"{path} is not an exported relevance model: {why}") from error
    return ExportedRelevance(program, params, manifest)


def _require_flatbuffers(what: str) -> None:
    """Refuse at once where `jax.export` lacks what it writes and reads programs with."""
    if find_spec("flatbuffers") is not None:
        return
    try:
        from rfp_jax._util.extras import needs_extra
    except ImportError:  # this file alone
        name = "flatbuffers"
        raise ModuleNotFoundError(f"{what} needs `pip install {name}`", name=name) from None
    with needs_extra(what, "tables"):
        import flatbuffers  # noqa: F401


def _check_stored(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse what would grow when it is unpacked."""
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError(f"'{entry.filename}' is compressed, which `save` does not do")
    if (total := sum(entry.file_size for entry in archive.infolist())) > size:
        raise ValueError(f"its entries have {total} bytes, the file {size}")


def _check_fits(program: jax_export.Exported, manifest: Mapping[str, Json]) -> None:
    """Refuse a program that is not of the manifest's parameters, inputs, sources and classes."""
    batch = BATCH if manifest["batch"] is None else manifest["batch"]
    sources, classes = len(manifest["sources"]) + 1, len(manifest["classes"])
    dtypes = [aval.dtype for aval in program.out_avals]
    expected = [_shape(entry["dtype"], entry["shape"]) for entry in manifest["params"]]
    expected += [_shape(entry["dtype"], [batch, *entry["shape"]]) for entry in manifest["inputs"]]
    results = [batch, sources, classes], [batch, classes]
    expected += [_shape(dtype, shape) for dtype, shape in zip(dtypes, results, strict=True)]
    found = [_shape(aval.dtype, aval.shape) for aval in (*program.in_avals, *program.out_avals)]
    if found != expected:
        raise ValueError(f"its program maps {', '.join(found)}, its manifest {', '.join(expected)}")


def _shape(dtype: DTypeLike, shape: Sequence[object]) -> str:
    return f"{jnp.dtype(dtype)}[{','.join(map(str, shape))}]"


def _asks_for_the_size(error: Exception) -> bool:
    return isinstance(error, InconclusiveDimensionOperation) or "_DimExpr" in str(error)


def _param(archive: zipfile.ZipFile, name: str, entry: Mapping[str, Json]) -> jax.Array:
    dtype, shape = jnp.dtype(entry["dtype"]), tuple(entry["shape"])
    held, expected = archive.getinfo(name).file_size, dtype.itemsize * math.prod(shape)
    if held != expected:
        raise ValueError(f"'{name}' holds {held} bytes, {expected} expected")
    return jnp.asarray(np.frombuffer(archive.read(name), dtype).reshape(shape))
