"""One sample of a data source: read, checked, and never an exception."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

REASON_LENGTH = 500
"""A reason is cut here: some libraries put a whole file into their messages."""

KINDS: Mapping[str, np.dtype[Any]] = {
    "b": np.dtype(bool),
    "i": np.dtype(np.int64),
    "u": np.dtype(np.int64),
    "f": np.dtype(np.float64),
    "U": np.dtypes.StringDType(),
    "T": np.dtypes.StringDType(),
}
"""How a table stores a value, by the kind of its NumPy dtype."""

TRIES = 16
"""So many samples are looked at to find one that the model accepts."""


class DataSource(Protocol):
    """Random access to samples: a Grain data source, a `grain.MapDataset`, a list of dicts."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Sample(NamedTuple):
    """What was read at one index.

    Attributes:
        number: its index in the data source.
        id: its name.
        inputs: the arrays for the model, in the order of its arguments; empty if the sample failed.
        label: the true class, or one value a class; None if the sample failed or has none.
        metadata: further values by name; empty if they could not be read.
        failure: why the sample cannot be evaluated; "" if it can.
    """

    number: int
    id: str
    inputs: tuple[np.ndarray, ...] = ()
    label: np.ndarray | None = None
    metadata: Mapping[str, Any] = {}
    failure: str = ""


@dataclass(frozen=True)
class Keys:
    """Where in a sample what is found.

    Attributes:
        inputs: keys of the arrays for the model, in the order of its arguments.
        label: key of the label.
        id: key of the sample's name.
        metadata: keys of further values to keep.
    """

    inputs: tuple[str, ...]
    label: str
    id: str
    metadata: tuple[str, ...]


@dataclass(frozen=True)
class Schema:
    """What every sample must look like.

    Attributes:
        inputs: shape and dtype of each array for the model.
        label: shape and dtype of the label, or None if samples have none.
        metadata: dtype of each further value.
    """

    inputs: tuple[jax.ShapeDtypeStruct, ...]
    label: jax.ShapeDtypeStruct | None
    metadata: Mapping[str, np.dtype[Any]]


@dataclass(frozen=True)
class Reader:
    """Reads samples and checks them.

    Attributes:
        data: the data source.
        keys: where in a sample what is found.
        classes: how many outputs the model has.
        dtype: the floating-point dtype that inputs are given to the model in; None to leave them.
        ids: names of all samples, or None to take them from the samples.
        schema: what a sample must look like; None while it is not known.
    """

    data: DataSource
    keys: Keys
    classes: int
    dtype: np.dtype[Any] | None = None
    ids: Sequence[object] | None = None
    schema: Schema | None = None

    @property
    def known(self) -> Schema:
        """What a sample must look like, once that is known."""
        assert self.schema is not None, "the schema is inferred before a batch is read"
        return self.schema

    def read(self, index: int) -> Sample:
        """Read one sample; what is wrong with it becomes its `failure`."""
        name = str(index if self.ids is None else self.ids[index])
        sample = Sample(index, name)
        try:
            raw = self.data[index]
            if not isinstance(raw, Mapping):
                raise TypeError(f"a sample must be a mapping of names to arrays, got {kind(raw)}")
            if self.ids is None and self.keys.id in raw:
                sample = sample._replace(id=str(np.asarray(raw[self.keys.id]).item()))
            sample = sample._replace(label=self._label(raw))
            sample = sample._replace(
                metadata={k: self._metadata(raw, k) for k in self.keys.metadata}
            )
            return sample._replace(inputs=tuple(self._inputs(raw)))
        except MemoryError:  # the machine's fault, not the sample's
            raise
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            return sample._replace(failure=text[:REASON_LENGTH], inputs=())

    def _inputs(self, raw: Mapping[str, Any]):
        for place, key in enumerate(self.keys.inputs):
            array = np.asarray(_entry(raw, key))
            dtype = self.dtype or jax.dtypes.canonicalize_dtype(array.dtype)
            if not jax.numpy.issubdtype(dtype, np.floating):
                raise TypeError(f"'{key}' must be floating point, got {kind(array)}")
            if self.schema and array.shape != self.schema.inputs[place].shape:
                expected = self.schema.inputs[place].shape
                raise ValueError(f"'{key}' must have the shape {expected}, got {array.shape}")
            array = array.astype(self.schema.inputs[place].dtype if self.schema else dtype)
            if not (finite := np.isfinite(array)).all():
                raise ValueError(
                    f"'{key}': {np.sum(~finite)} of {array.size} values are not finite"
                )
            yield array

    def _label(self, raw: Mapping[str, Any]) -> np.ndarray | None:
        expected = self.schema.label if self.schema else None
        if (self.schema and expected is None) or (not self.schema and self.keys.label not in raw):
            return None
        label = np.asarray(_entry(raw, self.keys.label))
        if label.dtype.kind not in "biuf" or label.shape not in ((), (self.classes,)):
            wanted = f"one number, or one for each of {self.classes} classes"
            raise ValueError(f"the label must be {wanted}, got {kind(label)}")
        if expected is not None and label.shape != expected.shape:
            raise ValueError(f"the label must have the shape {expected.shape}, got {label.shape}")
        if label.shape == () and label.dtype.kind in "iu" and not -1 <= label < self.classes:
            raise ValueError(f"the label is {label}, there are {self.classes} classes")
        return label

    def _metadata(self, raw: Mapping[str, Any], key: str) -> Any:
        value = np.asarray(_entry(raw, key))
        if value.shape != () or value.dtype.kind not in KINDS:
            raise TypeError(
                f"metadata '{key}' must be one number, bool or string, got {kind(value)}"
            )
        if self.schema:
            expected, given = self.schema.metadata[key], KINDS[value.dtype.kind]
            if given != expected and (given, expected) != (KINDS["i"], KINDS["f"]):
                raise TypeError(f"metadata '{key}' must be {expected}, got {kind(value)}")
        return value.item()


