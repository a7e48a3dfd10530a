"""Values that a table can hold: text, whole numbers, numbers, bools and times, each checked."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from rfp_jax._util.trees import Given

INT64 = np.iinfo(np.int64)
TIME_UNITS = "microseconds since 1970-01-01 00:00:00"
MISSING_TIME = INT64.min
"""NumPy's NaT."""

Fill = bool | int | float | str
"""A value where nothing is known."""

TEXT = np.dtypes.StringDType()


class Kind(NamedTuple):
    """A kind of value.

    Attributes:
        dtype: how the table stores it.
        fill: what stands where nothing is known.
        read: turns a value into what is stored. Raises ValueError or TypeError for another kind.
        takes: kinds of NumPy dtypes that are of this kind by nature.
    """

    dtype: np.dtype
    fill: Fill
    read: Callable[[Given], Given]
    takes: str


def describe(value: object) -> str:
    """Return a short description of a value for an error message."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype}{list(value.shape)}"
    return type(value).__name__


def scalar(value: object) -> Given:
    """Return one value without its array; None where it is missing or masked.

    Raises:
        TypeError: it is an array or something else.
    """
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, np.ma.MaskedArray) and value.shape == () and value.mask:
        return None
    if isinstance(value, datetime.date):
        return _time(value)
    if isinstance(value, str | bytes | os.PathLike):
        return os.fspath(value)  # not by an array, which loses zero bytes at the end
    array = np.asarray(value)
    if array.shape == () and array.dtype == object and array[()] is not value:
        return scalar(array[()])  # an object in an array of its own
    if array.shape != () or not any(array.dtype.kind in kind.takes for kind in KINDS.values()):
        if isinstance(value, int):
            raise ValueError(f"{value} does not fit 64 bits")
        raise TypeError(f"must be one number, bool, text or time, got {describe(value)}")
    return array[()]


def kind_of(value: object) -> str | None:
    """Return the kind that a value has by nature, a key of `KINDS`; None where it is missing.

    Examples:
        >>> kind_of(3), kind_of(np.float32(0.5)), kind_of("spring"), kind_of(None)
        ('int', 'float', 'text', None)

    Raises:
        TypeError: there is no such kind.
    """
    found = scalar(value)
    if found is None:
        return None
    return next(name for name, kind in KINDS.items() if np.asarray(found).dtype.kind in kind.takes)


def check_text(text: str) -> str:
    """Return text that can be stored as UTF-8.

    Raises:
        ValueError: it cannot, as a name of a file that was written in another encoding.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{printable(text)}' is not UTF-8") from None
    if "\0" in text:
        raise ValueError(f"'{printable(text)}' holds a zero byte")
    return text


def printable(text: str) -> str:
    r"""Return text that every file and terminal takes: what cannot be printed is escaped.

    Examples:
        >>> print(printable("gr\udcfcn.tif"))
        gr\udcfcn.tif
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def text_of(value: object) -> str:
    """Return a sample's name as text: that of a string, of bytes in UTF-8, or of a number."""
    found = scalar(value)
    if isinstance(found, bytes):
        return found.decode("utf-8", "surrogateescape")
    return "" if found is None else str(found)


def _bool(value: Given) -> bool:
    if np.asarray(value).dtype.kind != "b":
        raise TypeError(f"must be a bool, got {_shown(value)}")
    return bool(value)


def _int(value: Given) -> int:
    if np.asarray(value).dtype.kind not in "iu":
        raise TypeError(f"must be a whole number, got {_shown(value)}")
    if not INT64.min <= int(value) <= INT64.max:
        raise ValueError(f"{value} is out of the range of int64")
    return int(value)


def _float(value: Given) -> float:
    if np.asarray(value).dtype.kind not in "iuf":
        raise TypeError(f"must be a number, got {_shown(value)}")
    if np.asarray(value).dtype.kind != "f" and int(float(value)) != int(value):
        raise ValueError(f"{value} has more digits than float64 holds")
    return float(value)


def _text(value: Given) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise TypeError(f"must be text, got {_shown(value)}")
    return check_text(str(value))


def _time(value: Given) -> np.datetime64:
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    if not isinstance(value, np.datetime64 | datetime.date):
        raise TypeError(f"must be a time, got {_shown(value)}")
    missing = np.datetime64("NaT", "us")
    given = missing if str(value) == "NaT" else np.datetime64(value)  # pandas', too
    try:
        kept = given.astype("datetime64[us]")
        is_kept = np.isnat(given) or kept.astype("datetime64[s]") == given.astype("datetime64[s]")
    except OverflowError:  # of NumPy 2.5; before, it wraps around
        is_kept, kept = False, missing
    if not is_kept:
        raise ValueError(f"{given} is out of the range of times in microseconds")
    return kept


def _microseconds(value: Given) -> int:
    return int(_time(value).astype(np.int64))


def _shown(value: Given) -> str:
    return printable(repr(value.item() if isinstance(value, np.generic) else value))[:80]


KINDS: Mapping[str, Kind] = {
    "bool": Kind(np.dtype(bool), False, _bool, "b"),
    "int": Kind(np.dtype(np.int64), -1, _int, "iu"),
    "float": Kind(np.dtype(np.float64), np.nan, _float, "f"),
    "text": Kind(TEXT, "", _text, "UTS"),
    "time": Kind(np.dtype(np.int64), MISSING_TIME, _microseconds, "M"),
}
"""Kinds of metadata, as tables store them. A time is microseconds since 1970 UTC, as for xarray."""

CAN_BE_MISSING = ("float", "time")
"""Kinds with a value of their own for what is missing: NaN and NaT."""
