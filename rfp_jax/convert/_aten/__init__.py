"""The table of PyTorch's operations: ATen's names and arguments, written with JAX.

Each family has a file with a `TABLE` of its own, one line an operation where one line says it.
A name without an overload (`add`) stands for all overloads that have no line of their own
(`max.dim`). Functions take arrays where PyTorch takes tensors, NumPy dtypes where it takes dtypes,
and return what it returns. Dtypes of results need no care: the walk brings each to PyTorch's.
"""

from __future__ import annotations

from rfp_jax.convert._aten import (
    algebra,
    attention,
    control,
    convolution,
    creation,
    elementwise,
    indexing,
    linear,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
    shapes,
    spectral,
    vision,
)
from rfp_jax.convert._aten.broadcast import Operation

_FAMILIES = (
    algebra,
    attention,
    control,
    convolution,
    creation,
    elementwise,
    indexing,
    linear,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
    shapes,
    spectral,
    vision,
)

TABLE: dict[str, Operation] = {
    name: operation for family in _FAMILIES for name, operation in family.TABLE.items()
}


def find(operation: str) -> Operation | None:
    """Look an operation up, by its overload first, then by its name.

    Examples:
        >>> find("aten.add.Tensor") is TABLE["add"]
        True
        >>> find("aten.no_such.default") is None
        True
    """
    name = operation.removeprefix("aten.")
    return TABLE.get(name) or TABLE.get(name.rsplit(".", 1)[0])


def register_torch_operation(name: str, fun: Operation) -> None:
    """Add an operation of PyTorch to the table, or replace one.

    Args:
        name: its name, with or without an overload: `"aten.lerp.Tensor"` or `"lerp"`; of another
            library `"mylibrary.scale"`.
        fun: takes JAX arrays, Python values and NumPy dtypes by the operation's own arguments, and
            returns an array, or a tuple of arrays where PyTorch returns several tensors.

    Examples:
        >>> register_torch_operation("mylibrary.scale", lambda x, factor: x * factor)
        >>> find("mylibrary.scale.default")(2.0, 3.0)
        6.0
        >>> del TABLE["mylibrary.scale"]
    """
    if not callable(fun):
        raise TypeError(f"'{name}' needs a function of JAX arrays; got {fun!r}")
    TABLE[name.removeprefix("aten.")] = fun
