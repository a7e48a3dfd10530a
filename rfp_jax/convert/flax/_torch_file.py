"""Reading a file of PyTorch without running code, and without taking more memory than it needs."""

import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch

from rfp_jax._util import archives
from rfp_jax._util.archives import check_stored
from rfp_jax._util.pickles import PickleBudgetError, check_pickle
from rfp_jax.convert.flax._errors import CheckpointError

Content: TypeAlias = Any
"""A part of a file of PyTorch. Any: it may hold anything; it is checked where it is used."""


def load_torch(path: str | Path, file: BinaryIO) -> Content:
    """Content of an open file that `torch.save` wrote.

    Args:
        path: for messages.
        file: the file; PyTorch's zip format, or the one before 1.6.

    Returns:
        Tensors on the CPU, numbers, text and containers of them. Settings of a training script
        (`argparse.Namespace`, paths) are read as such containers.

    Raises:
        CheckpointError: if the file is damaged, cut short, no checkpoint, holds anything else, or
            would unpack to more than it has bytes.
    """
    file.seek(0)
    if not file.read(1):
        raise CheckpointError(f"{path} is empty: was its download broken off?")
    _check_archive(path, file)
    file.seek(0)
    try:
        with torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advice on formats that it reads in part
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            raise _more_than_tensors(path, found[1]) from error
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"{path} is not a PyTorch checkpoint, or a damaged or half downloaded one "
            f"({type(error).__name__}: {reason[0] if reason else 'unexpected end'}). "
            "Compare its size and SHA-256 with the original's."
        ) from error


def check_extent(path: str | Path, size: int, state_dict: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that show the same few bytes again and again: a copy would not fit memory.

    Args:
        path: for the message.
        size: bytes of the file.
        state_dict: its tensors.

    Raises:
        CheckpointError: if they have more than four times the bytes of the file; two names of
            one tensor are usual.
    """
    total = sum(tensor.numel() * tensor.element_size() for tensor in state_dict.values())
    if reason := archives.check_extent(total, size):
        raise CheckpointError(f"{path} is not read: {reason}. Save them with tensor.clone().")


_WAY = (
    "Have its author save model.state_dict() alone, or, of any network, a program that needs no "
    "code: torch.export.save(torch.export.export(model.eval(), example_arguments), 'network.pt2')."
)


def _more_than_tensors(path: str | Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path} carries more than tensors: it asks for {name}, which could run code. "
        f"Nothing was run. {_WAY}"
    )


def _check_archive(path: str | Path, file: BinaryIO) -> None:
    """Look at what PyTorch's reader does not: sizes and check sums in a zip, steps of pickles."""
    try:
        with zipfile.ZipFile(file) as archive:
            if any("/code/" in name for name in archive.namelist()):
                raise CheckpointError(f"{path} is TorchScript, whose code is not run. {_WAY}")
            if reason := check_stored(archive, Path(path).stat().st_size):
                raise CheckpointError(f"{path} is refused: {reason}")
            damaged = archive.testzip()
            if damaged:
                raise CheckpointError(
                    f"{path} is damaged: the check sum of {damaged} within it is wrong. "
                    "Download it again."
                )
            for member in archive.namelist():
                if member.endswith(".pkl"):
                    _check_steps(path, archive.read(member))
            return
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError):
        pass  # the older format, or so damaged that the reader will say so
    file.seek(0)
    _check_steps(path, file.read(2**24))


def _check_steps(path: str | Path, content: bytes) -> None:
    try:
        check_pickle(content, refused=_REFUSED)
    except PickleBudgetError as error:
        raise CheckpointError(
            f"{path} is refused, it would take more time or memory than its size accounts for: "
            f"{error}"
        ) from error
    except Exception:  # whatever damage makes of it: the reader will say so
        return


# bytearray(n) takes n bytes of memory, and no checkpoint needs it
_REFUSED = ("builtins bytearray", "__builtin__ bytearray")


class _NumberType:
    """Stands for `numpy.dtype` in a file: the type of one number, and its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if re.fullmatch(r"[fiu][1248]", code) is None:
            raise pickle.UnpicklingError(
                f"NumPy type {code!r} in a checkpoint is not a type of number"
            )
        self.code = code

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.code = f"{'>' if state[1] == '>' else '<'}{self.code}"


def _number_of_type(kind: _NumberType, data: bytes) -> float | int:
    """Stands for NumPy's own maker of scalars."""
    return np.frombuffer(data, kind.code, count=1).item()


class _Settings:
    """Stands for `argparse.Namespace`: what it holds is not used."""

    def __setstate__(self, state: object) -> None:
        pass


class _PathParts:
    """Stands for a path: its parts, as text."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts


# Training scripts save scores as NumPy numbers, and their settings. NumPy's own makers can make
# any object, and a path could be opened; these make numbers and hold text.
_STAND_INS = [
    (_NumberType, "numpy.dtype"),
    (_number_of_type, "numpy.core.multiarray.scalar"),
    (_number_of_type, "numpy._core.multiarray.scalar"),
    (_Settings, "argparse.Namespace"),
    *(
        (_PathParts, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    ),
]
