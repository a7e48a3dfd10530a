"""Reading PyTorch checkpoint files, which may come from anywhere and are not trusted."""

import hashlib
import math
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from rfp_jax.convert.flax._errors import CheckpointError

_STATE_DICTS = ("model_state_dict", "state_dict")  # keys under which training scripts keep theirs


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        state_dict: PyTorch key -> tensor, as the file has them.
        sha256: SHA-256 of the file, in hexadecimal.
        epoch: the epoch that the file names, or None.
        best_prec: the best validation score that the file names, or None.
        num_batches_tracked: number of batches that the network was trained on, or None.
    """

    state_dict: Mapping[str, torch.Tensor]
    sha256: str
    epoch: int | None = None
    best_prec: float | None = None
    num_batches_tracked: int | None = None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a PyTorch checkpoint without running any code that it may carry.

    The file is a state dict or a training script's dict that has one under `model_state_dict` (as
    those published for SEN12MS) or `state_dict`, in PyTorch's zip format or the one before 1.6.

    Args:
        path: the file, `.pth` or `.pt`.

    Returns:
        Its state dict, on the CPU, and what it says about its training.

    Raises:
        CheckpointError: if the file is missing, damaged, cut short, no checkpoint, or holds
            anything but tensors, numbers, text and containers of them.

    Examples:
        >>> import tempfile, torch
        >>> from rfp_jax.convert import read_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"epoch": 7, "model_state_dict": {"w": torch.ones(2)}}, f"{folder}/a")
        ...     checkpoint = read_checkpoint(f"{folder}/a")
        >>> checkpoint.epoch, checkpoint.state_dict["w"]
        (7, tensor([1., 1.]))
    """
    try:
        with Path(path).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            content = _load(path, file)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds {type(content).__name__}: expected a dict of tensors")
    state_dict = _find_state_dict(path, content)
    epoch = _number(content.get("epoch"))
    batches = [
        int(count)
        for key, tensor in state_dict.items()
        if key.endswith("num_batches_tracked") and (count := _number(tensor)) is not None
    ]
    return Checkpoint(
        state_dict,
        sha256,
        epoch=None if epoch is None else int(epoch),
        best_prec=_number(content.get("best_prec")),
        num_batches_tracked=max(batches, default=None),
    )


def _load(path: str | Path, file: BinaryIO) -> Any:
    """Content of an open file."""
    file.seek(0)
    if not file.read(1):
        raise CheckpointError(f"{path} is empty: was its download broken off?")
    _check_sums(path, file)
    file.seek(0)
    try:
        with torch.serialization.safe_globals(_NUMPY_NUMBERS), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advice on formats that it reads in part
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            raise CheckpointError(
                f"{path} carries more than tensors: it asks for {found[1]}, which could run code. "
                "Nothing was run. Have its author save model.state_dict() alone."
            ) from error
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"{path} is no PyTorch checkpoint, or a damaged or half downloaded one "
            f"({type(error).__name__}: {reason[0] if reason else 'unexpected end'}). "
            "Compare its size and SHA-256 with the original's."
        ) from error


def _check_sums(path: str | Path, file: BinaryIO) -> None:
    """Compare the check sums in a zip file, which PyTorch's reader does not."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError):
        return  # the older format, or so damaged that the reader will say so
    if damaged:
        raise CheckpointError(
            f"{path} is damaged: the check sum of {damaged} within it is wrong. Download it again."
        )


class _NumberType:
    """Stands for `numpy.dtype` in a file: the type of one number, and its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if re.fullmatch(r"[fiu][1248]", code) is None:
            raise pickle.UnpicklingError(
                f"NumPy type {code!r} in a checkpoint is no type of number"
            )
        self.code = code

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.code = f"{'>' if state[1] == '>' else '<'}{self.code}"


def _number_of_type(kind: _NumberType, data: bytes) -> float | int:
    """Stands for NumPy's own maker of scalars."""
    return np.frombuffer(data, kind.code, count=1).item()


# Training scripts save scores as NumPy numbers. NumPy's own makers can make any object; these not.
_NUMPY_NUMBERS = [
    (_NumberType, "numpy.dtype"),
    (_number_of_type, "numpy.core.multiarray.scalar"),
    (_number_of_type, "numpy._core.multiarray.scalar"),
]


def _find_state_dict(path: str | Path, content: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The state dict in what a file holds."""
    name = next((name for name in _STATE_DICTS if name in content), None)
    state_dict = content if name is None else content[name]
    where = "it" if name is None else f"its {name!r}"
    if not isinstance(state_dict, Mapping) or not state_dict:
        raise CheckpointError(f"{path} has no state dict: {where} is empty or not a dict")
    wrong = [str(key) for key, value in state_dict.items() if not _is_dense(value)]
    if wrong:
        raise CheckpointError(
            f"{path} has no state dict: {where} holds other things than dense tensors under "
            f"{', '.join(wrong)}. Expected key -> tensor, or a dict with that under "
            f"{' or '.join(map(repr, _STATE_DICTS))}."
        )
    return {str(key): value for key, value in state_dict.items()}


def _is_dense(value: object) -> bool:
    """Whether a value is a tensor that NumPy can hold."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and not value.is_quantized
        and value.device.type == "cpu"
    )


def _number(value: object) -> float | int | None:
    """A finite number, of a tensor or as it is, or None."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    return value if isinstance(value, int | float) and math.isfinite(value) else None
