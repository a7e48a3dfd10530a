"""PyTorch checkpoints to Flax variables, and back.

`python -m convert CHECKPOINT.pth OUT_DIR` converts a file; `load` reads what it wrote.
`to_flax` and `to_torch` convert in memory.
"""

from convert.errors import (
    CheckpointError,
    ConversionError,
    SelfCheckError,
    StateDictError,
    UnknownArchitectureError,
)
from convert.files import convert_file
from convert.mapping import recognise, to_flax, to_torch
from convert.store import Converted, Manifest, load

__all__ = [
    "CheckpointError",
    "ConversionError",
    "Converted",
    "Manifest",
    "SelfCheckError",
    "StateDictError",
    "UnknownArchitectureError",
    "convert_file",
    "load",
    "recognise",
    "to_flax",
    "to_torch",
]
