"""Networks from elsewhere as `(fun, params)`: a function of JAX arrays and a tree of parameters.

`from_torch` takes PyTorch modules and exported programs (`.pt2`), `from_onnx` ONNX files. `load`
reads what `python -m convert network.pt2 OUT_DIR` wrote. PyTorch and onnx are imported when they
are needed, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rfp_jax._util.extras import needs_extra
from rfp_jax.convert.aten import register_torch_operation
from rfp_jax.convert.errors import (
    ConversionError,
    DifferenceError,
    ExportError,
    MissingOperationError,
    OperationError,
    ProgramError,
)
from rfp_jax.convert.folder import convert_program, load
from rfp_jax.convert.torch_function import TorchFunction
from rfp_jax.convert.torch_network import from_torch, to_torch

if TYPE_CHECKING:
    from rfp_jax.convert.onnx import check_onnx, from_onnx, register_onnx_operation

_ONNX = ("check_onnx", "from_onnx", "register_onnx_operation")

__all__ = [
    "ConversionError",
    "DifferenceError",
    "ExportError",
    "MissingOperationError",
    "OperationError",
    "ProgramError",
    "TorchFunction",
    "check_onnx",
    "convert_program",
    "from_onnx",
    "from_torch",
    "load",
    "register_onnx_operation",
    "register_torch_operation",
    "to_torch",
]


def __getattr__(name: str) -> Any:
    """Import what reads ONNX when it is asked for: it needs the package onnx."""
    if name not in _ONNX:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs_extra("Reading ONNX files", "convert"):
        from rfp_jax.convert import onnx
    return getattr(onnx, name)
