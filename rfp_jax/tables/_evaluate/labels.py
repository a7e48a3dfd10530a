"""Labels: class numbers, several classes, probabilities or regression targets.

A label is read as one of four kinds. Which one, a caller says; it is found out only where all
samples that were looked at have one reading in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rfp_jax._util.trees import Given
from rfp_jax.tables._evaluate.values import Fill, describe, printable, scalar

UNKNOWN = -1
"""The class of a sample whose class is not known."""

SUM_TOLERANCE = 1e-3
"""Probabilities may add up to 1 with this error: many are stored in half precision."""


class LabelKind(NamedTuple):
    """A kind of label.

    Attributes:
        dtype: how the table stores it.
        per_class: whether there is one value for each class, or one for all.
        fill: what stands where a sample's label is not known.
        read: turns a label into what is stored, given the names of the classes.
        words: what it is.
    """

    dtype: np.dtype
    per_class: bool
    fill: Fill
    read: Callable[[Given, Sequence[str]], Given]
    words: str


def readings(label: object, classes: Sequence[str]) -> list[str]:
    """Return every kind that a label could be of.

    Examples:
        >>> readings(2, ["water", "forest", "urban"])
        ['class']
        >>> readings([0, 1, 0], ["water", "forest", "urban"])
        ['class', 'multi', 'soft', 'target']
    """
    found = []
    for name, kind in LABELS.items():
        try:
            kind.read(label, classes)
        except Exception:  # an object of somebody else's may raise anything
            continue
        found.append(name)
    return found


def is_unknown(label: object) -> bool:
    """Return whether a label says that nothing is known: None, masked, or NaN."""
    if label is None or label is np.ma.masked:
        return True
    try:
        array = np.asarray(label)
    except Exception:  # whatever it is, it says something
        return False
    return array.dtype.kind == "f" and bool(np.isnan(array).all())


def _class(label: Given, classes: Sequence[str]) -> int:
    """Read the number or the name of a class, or a vector that is 1 at one class (one-hot)."""
    if np.ndim(label) == 1 and not isinstance(label, str | bytes):
        hot = _multi(label, classes)
        if hot.sum() != 1:
            raise ValueError(f"{_shown(label)} is 1 at {hot.sum()} classes")
        return int(hot.argmax())
    value = scalar(label)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        if value not in classes:
            raise ValueError(f"'{printable(value)}' is not the name of a class")
        return classes.index(value)
    if value is None or (number := _number(value)) != number:
        return UNKNOWN
    if number != int(number) or not UNKNOWN <= number < len(classes):
        raise ValueError(f"{value} is not the number of a class, there are {len(classes)}")
    return int(number)


def _multi(label: Given, classes: Sequence[str]) -> np.ndarray:
    """Read the names of classes, or one 0 or 1 for each class; one alone for a single class."""
    vector = _vector(label, classes)
    if vector.dtype.kind in "UT":
        if other := sorted(set(map(str, vector)) - set(classes)):
            raise ValueError(f"'{printable(other[0])}' is not the name of a class")
        return np.isin(np.asarray(classes), vector.astype(str))
    if not np.isin(vector, (0, 1)).all():
        raise ValueError(f"{_shown(label)} is not 0 or 1 for each class")
    return vector.astype(bool)


def _soft(label: Given, classes: Sequence[str]) -> np.ndarray:
    """Read the probabilities of all classes."""
    vector = _target(label, classes)
    if len(classes) == 1:
        raise ValueError("one class has no probabilities to share")
    whole = np.isclose(vector.sum(), 1, atol=SUM_TOLERANCE)
    if not np.isnan(vector).all() and ((vector < 0).any() or not whole):
        raise ValueError(f"{_shown(label)} are not probabilities that add up to 1")
    return vector


def _target(label: Given, classes: Sequence[str]) -> np.ndarray:
    """Read one number for each output; a number alone where there is one output."""
    vector = _vector(label, classes)
    if vector.dtype.kind not in "iuf":
        raise TypeError(f"{_shown(label)} is not a number for each output")
    return vector.astype(np.float64)


def _vector(label: Given, classes: Sequence[str]) -> np.ndarray:
    """Return the label as an array with one value for each class, or names of classes."""
    count = len(classes)
    if label is None or label is np.ma.masked:
        return np.full(count, np.nan)
    if isinstance(label, np.ma.MaskedArray):
        label = np.ma.filled(label.astype(np.float64), np.nan)
    array = np.asarray(label)
    names = array.dtype.kind in "UT" and array.ndim == 1
    if names or array.shape == (count,):
        return array
    if array.shape == () and count == 1:
        return array[None]
    raise ValueError(f"{_shown(label)} is not one value for each of {count} classes")


def _number(value: Given) -> float:
    if np.asarray(value).dtype.kind not in "iuf":
        raise TypeError(f"{_shown(value)} is not the number of a class")
    return float(value)


def _shown(label: object) -> str:
    if isinstance(label, np.ndarray) and label.size > 20:
        return describe(label)
    text = printable(str(label.tolist() if isinstance(label, np.ndarray) else label))
    return text if len(text) <= 80 else f"{text[:77]}..."


LABELS: Mapping[str, LabelKind] = {
    "class": LabelKind(
        np.dtype(np.int64), False, UNKNOWN, _class, "the number or name of one class, or one-hot"
    ),
    "multi": LabelKind(np.dtype(bool), True, False, _multi, "0 or 1 for each class"),
    "soft": LabelKind(np.dtype(np.float64), True, np.nan, _soft, "a probability for each class"),
    "target": LabelKind(
        np.dtype(np.float64), True, np.nan, _target, "a number for each output (regression)"
    ),
}
"""The kinds of labels."""


def the_one_reading(labels: Sequence[tuple[str, object]], classes: Sequence[str]) -> str:
    """Return the kind that all labels can be of, where there is one.

    A label that is of no kind that the others can be of is a bad label; most of them must fit.

    Args:
        labels: names of samples, and their labels; those that are unknown left out.
        classes: names of the classes.

    Raises:
        ValueError: there is none, or there are several; shows the first label and the choices.

    Examples:
        >>> the_one_reading([("p1", [True, True]), ("p2", [True, False])], ["water", "forest"])
        'multi'
    """
    counts = Counter(name for _, label in labels for name in readings(label, classes))
    most = max(counts.values(), default=0)
    possible = [name for name in LABELS if counts[name] == most and 2 * most > len(labels)]
    if len(possible) == 1:
        return possible[0]
    what = "can be read in several ways" if possible else "cannot be read as any one kind of label"
    name, label = labels[0]
    raise ValueError(
        "\n".join(
            [
                f"the labels {what}: that of {printable(name)} is {_shown(label)}, and there are "
                f"{len(classes)} classes. Say which it is:",
                *(f"  labels='{key}': {LABELS[key].words}" for key in possible or LABELS),
            ]
        )
    )
