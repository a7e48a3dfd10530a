"""Networks from elsewhere as `(fun, params)`: a function of JAX arrays and a tree of parameters.

`from_torch` takes PyTorch modules and exported programs (`.pt2`), `from_onnx` ONNX files. `load`
reads what `rfp-jax convert NETWORK OUT_DIR` wrote. `to_flax` turns a state dict of one of the
paper's networks into Flax variables, and `read_checkpoint` reads such a state dict from a file;
`rfp_jax.convert.flax` has the rest about checkpoints. PyTorch, onnx and Flax are imported when they
are needed, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rfp_jax._util.extras import needs_extra
from rfp_jax.convert._aten import register_torch_operation
from rfp_jax.convert._errors import (
    ConversionError,
    DifferenceError,
    ExportError,
    MissingOperationError,
    OperationError,
    ProgramError,
)
from rfp_jax.convert._folder import convert_program, load
from rfp_jax.convert._onnx_errors import OnnxFileError, OnnxNodeError, UnsupportedOnnxError
from rfp_jax.convert._onnx_folder import convert_onnx
from rfp_jax.convert._torch_function import TorchFunction
from rfp_jax.convert._torch_network import from_torch, to_torch

if TYPE_CHECKING:
    from rfp_jax.convert._onnx import (
        Fixed,
        Known,
        OnnxFunction,
        from_onnx,
        register_onnx_operation,
    )
    from rfp_jax.convert._onnx_check import OnnxComparison, Parting, check_onnx
    from rfp_jax.convert._torch_check import Comparison
    from rfp_jax.convert.flax import read_checkpoint, to_flax

_ONNX = ("rfp_jax.convert._onnx", "Reading ONNX files", "convert")
_ONNX_CHECK = ("rfp_jax.convert._onnx_check", "Checking ONNX files", "convert")
_FLAX = ("rfp_jax.convert.flax", "Converting to Flax", "models")
_TORCH = ("rfp_jax.convert._torch_check", "Comparing with PyTorch", "convert")
_WHERE = {
    "OnnxComparison": _ONNX_CHECK,
    "Comparison": _TORCH,
    "Fixed": _ONNX,
    "Known": _ONNX,
    "OnnxFunction": _ONNX,
    "Parting": _ONNX_CHECK,
    "check_onnx": _ONNX_CHECK,
    "from_onnx": _ONNX,
    "read_checkpoint": _FLAX,
    "register_onnx_operation": _ONNX,
    "to_flax": _FLAX,
}
"""Names whose modules need a package of an extra: the module, what for, the extra."""

__all__ = [
    "Comparison",
    "ConversionError",
    "DifferenceError",
    "ExportError",
    "Fixed",
    "Known",
    "MissingOperationError",
    "OnnxComparison",
    "OnnxFileError",
    "OnnxFunction",
    "OnnxNodeError",
    "OperationError",
    "Parting",
    "ProgramError",
    "TorchFunction",
    "UnsupportedOnnxError",
    "check_onnx",
    "convert_onnx",
    "convert_program",
    "from_onnx",
    "from_torch",
    "load",
    "read_checkpoint",
    "register_onnx_operation",
    "register_torch_operation",
    "to_flax",
    "to_torch",
]


def __getattr__(name: str) -> object:
    """Import what needs a package of an extra when it is asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, what, extra = _WHERE[name]
    with needs_extra(what, extra):
        return getattr(import_module(module), name)
