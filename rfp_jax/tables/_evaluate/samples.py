"""One sample of a data source: read, checked against the table's types, and never an exception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._util.trees import Given
from rfp_jax.tables._evaluate.labels import LABELS, is_unknown
from rfp_jax.tables._evaluate.options import Columns
from rfp_jax.tables._evaluate.places import Form
from rfp_jax.tables._evaluate.values import (
    CAN_BE_MISSING,
    KINDS,
    check_text,
    describe,
    printable,
    scalar,
    text_of,
)

REASON_LENGTH = 500
"""A reason is cut here: some libraries put a whole file into their messages."""


class DataSource(Protocol):
    """Random access to samples: a Grain data source, a `grain.MapDataset`, a list of dicts."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Given: ...


class ReadSample(NamedTuple):
    """A sample as it was read at one index.

    Attributes:
        number: its index in the data source.
        id: its name.
        inputs: the arrays for the model, in the order of its arguments; empty if the sample failed.
        label: as the table stores it; None if the sample failed or has none.
        metadata: further values by name, as the table stores them; empty if they could not be read.
        failure: why the sample cannot be evaluated; "" if it can.
    """

    number: int
    id: str
    inputs: tuple[np.ndarray, ...] = ()
    label: Given = None
    metadata: Mapping[str, Given] = {}
    failure: str = ""


@dataclass(frozen=True)
class Keys:
    """Names of what a sample holds, checked.

    Attributes:
        inputs: keys of the model's arguments, in the model's order.
        others: those of them that are not sources.
        metadata: names of the metadata.
    """

    inputs: tuple[str, ...]
    others: frozenset[str]
    metadata: tuple[str, ...]

    @classmethod
    def from_columns(cls, columns: Columns, sources: Sequence[str], others: Sequence[str]) -> Keys:
        """Work them out.

        Raises:
            ValueError: `columns.inputs` lacks one of the other inputs, or names something twice.
        """
        inputs = tuple((*sources, *others) if columns.inputs is None else columns.inputs)
        if lacking := [name for name in others if name not in inputs]:
            raise ValueError(f"the inputs {inputs} lack {lacking}, which are among other_inputs")
        if len(set(inputs)) < len(inputs):
            raise ValueError(f"an input is named twice: {', '.join(inputs)}")
        return cls(inputs, frozenset(others), tuple(columns.metadata))

    @property
    def argnums(self) -> tuple[int, ...]:
        """Places of the sources among the arguments of `fun(params, *inputs)`."""
        return tuple(n for n, key in enumerate(self.inputs, 1) if key not in self.others)


