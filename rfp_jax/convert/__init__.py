"""Networks from elsewhere as `(fun, params)`: a function of JAX arrays and a tree of parameters.

`from_torch` takes PyTorch modules and exported programs (`.pt2`). `load` reads what
`python -m convert network.pt2 OUT_DIR` wrote. PyTorch is imported when it is needed, not before.
"""

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

__all__ = [
    "ConversionError",
    "DifferenceError",
    "ExportError",
    "MissingOperationError",
    "OperationError",
    "ProgramError",
    "TorchFunction",
    "convert_program",
    "from_torch",
    "load",
    "register_torch_operation",
    "to_torch",
]
