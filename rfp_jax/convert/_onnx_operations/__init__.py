"""The table of ONNX operations: one file per family, one line per operation where one line says it.

The key is the operator's name; `Name-n` is what it meant in the versions that began with opset n.
Operators that ONNX itself defines by others (`Attention`, `SwiGLU`, `CenterCropPad`) need no line.
"""

from __future__ import annotations

from collections.abc import Callable

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations import (
    control,
    detection,
    elementwise,
    normalization,
    quantized,
    recurrent,
    reductions,
    resize,
    shapes,
    spectral,
    windows,
)
from rfp_jax.convert._onnx_operations.operation import Fixed, Known, Operation

__all__ = ["TABLE", "Fixed", "Known", "register_onnx_operation"]

TABLE: dict[str, Operation] = {
    name: Operation.from_function(fun)
    for family in (
        control,
        detection,
        elementwise,
        normalization,
        quantized,
        recurrent,
        reductions,
        resize,
        shapes,
        spectral,
        windows,
    )
    for name, fun in family.TABLE.items()
}


def register_onnx_operation(name: str, fun: Callable[..., Tree]) -> None:
    """Say what an operator computes, for all models that are read from now on.

    Args:
        name: the operator's name; with its domain in front, `"com.microsoft::BiasGelu"`, if it is
            not one of ONNX's own. A name of the table is replaced.
        fun: takes the node's inputs by position (None for one left out) and its attributes by
            keyword; returns an array, or several in a tuple. An input that it annotates as `Known`
            comes as a NumPy array whose value it may use: a shape, an axis.

    Raises:
        TypeError: the name is not text, or the function cannot be called.

    Examples:
        >>> import jax
        >>> from rfp_jax.convert._onnx import register_onnx_operation
        >>> def bias_gelu(x, bias):
        ...     return jax.nn.gelu(x + bias, approximate=False)
        >>> register_onnx_operation("com.microsoft::BiasGelu", bias_gelu)
    """
    if not isinstance(name, str) or not callable(fun):
        raise TypeError(
            f"register_onnx_operation takes a name and a function, not {name!r} and {fun!r}"
        )
    TABLE[name] = Operation.from_function(fun)
