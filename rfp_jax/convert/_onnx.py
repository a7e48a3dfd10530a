"""ONNX models as JAX functions.

fun, params = from_onnx("network.onnx")
rel = rfp_jax.relevance(fun, argnums=1)(params, x)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from rfp_jax.convert._onnx_errors import OnnxFileError, OnnxNodeError, UnsupportedOnnxError
from rfp_jax.convert._onnx_file import read_model
from rfp_jax.convert._onnx_graph import Walk, is_float
from rfp_jax.convert._onnx_operations import Fixed, Known, register_onnx_operation
from rfp_jax.convert._onnx_program import (
    Block,
    TensorType,
    Value,
    check_order,
    opset_versions,
    read_block,
)
from rfp_jax.convert._onnx_support import check_supported, fixed_names

__all__ = [
    "Fixed",
    "Known",
    "OnnxFileError",
    "OnnxFunction",
    "OnnxNodeError",
    "UnsupportedOnnxError",
    "from_onnx",
    "register_onnx_operation",
]

Params = dict[str, jax.Array]


@dataclass(frozen=True, eq=False)
class OnnxFunction:
    """A model as a function of parameters and inputs, `fun(params, *inputs)`.

    It is pure: transform it by `jax.jit`, `jax.grad`, `rfp_jax.relevance`. It returns an array, or
    a tuple of them if there are several outputs.

    Attributes:
        inputs: name, dtype and shape of each input.
        outputs: those of each output.
        block: the nodes in order.
        walk: how they are computed.
    """

    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    block: Block
    walk: Walk

    def __call__(
        self, params: Mapping[str, ArrayLike], *inputs: ArrayLike
    ) -> jax.Array | tuple[jax.Array, ...]:
        """Compute the outputs from parameters by name and one array per input."""
        values = self.tensors(params, inputs)
        results = tuple(self.walk.array(value) for value in self.walk.run(self.block, values))
        return results[0] if len(results) == 1 else results

    def tensors(
        self, params: Mapping[str, ArrayLike], inputs: Sequence[ArrayLike]
    ) -> dict[str, Value]:
        """The parameters and inputs by name, checked against what the model declares."""
        if len(inputs) != len(self.inputs):
            wanted = "\n".join(f"  {declared}" for declared in self.inputs)
            raise TypeError(
                f"{self.walk.path.name} takes its parameters and {len(self.inputs)} inputs, and "
                f"{len(inputs)} were given; they are\n{wanted}"
            )
        missing = sorted(self.block.captures - set(params))
        if missing:
            raise ValueError(f"params lack {missing}, which {self.walk.path.name} has")
        sizes: dict[str, tuple[int, str]] = {}
        arrays = [self._input(d, x, sizes) for d, x in zip(self.inputs, inputs, strict=True)]
        names = (declared.name for declared in self.inputs)
        given = {name: jnp.asarray(value) for name, value in params.items()}
        return {**given, **dict(zip(names, arrays, strict=True))}

    def _input(
        self, declared: TensorType, value: ArrayLike, sizes: dict[str, tuple[int, str]]
    ) -> jax.Array:
        x = jnp.asarray(value)
        misfit = (
            f"input {declared.name!r} of {self.walk.path.name} is {x.dtype}{list(x.shape)}; the "
            f"model declares {declared}"
        )
        if declared.misfit(x.shape):
            raise ValueError(f"{misfit}. To take other sizes, export it with dynamic axes.")
        for axis, name in enumerate(declared.shape or ()):
            if isinstance(name, str):
                size, other = sizes.setdefault(name, (x.shape[axis], declared.name))
                if size != x.shape[axis]:
                    raise ValueError(f"{misfit}, and {name} is {size} in {other!r}")
        if declared.dtype is None:
            return x
        wanted = jax.dtypes.canonicalize_dtype(declared.dtype)
        if self.walk.dtype is not None and is_float(wanted) and is_float(x.dtype):
            return x.astype(self.walk.dtype)
        if _kind(wanted) != _kind(x.dtype) or (is_float(wanted) and wanted != x.dtype):
            raise TypeError(
                f"{misfit}. Cast it, or read the model in that precision: "
                f"from_onnx(path, dtype='{x.dtype}')"
            )
        return x.astype(wanted)

    def __repr__(self) -> str:
        ends = (", ".join(map(str, entries)) for entries in (self.inputs, self.outputs))
        return "OnnxFunction(params, {}) -> {}".format(*ends)


def _kind(dtype: DTypeLike) -> str:
    kinds = {"bool": jnp.bool, "integer": jnp.integer, "float": jnp.floating}
    return next((name for name, kind in kinds.items() if jnp.issubdtype(dtype, kind)), str(dtype))


def from_onnx(
    path: str | PathLike[str],
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    dtype: DTypeLike | None = None,
    *,
    constants: Mapping[str, ArrayLike] | None = None,
) -> tuple[OnnxFunction, Params]:
    """Read an ONNX model as a JAX function and its parameters.

    Args:
        path: the `.onnx` file, of opset 11 or newer; external data lies in its folder.
        inputs: names of the tensors that become arguments, by default the model's inputs. Any
            tensor may be named: what leads to it is left out. A network that takes integers is
            explained from where they have become numbers, such as the output of an embedding.
        outputs: names of the tensors that are returned, by default the model's outputs.
        dtype: the precision of all floating-point numbers, by default the model's own. A model
            whose weights are stored as float16 and cast, read with `dtype="float64"`, computes in
            float64 from the beginning.
        constants: tensors that get a value once and for all, by name: a mode or a rate that is an
            input of the model and decides which branch it takes.

    Returns:
        fun: `fun(params, *inputs)`, which returns an array, or a tuple for several outputs. It
            works for every size that the model declares as symbolic.
        params: the model's floating-point initializers by name. Integers, and numbers that decide
            over shapes or stand as exponents and bounds, are part of the function.

    Raises:
        OnnxFileError: the file is damaged, is not an ONNX model, or its external data lies outside
            of its folder.
        UnsupportedOnnxError: operators are missing, all of which are listed with their nodes, or
            the opset is not read.
        ValueError: a tensor is named that the model does not have, or the named inputs do not
            determine the outputs.
        TypeError: `dtype` is not a floating-point dtype.

    Examples:
        >>> import tempfile, numpy as np, onnx.parser, rfp_jax
        >>> model = onnx.parser.parse_model('''
        ...     <ir_version: 8, opset_import: ["" : 17]>
        ...     fusion (float[n, 1] a, float[n, 1] b) => (float[n, 1] y)
        ...     <float[1, 1] w = {3}, float[1] shift = {-8}>
        ...     { scaled = Mul(b, w)  total = Sum(a, scaled, shift)  y = Relu(total) }''')
        >>> path = tempfile.mkdtemp() + "/fusion.onnx"
        >>> onnx.save(model, path)
        >>> fun, params = from_onnx(path)
        >>> fun
        OnnxFunction(params, a: float32 [n, 1], b: float32 [n, 1]) -> y: float32 [n, 1]
        >>> x = np.full((2, 1), 24, np.float32)
        >>> rel = rfp_jax.relevance(fun, argnums=(1, 2))(params, x, x)
        >>> [float(r[0, 0]) for r in (rel.output, *rel.sources, rel.bias)]
        [88.0, 24.0, 72.0, -8.0]
    """
    precision = _precision(dtype)
    file = Path(path)
    model = read_model(file)
    opsets = opset_versions(model.opset_import)
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    block = read_block(model.graph, opsets, file)
    check_order(block, file)
    block = _cut(_bound(block, constants or {}, file), inputs, outputs, file)
    walk = Walk(file, opsets, functions, precision)

    fixed = fixed_names(block)
    weights = {
        name: array
        for name, array in block.constants.items()
        if is_float(array.dtype) and name not in fixed
    }
    rest = {name: array for name, array in block.constants.items() if name not in weights}
    block = replace(block, constants=rest)
    check_supported(block, walk)

    def ends(names: Sequence[str]) -> tuple[TensorType, ...]:
        return tuple(block.types.get(name, TensorType(name, None, None)) for name in names)

    fun = OnnxFunction(ends(block.inputs), ends(block.outputs), block, walk)
    params = {name: jnp.asarray(walk.array(array)) for name, array in weights.items()}
    return fun, params


def _precision(dtype: DTypeLike | None) -> np.dtype | None:
    if dtype is None:
        return None
    precision = np.dtype(dtype)
    if not is_float(precision):
        raise TypeError(f"dtype={precision} is not a floating-point dtype")
    if jax.dtypes.canonicalize_dtype(precision) != precision:
        raise TypeError(f"dtype={precision} needs jax.config.update('jax_enable_x64', True)")
    return precision


def _bound(block: Block, values: Mapping[str, ArrayLike], file: Path) -> Block:
    """A graph in which some tensors have a value."""
    unknown = sorted(set(values) - set(block.names))
    if unknown:
        raise ValueError(f"constants={unknown} are not tensors of {file.name}")
    arrays = {name: np.asarray(value) for name, value in values.items()}
    for name, array in arrays.items():
        declared = block.types.get(name)
        if declared is not None and declared.dtype is not None:
            arrays[name] = array.astype(declared.dtype)
        if declared is not None and declared.misfit(array.shape):
            raise ValueError(f"constants[{name!r}] is of shape {array.shape}, not {declared}")
    return block.bound(arrays)


def _cut(
    block: Block, inputs: Sequence[str] | None, outputs: Sequence[str] | None, file: Path
) -> Block:
    """The part of a graph between named tensors."""
    if isinstance(inputs, str) or isinstance(outputs, str):
        raise TypeError("inputs= and outputs= are lists of names")
    ins = block.inputs if inputs is None else tuple(inputs)
    outs = block.outputs if outputs is None else tuple(outputs)
    made = block.names
    for argument, names in (("inputs", ins), ("outputs", outs)):
        unknown = [name for name in names if name not in made]
        if len(set(names)) < len(names) or unknown:
            near = ", ".join(sorted(made)[:10])
            raise ValueError(
                f"{argument}={list(names)}: {unknown or 'these'} are not different tensors of "
                f"{file.name}, which has {near} ..."
            )
    part = block.cut(ins, outs)
    lacking = sorted(part.captures)
    if lacking:
        raise ValueError(
            f"the outputs {list(outs)} of {file.name} depend on {lacking} too: name them in inputs="
        )
    unused = sorted(set(ins) - part.reads) if inputs is not None else []
    if unused:
        raise ValueError(f"inputs={unused} do not lead to the outputs {list(outs)} of {file.name}")
    return part
