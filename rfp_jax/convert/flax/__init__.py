"""PyTorch checkpoints of the paper's networks to Flax variables, and back.

`rfp-jax convert CHECKPOINT.pth OUT_DIR` converts a file; `load` reads what it wrote.
`to_flax` and `to_torch` convert in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rfp_jax._util.extras import needs_extra
from rfp_jax.convert._errors import ConversionError
from rfp_jax.convert.flax._errors import (
    CheckpointError,
    SelfCheckError,
    StateDictError,
    UnknownArchitectureError,
)

with needs_extra("Converting to Flax", "models"):
    from rfp_jax.convert.flax._files import convert_file
    from rfp_jax.convert.flax._mapping import get_architecture, recognize, to_flax, to_torch
    from rfp_jax.convert.flax._store import (
        Converted,
        Manifest,
        load,
        load_variables,
        read_manifest,
        save_manifest,
        save_variables,
    )

if TYPE_CHECKING:
    from rfp_jax.convert.flax._checkpoint import Checkpoint, read_checkpoint

_CHECKPOINT = ("Checkpoint", "read_checkpoint")

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "ConversionError",
    "Converted",
    "Manifest",
    "SelfCheckError",
    "StateDictError",
    "UnknownArchitectureError",
    "convert_file",
    "get_architecture",
    "load",
    "load_variables",
    "read_checkpoint",
    "read_manifest",
    "recognize",
    "save_manifest",
    "save_variables",
    "to_flax",
    "to_torch",
]


def __getattr__(name: str) -> object:
    """Import what reads checkpoint files when it is asked for: it needs PyTorch."""
    if name not in _CHECKPOINT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs_extra("Reading a checkpoint", "convert"):
        from rfp_jax.convert.flax import _checkpoint
    return getattr(_checkpoint, name)
