"""Shapes and dtypes of samples, found out from samples all over the data set.

The first samples decide nothing: those that are looked at are evenly spaced, and have one vote
each: a bad one among them is a bad sample, not another kind of data set. What a caller has said
(kinds of labels and of metadata, the dtype) is not up to a vote.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given
from rfp_jax.tables._evaluate.errors import BadSampleError
from rfp_jax.tables._evaluate.labels import LABELS, is_unknown, the_one_reading
from rfp_jax.tables._evaluate.places import Form, check_labels
from rfp_jax.tables._evaluate.samples import Reader, Schema, reason
from rfp_jax.tables._evaluate.values import KINDS, kind_of, printable, scalar

Inputs = tuple[jax.ShapeDtypeStruct, ...]
"""Shapes and dtypes of a sample's inputs."""

PROBES = 16
"""So many samples, evenly spaced, tell what samples look like, and one data set from another."""

DIGITS = 16
"""Hexadecimal digits of a hash: enough to tell two values apart."""


class Probe(NamedTuple):
    """One sample as it speaks for all.

    Attributes:
        number: its index.
        id: its name.
        inputs: shapes and dtypes of its inputs; None if they cannot be read.
        label: its label, as it is; None without one.
        metadata: its further values, as they are.
        failure: why its inputs cannot be read.
        digests: hashes of what it holds, by name.
    """

    number: int
    id: str
    inputs: tuple[jax.ShapeDtypeStruct, ...] | None
    label: Given
    metadata: Mapping[str, Given]
    failure: str
    digests: Mapping[str, str]


def probe(reader: Reader, index: int) -> Probe:
    """Look at one sample."""
    name = str(index)
    try:
        name = printable(reader.name(index))
        given, raw = reader.open(index)
        name = printable(given)
        label = raw.get(reader.columns.label)
        metadata = {key: raw[key] for key in reader.keys.metadata if key in raw}
        arrays = [reader.input(raw, key) for key in reader.keys.inputs]
        digests = {"inputs": _digest(*arrays), "id": _digest(name), "label": _digest(label)}
        digests |= {f"metadata.{key}": _digest(value) for key, value in metadata.items()}
    except MemoryError:
        raise
    except Exception as error:
        return Probe(index, name, None, None, {}, reason(error), {})
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays)
    return Probe(index, name, shapes, label, metadata, "", digests)


def look(reader: Reader, most: int | None) -> list[Probe]:
    """Look at samples evenly spaced; if none of them can be read, at others until one can.

    Args:
        reader: reads the samples.
        most: how many may fail; None for any number.

    Raises:
        BadSampleError: no sample can be read, or more have failed than may.
    """
    probes = [probe(reader, index) for index in spaced(len(reader.data))]
    if any(each.inputs is not None for each in probes):
        return probes
    failed = len(probes)
    for index in _others(len(reader.data)):
        if most is not None and failed > most:
            break
        each = probe(reader, index)
        if each.inputs is not None:
            return [*probes, each]
        failed += 1
    shown = [f"  {each.id}: {each.failure}" for each in probes]
    raise BadSampleError("\n".join([f"none of {failed} samples can be read:", *shown]))


def infer(
    reader: Reader,
    probes: Sequence[Probe],
    label: str | None,
    form_of: Callable[[Inputs, bool], Form | None],
) -> Schema:
    """Return what samples must look like.

    Args:
        reader: reads the samples.
        probes: those that were looked at.
        label: the kind of label, or None to find it out.
        form_of: returns the form of the model's outputs for such inputs, with or without labels;
            raises if the model does not take them.

    Raises:
        ValueError: labels or metadata can be read in several ways.
        Exception: what `form_of` raised, if the model takes none of the samples.
    """
    readable = [each for each in probes if each.inputs is not None]
    labels = [(each.id, each.label) for each in readable if not is_unknown(each.label)]
    metadata = {key: _metadata(reader, readable, key) for key in reader.keys.metadata}
    refused: list[Exception] = []
    for inputs in _candidates(readable):
        try:
            form = form_of(inputs, bool(labels) or label is not None)
        except Exception as error:
            refused.append(error)
            continue
        if form is None:
            return Schema(inputs, _label(reader, labels, label), metadata)
        check_labels(form, labels, label)
        return Schema(inputs, "class" if form.is_labeled else None, metadata, form)
    raise refused[0]