@dataclass(frozen=True)
class Schema:
    """Shapes and dtypes that all samples share.

    Attributes:
        inputs: shape and dtype of each array for the model.
        label: the kind of label, a key of `LABELS`; None if samples have none.
        metadata: the kind of each further value, a key of `KINDS`.
        form: that of outputs with places; their labels go to the device, after the inputs.
    """

    inputs: tuple[jax.ShapeDtypeStruct, ...]
    label: str | None
    metadata: Mapping[str, str]
    form: Form | None = None

    @property
    def arrays(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the arrays of a sample that go to the device."""
        if self.form is None or not self.form.is_labeled:
            return self.inputs
        return (*self.inputs, self.form.label)


@dataclass(frozen=True)
class Reader:
    """Reads samples.

    Attributes:
        data: the data source.
        columns: where in a sample what is found.
        keys: the names of what is found, checked.
        classes: names of the model's outputs.
        dtype: the floating-point dtype that inputs are given to the model in; None to leave them.
    """

    data: DataSource
    columns: Columns
    keys: Keys
    classes: tuple[str, ...]
    dtype: np.dtype | None = None

    def name(self, index: int) -> str:
        """Return the name of a sample that was not read yet."""
        ids = self.columns.ids
        return str(index) if ids is None else text_of(ids[index]) or str(index)

    def open(self, index: int) -> tuple[str, Mapping[str, Given]]:
        """Return a sample's name, and the sample as the data source gives it."""
        raw = self.data[index]
        if self.columns.ids is not None or self.columns.id not in raw:
            return self.name(index), raw
        return text_of(raw[self.columns.id]) or str(index), raw

    def read(self, index: int, schema: Schema) -> ReadSample:
        """Read one sample; what is wrong with it becomes its `failure`."""
        sample = ReadSample(index, str(index))
        try:
            sample = sample._replace(id=printable(self.name(index)))
            name, raw = self.open(index)
            sample = sample._replace(id=printable(name))
            sample = sample._replace(id=check_text(name))
            sample = sample._replace(label=self._label(raw, schema))
            sample = sample._replace(metadata=dict(self._metadata(raw, schema)))
            inputs = (*self._inputs(raw, schema), *self._places(raw, schema))
            return sample._replace(inputs=inputs)
        except MemoryError:  # the machine's fault, not the sample's
            raise
        except Exception as error:
            return sample._replace(failure=reason(error))

    def input(self, raw: Mapping[str, Given], key: str) -> np.ndarray:
        """Return an array for the model in the dtype that it is given in.

        Raises:
            ValueError, TypeError: there is none, or it is not of a kind that the model can take.
        """
        given = entry(raw, key)
        array = given if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
        dtype = self._dtype(array, key)
        if isinstance(array, np.ma.MaskedArray):
            return self._unmasked(array, key, dtype)
        if array.dtype.kind in "iu" and np.dtype(dtype).kind in "iu":
            info = np.iinfo(dtype)
            if array.size and not (info.min <= array.min() and array.max() <= info.max):
                raise ValueError(f"'{key}' holds numbers out of the range of {dtype}")
        return array.astype(dtype, copy=False)

    def _dtype(self, array: np.ndarray, key: str) -> np.dtype:
        given = array.dtype.newbyteorder("=")  # JAX takes the machine's byte order alone
        floating = jnp.issubdtype(given, np.floating)
        if key in self.keys.others and not floating:
            if array.dtype.kind not in "biu":
                raise TypeError(
                    f"'{key}' must hold numbers or bools, got {describe(array)}: turn dates and "
                    "text into numbers"
                )
            return np.dtype(jax.dtypes.canonicalize_dtype(given))
        if array.dtype.kind not in "biufV" or not (floating or self.dtype is not None):
            raise TypeError(
                f"'{key}' must be floating point, got {describe(array)}: what is not a source is "
                "named in other_inputs"
            )
        return np.dtype(jax.dtypes.canonicalize_dtype(self.dtype or given))

    def _unmasked(self, array: np.ma.MaskedArray, key: str, dtype: np.dtype) -> np.ndarray:
        fill, masked = self.columns.fill_of(key), int(np.ma.count_masked(array))
        if masked and np.isnan(fill):
            raise ValueError(
                f"'{key}': {masked} of {array.size} values are masked: name what stands in their "
                "place with Columns(fill=...)"
            )
        if masked and not jnp.issubdtype(dtype, np.floating) and fill != int(fill):
            raise ValueError(f"'{key}': {masked} values are masked, and {dtype} has no {fill}")
        return np.ma.filled(array.astype(dtype), fill) if masked else array.data.astype(dtype)

    def _inputs(self, raw: Mapping[str, Given], schema: Schema):
        for expected, key in zip(schema.inputs, self.keys.inputs, strict=True):
            array = self.input(raw, key)
            if array.shape != expected.shape:
                raise ValueError(f"'{key}' must have the shape {expected.shape}, got {array.shape}")
            if jnp.promote_types(array.dtype, expected.dtype) != expected.dtype:
                raise TypeError(f"'{key}' must be {expected.dtype}, got {describe(array)}")
            array = array.astype(expected.dtype, copy=False)
            if not (finite := np.isfinite(array)).all():
                raise ValueError(
                    f"'{key}': {np.sum(~finite)} of {array.size} values are not finite"
                )
            yield array

    def _label(self, raw: Mapping[str, Given], schema: Schema) -> Given:
        key = self.columns.label
        if schema.label is None:
            if key in raw and not is_unknown(raw[key]):
                raise ValueError(
                    f"it has a '{key}', which the samples looked at first have not: say what "
                    "labels are with labels=..."
                )
            return None
        if schema.form is not None:  # a class for each place: see `_places`
            return None
        try:
            return LABELS[schema.label].read(entry(raw, key), self.classes)
        except (ValueError, TypeError) as error:
            raise _of("the label", error) from error

    def _places(self, raw: Mapping[str, Given], schema: Schema) -> tuple[np.ndarray, ...]:
        """Return the label of outputs with places, if there are labels."""
        if schema.form is None or not schema.form.is_labeled:
            return ()
        try:
            label = entry(raw, self.columns.label)
            for key in self.keys.inputs:
                _check_systems(label, key, entry(raw, key))
            return (schema.form.read(label),)
        except (ValueError, TypeError) as error:
            raise _of("the label", error) from error

    def _metadata(self, raw: Mapping[str, Given], schema: Schema):
        for key, name in schema.metadata.items():
            given, kind = entry(raw, key), KINDS[name]
            try:
                value = scalar(given)
                if value is None and name not in CAN_BE_MISSING:
                    raise TypeError(f"must be {name}, it is missing")
                yield key, kind.fill if value is None else kind.read(value)
            except (ValueError, TypeError) as error:
                raise _of(f"metadata '{key}'", error) from error


def _check_systems(label: Given, key: str, given: Given) -> None:
    """Refuse a label that lies in another coordinate system than an input; both of rioxarray."""
    own, other = (getattr(getattr(each, "rio", None), "crs", None) for each in (label, given))
    if own is not None and other is not None and own != other:
        raise ValueError(
            f"it lies in {own}, and '{key}' in {other}: bring it there, with "
            "rioxarray.open_rasterio(label).rio.reproject_match(image), nearest neighbor"
        )


def _of(what: str, error: ValueError | TypeError) -> ValueError | TypeError:
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{what}: {error}")


def stack(samples: Sequence[ReadSample | None], schema: Schema) -> tuple[np.ndarray, ...]:
    """Put samples into one batch, with zeros where a sample failed or there is only padding."""
    batch = tuple(np.zeros((len(samples), *x.shape), x.dtype) for x in schema.arrays)
    for row, sample in enumerate(samples):
        for whole, array in zip(batch, sample.inputs if sample else (), strict=False):
            whole[row] = array
    return batch


def reason(error: Exception) -> str:
    """Return what an exception says in one line that can be stored and printed."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # its own __str__ fails
        text = f"{type(error).__name__}, which cannot say why"
    return printable(" ".join(text.split()))[:REASON_LENGTH]


def entry(raw: Mapping[str, Given], key: str) -> Given:
    """Return what a sample holds under a key.

    Raises:
        ValueError: there is nothing; says what there is.
    """
    if key not in raw:
        raise ValueError(f"no '{key}' in the sample, which has {', '.join(map(repr, raw))}")
    return raw[key]
