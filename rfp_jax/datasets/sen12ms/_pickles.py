"""Reading a pickle from the net without running any code that it may carry.

A pickle names functions and calls them. Here it can name NumPy's makers of arrays and numbers
alone, and what answers to these names are classes of this file, which make arrays of plain numbers
or text and nothing else; NumPy's own makers could make any object. What it would cost is found out
before it is read (`rfp_jax._util.pickles`).
"""

import codecs
import io
import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from rfp_jax._util.pickles import PickleBudgetError, check_pickle

_CODES = re.compile(r"[<>|=]?(?:[biuf](?:1|2|4|8)|b1|[US][0-9]{1,9})")

Unpickled: TypeAlias = Any
"""A part of a pickle. Any: a file may say what it wants; it is checked where it is used."""


class UnsafePickleError(ValueError):
    """A pickle that asks for something that could run code. Nothing of it was run."""


def read_pickle(path: Path) -> Unpickled:
    """Read lists, tuples, sets, dicts, text, numbers and NumPy arrays of these from a pickle.

    Args:
        path: the file.

    Returns:
        What it holds; NumPy arrays and numbers as such.

    Raises:
        UnsafePickleError: if the pickle asks for anything else; names it.
        ValueError: if the file is damaged, cut short or no pickle, or would take more time or
            memory than its size accounts for.
        OSError: if it cannot be opened.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "list.pkl")
        >>> _ = path.write_bytes(pickle.dumps(["a", np.arange(2)]))
        >>> read_pickle(path)
        ['a', array([0, 1])]
    """
    content = path.read_bytes()
    try:
        check_pickle(content)
        return _Unpickler(content).load()
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path} asks for {error}, which is not part of a list or a table of labels and "
            "could run code. Nothing was run. Get the file from its authors again."
        ) from None
    except PickleBudgetError as error:
        raise ValueError(
            f"{path} is refused, it would take more time or memory than its size accounts for: "
            f"{error}. Get the file from its authors again."
        ) from error
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        raise ValueError(
            f"{path} is not a pickle, or a damaged or half downloaded one "
            f"({type(error).__name__}: {error}); download it again"
        ) from error


class _NoState:
    """A class whose objects and which itself a pickle cannot change (opcode BUILD)."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError(f"state for {type(self).__name__}, which has none")


class _Dtype:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or _CODES.fullmatch(code) is None:
            raise UnsafePickleError(f"the NumPy type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Unpickled, ...]) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "=") or any(state[3:5]):  # fields of a structure
            raise UnsafePickleError("a structured NumPy type")
        if order in "<>":
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for `numpy.ndarray` while it is being made."""

    array: np.ndarray | None = None

    def __setstate__(self, state: tuple[Unpickled, ...]) -> None:
        _, shape, kind, columns_first, data = state
        self.array = _array(data, kind, shape, "F" if columns_first else "C")


class _Reconstruct(_NoState):
    """Stands for NumPy's maker of empty arrays."""

    def __new__(cls, *_: object) -> _Array:
        return _Array()


class _FromBuffer(_NoState):
    """Stands for NumPy's maker of arrays from bytes (pickles of protocol 5)."""

    def __new__(cls, data: object, kind: object, shape: Unpickled, order: object) -> _Array:
        made = _Array()
        made.array = _array(data, kind, shape, order)
        return made


class _Scalar(_NoState):
    """Stands for NumPy's maker of numbers."""

    def __new__(cls, kind: object, data: object = b"") -> np.generic | np.ndarray:
        return _array(data, kind, (), "C")[()]


class _Encode(_NoState):
    """Stands for `_codecs.encode`, by which old pickles spell bytes."""

    def __new__(cls, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise UnsafePickleError(f"the codec {encoding!r}")
        return codecs.latin_1_encode(text)[0]


class _NoBytes(_NoState):
    """Stands for `bytes()`, by which old pickles spell bytes where there are none."""

    def __new__(cls) -> bytes:
        return b""


def _array(data: object, kind: object, shape: Unpickled, order: object) -> np.ndarray:
    if not isinstance(kind, _Dtype) or not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("an array that is not made of plain bytes")
    flat = np.frombuffer(data, kind.dtype)  # a view: copied where the budget is known
    if flat.size != math.prod(shape):
        raise pickle.UnpicklingError(f"{flat.size} values for an array of shape {shape}")
    return flat.reshape(shape, order="F" if order == "F" else "C")


_KNOWN: Mapping[tuple[str, str], type] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _Encode,
    ("__builtin__", "bytes"): _NoBytes,  # what Python 2 called it
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    """Reads a pickle; its arrays together may have four times the bytes of the file, and 64 MiB."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.left = max(2**26, 4 * len(content))

    def find_class(self, module: str, name: str) -> type:
        try:
            found = _KNOWN[module, name]
        except KeyError:
            raise UnsafePickleError(f"{module}.{name}") from None
        return found

    def load(self) -> Unpickled:
        return _Finish(self.left)(super().load())


class _Finish:
    """Replaces what stands for arrays by the arrays. What is shared stays shared.

    Args:
        left: bytes that the arrays may have.
    """

    def __init__(self, left: int) -> None:
        self.left = left
        self.done: dict[int, object] = {}
        self.kept: list[object] = []  # so that no id is used a second time

    def __call__(self, content: object) -> Unpickled:
        if isinstance(content, str | bytes | bytearray | int | float | bool | np.generic | None):
            return content
        if id(content) not in self.done:
            self.kept.append(content)
            self.done[id(content)] = _OPEN
            self.done[id(content)] = self._made(content)
        made = self.done[id(content)]
        if made is _OPEN:
            raise pickle.UnpicklingError("a list that holds itself")
        return made

    def _made(self, content: object) -> Unpickled:
        if isinstance(content, _Array):
            if content.array is None:
                raise pickle.UnpicklingError("an array without content")
            self.left -= content.array.nbytes
            if self.left < 0:
                raise PickleBudgetError("arrays of more bytes than the file has")
            return content.array.copy()
        if isinstance(content, dict):
            return {self(key): self(value) for key, value in content.items()}
        if isinstance(content, list | tuple | set | frozenset):
            return type(content)(map(self, content))
        raise UnsafePickleError(f"an object of type {type(content).__name__}")


_OPEN = object()