def infer_schema(reader: Reader, accepts: Callable[[Schema], object]) -> Schema:
    """Find out what samples look like from the first one that can be read and that the model takes.

    Args:
        reader: reads the samples.
        accepts: raises if the model does not take such samples.

    Returns:
        The schema of that sample.

    Raises:
        ValueError: if none of the first samples can be read, with their reasons.
        Exception: what `accepts` raised, if the model takes none of those that can be read.
    """
    failures: list[str] = []
    refused: list[tuple[Schema, Exception]] = []
    for index in range(min(TRIES, len(reader.data))):
        sample = reader.read(index)
        if sample.failure:
            failures.append(f"  {sample.id}: {sample.failure}")
            continue
        schema = _schema_of(sample)
        if any(schema == other for other, _ in refused):
            continue
        try:
            accepts(schema)
        except Exception as error:
            refused.append((schema, error))
            continue
        return schema
    if refused:
        raise refused[0][1]
    raise ValueError(
        "\n".join([f"none of the first {len(failures)} samples can be read:", *failures])
    )


def stack(samples: Sequence[Sample | None], schema: Schema) -> tuple[np.ndarray, ...]:
    """Put samples into one batch, with zeros where a sample failed or there is only padding."""
    batch = tuple(np.zeros((len(samples), *x.shape), x.dtype) for x in schema.inputs)
    for row, sample in enumerate(samples):
        for whole, array in zip(batch, sample.inputs if sample else (), strict=False):
            whole[row] = array
    return batch


def kind(value: object) -> str:
    """A short description of a value for an error message."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype}{list(value.shape)}"
    return type(value).__name__


def _schema_of(sample: Sample) -> Schema:
    label = sample.label
    return Schema(
        inputs=tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in sample.inputs),
        label=None if label is None else jax.ShapeDtypeStruct(label.shape, label.dtype),
        metadata={k: KINDS[np.asarray(v).dtype.kind] for k, v in sample.metadata.items()},
    )


def _entry(raw: Mapping[str, Any], key: str) -> Any:
    if key not in raw:
        raise ValueError(f"no '{key}' in the sample, which has {', '.join(map(repr, raw))}")
    return raw[key]