def hash_samples(probes: Sequence[Probe], metadata: Sequence[str]) -> dict[str, list[str | None]]:
    """Return what tells one data set from another: hashes of what some samples hold, by name.

    None stands for what could not be read: a file that was repaired makes no other data set.
    """
    names = ("inputs", "id", "label", *(f"metadata.{key}" for key in metadata))
    return {name: [each.digests.get(name) for each in probes[:PROBES]] for name in names}


def spaced(count: int) -> list[int]:
    """Return places evenly spaced from the first to the last.

    Examples:
        >>> spaced(3), spaced(61)[:4], spaced(61)[-1]
        ([0, 1, 2], [0, 4, 8, 12], 60)
    """
    return sorted({round((count - 1) * i / (PROBES - 1)) for i in range(PROBES)})


def _others(count: int) -> Iterator[int]:
    """Return all other places, in an order that jumps about but is always the same."""
    done = set(spaced(count))
    return (int(i) for i in np.random.default_rng(0).permutation(count) if int(i) not in done)


def _candidates(probes: Sequence[Probe]) -> Iterator[tuple[jax.ShapeDtypeStruct, ...]]:
    """Shapes, the most common first, with the dtype that holds all samples of that shape."""
    shapes = Counter(tuple(x.shape for x in each.inputs or ()) for each in probes)
    for shape, _ in shapes.most_common():
        alike = [e.inputs for e in probes if e.inputs and shape == tuple(x.shape for x in e.inputs)]
        dtypes = [jnp.result_type(*(x.dtype for x in each)) for each in zip(*alike, strict=True)]
        yield tuple(map(jax.ShapeDtypeStruct, shape, dtypes))


def _label(reader: Reader, labels: Sequence[tuple[str, Given]], given: str | None) -> str | None:
    if given is not None:
        if given not in LABELS:
            raise ValueError(f"labels={given!r}: must be one of {', '.join(map(repr, LABELS))}")
        return given
    return the_one_reading(labels, reader.classes) if labels else None


def _metadata(reader: Reader, probes: Sequence[Probe], key: str) -> str:
    declared = reader.columns.metadata
    if isinstance(declared, Mapping):
        if declared[key] not in KINDS:
            raise ValueError(
                f"metadata '{key}': {declared[key]!r} must be one of {', '.join(KINDS)}"
            )
        return declared[key]
    found: dict[str, list[str]] = {}
    refused = ""
    for each in probes:
        try:
            kind = kind_of(each.metadata.get(key))
        except Exception as error:  # that sample will fail
            refused = refused or f"{each.id}: {reason(error)}"
            continue
        if kind is not None:
            found.setdefault(kind, []).append(each.id)
    if "float" in found:
        found["float"] += found.pop("int", [])  # a whole number is a number
    votes = sum(map(len, found.values()))
    if won := [kind for kind, names in found.items() if 2 * len(names) > votes]:
        return won[0]
    if refused and not found:
        raise ValueError(f"metadata '{key}' cannot be stored: {refused}")
    seen = ", ".join(f"{kind} in {names[0]}" for kind, names in found.items())
    what = f"can be stored in several ways: {seen}" if found else "is missing where we looked"
    raise ValueError(
        f"metadata '{key}' {what}. Say which kind it is with "
        f"Columns(metadata={{'{key}': ...}}), one of {', '.join(KINDS)}"
    )


def _digest(*values: Given) -> str:
    digest = hashlib.sha256()
    for value in values:
        array = value if isinstance(value, np.ndarray) else _as_array(value)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:DIGITS]


def _as_array(value: Given) -> np.ndarray:
    """A value as an array of bytes that are the same in every process."""
    try:
        array = np.asarray(scalar(value))
    except (TypeError, ValueError):  # a list of names, for instance
        array = np.asarray(value)
    if array.dtype == object or isinstance(array.dtype, np.dtypes.StringDType):
        return np.asarray(type(value).__name__ if array.dtype == object else array.tolist())
    return array
