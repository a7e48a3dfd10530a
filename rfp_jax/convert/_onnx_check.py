"""Compare a model that was read with what another program computes from the same file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax.typing import ArrayLike, DTypeLike

from rfp_jax.convert._onnx_file import read_model, read_tensor
from rfp_jax.convert._onnx_graph import is_float
from rfp_jax.convert._onnx_program import Value

Run = Callable[[onnx.ModelProto, list[str], dict[str, np.ndarray]], list[np.ndarray]]

ROUNDING = {2: 2e-2, 4: 1e-4, 8: 1e-10}
"""The relative difference that rounding explains, per bytes of the coarsest number."""


@dataclass(frozen=True)
class Parting:
    """The first node at which two programs differ.

    Attributes:
        node: its name.
        operator: what it computes.
        tensor: the output that differs.
        difference: by how much, relative to the greatest element.
    """

    node: str
    operator: str
    tensor: str
    difference: float

    def __str__(self) -> str:
        return f"{self.node!r} ({self.operator}) makes {self.tensor!r} {self.difference:.1e} off"


@dataclass(frozen=True)
class OnnxComparison:
    """The findings of `check_onnx`; `print` shows them as a sentence.

    Attributes:
        differences: the largest difference of each output, relative to its greatest element.
        tolerance: what rounding explains.
        runtime: the other program.
        parting: the first node at which the two part, or None if they agree.
    """

    differences: Mapping[str, float]
    tolerance: float
    runtime: str
    parting: Parting | None = None

    @property
    def largest(self) -> float:
        """The largest difference of all outputs."""
        return max(self.differences.values())

    @property
    def passed(self) -> bool:
        """Return whether rounding explains the differences."""
        return self.largest <= self.tolerance

    def __str__(self) -> str:
        found = (
            f"largest difference to {self.runtime}: {self.largest:.1e} of the greatest element "
            f"(rounding: {self.tolerance:.0e})"
        )
        if self.passed:
            return f"The same: {found}."
        return f"NOT THE SAME: {found}. First: {self.parting or 'no node, the outputs only'}."


def check_onnx(
    path: str | PathLike[str],
    *inputs: ArrayLike,
    dtype: DTypeLike | None = None,
    constants: Mapping[str, ArrayLike] | None = None,
    tolerance: float | None = None,
    runtime: str | None = None,
) -> OnnxComparison:
    """Compare what a model computes here and elsewhere, from example inputs.

    Args:
        path: the `.onnx` file.
        *inputs: one array per input of the model.
        dtype: the precision to compute in here; see `from_onnx`.
        constants: see `from_onnx`.
        tolerance: the difference that rounding explains, relative to the greatest element; by
            default 1e-4 for float32, 2e-2 for float16 and 1e-10 for float64.
        runtime: `"onnxruntime"` or `"reference"` (the `onnx` package's own, slow); by default the
            first if it is installed.

    Returns:
        An `OnnxComparison`. If the outputs differ by more, it names the first node that does.

    Raises:
        ValueError: the runtime is not known.

    Examples:
        >>> import tempfile, numpy as np, onnx.parser
        >>> model = onnx.parser.parse_model('''
        ...     <ir_version: 8, opset_import: ["" : 17]>
        ...     small (float[n, 2] x) => (float[n, 2] y) { y = Softmax(x) }''')
        >>> path = tempfile.mkdtemp() + "/small.onnx"
        >>> onnx.save(model, path)
        >>> check_onnx(path, np.ones((3, 2), np.float32)).passed
        True
    """
    from rfp_jax.convert._onnx import from_onnx

    name, run = _runtime(runtime)
    fun, params = from_onnx(path, dtype=dtype, constants=constants)
    model = self_contained(read_model(Path(path)), Path(path))
    feeds = dict(zip((entry.name for entry in fun.inputs), map(np.asarray, inputs), strict=True))
    feeds |= {key: np.asarray(value) for key, value in (constants or {}).items()}
    feeds = {entry.name: feeds[entry.name] for entry in model.graph.input if entry.name in feeds}
    feeds = {key: value.astype(_declared(model, key)) for key, value in feeds.items()}

    ours = _all_tensors(fun, params, inputs)
    outputs = [entry.name for entry in fun.outputs]
    theirs = run(model, outputs, feeds)
    differences = {n: difference(ours[n], t) for n, t in zip(outputs, theirs, strict=True)}
    if tolerance is None:
        sizes = [v.dtype.itemsize for v in ours.values() if is_float(v.dtype)]
        tolerance = ROUNDING[min(sizes, default=4)]
    found = OnnxComparison(differences, tolerance, name)
    if found.passed:
        return found
    every = [name for node in fun.block.nodes for name in node.outputs if name in ours]
    values = dict(zip(every, run(model, every, feeds), strict=True))
    partings = (
        Parting(node.label, node.operator, name, difference(ours[name], values[name]))
        for node in fun.block.nodes
        for name in node.outputs
        if name in values
    )
    return replace(found, parting=next((p for p in partings if p.difference > tolerance), None))


def _all_tensors(
    fun: Callable[..., object], params: Mapping[str, jax.Array], inputs: Sequence[ArrayLike]
) -> dict[str, jax.Array]:
    """Every tensor of the program by name, but those of subgraphs and known ones in between."""
    from rfp_jax.convert._onnx import OnnxFunction

    assert isinstance(fun, OnnxFunction)

    def run(params: Mapping[str, jax.Array], *inputs: ArrayLike) -> dict[str, jax.Array]:
        seen: dict[str, jax.Array] = {}
        top = {name for node in fun.block.nodes for name in node.outputs}

        def watch(name: str, value: Value) -> None:
            if isinstance(value, jax.Array) and name in top:
                seen[name] = value

        watched = replace(fun, walk=replace(fun.walk, watch=watch))
        results = watched(params, *inputs)
        results = results if isinstance(results, tuple) else (results,)
        return seen | {o.name: y for o, y in zip(fun.outputs, results, strict=True)}

    return jax.jit(run)(params, *map(jnp.asarray, inputs))


def difference(ours: ArrayLike, theirs: ArrayLike) -> float:
    """The largest difference relative to the greatest finite element; infinite in other shapes."""
    a, b = np.asarray(ours).astype(np.float64), np.asarray(theirs).astype(np.float64)
    if a.shape != b.shape:
        return float("inf")
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    if not (np.isfinite(a) | same).all() or not (np.isfinite(b) | same).all():
        return float("inf")
    size = np.abs(b[np.isfinite(b)]).max(initial=0)
    return float(np.abs(np.where(same, 0, a - b)).max() / (size or 1))


def self_contained(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model with its external data inside."""
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(onnx.numpy_helper.from_array(read_tensor(tensor, path), tensor.name))
    return model


def _declared(model: onnx.ModelProto, name: str) -> np.dtype:
    (entry,) = (entry for entry in model.graph.input if entry.name == name)
    return onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)


def _exposed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with other outputs."""
    given = {entry.name: entry for entry in model.graph.output}
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(given.get(n, onnx.ValueInfoProto(name=n)) for n in names)
    return exposed


def run_onnxruntime(
    model: onnx.ModelProto, names: list[str], feeds: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Tensors of a model by `onnxruntime`, node by node as the file has them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        _exposed(model, names).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(value) for value in session.run(names, feeds)]


def run_reference(
    model: onnx.ModelProto, names: list[str], feeds: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Tensors of a model by the reference implementation of the `onnx` package."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(_exposed(model, names))
    return [np.asarray(value) for value in evaluator.run(None, feeds)]


def _runtime(name: str | None) -> tuple[str, Run]:
    runs: dict[str, Run] = {"onnxruntime": run_onnxruntime, "reference": run_reference}
    if name is None:
        name = next(_installed())
    if name not in runs:
        raise ValueError(f"runtime={name!r} is not known; pass one of {list(runs)}")
    return name, runs[name]


def _installed() -> Iterator[str]:
    from importlib.util import find_spec

    if find_spec("onnxruntime") is not None:
        yield "onnxruntime"
    yield "reference"
