"""What a relevance table holds: its variables, and how samples become their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rfp_jax.evaluate.samples import KINDS, Sample, Schema

BIAS = "bias"
"""The last entry of the dimension `source`: what came from no source."""

TEXT = KINDS["U"]


class Variable(NamedTuple):
    """A variable of the table.

    Attributes:
        dims: names of its dimensions.
        dtype: what it holds.
        fill: its value where nothing was computed.
    """

    dims: tuple[str, ...]
    dtype: np.dtype[Any]
    fill: Any


class Row(NamedTuple):
    """What was computed for one sample.

    Attributes:
        sample: the sample.
        relevance: [sources + bias, classes].
        output: [classes].
    """

    sample: Sample
    relevance: np.ndarray
    output: np.ndarray

    @property
    def finite(self) -> bool:
        """Whether all numbers are finite; not so if the sample failed."""
        numbers = (self.relevance, self.output)
        return not self.sample.failure and all(bool(np.isfinite(x).all()) for x in numbers)


@dataclass(frozen=True)
class Table:
    """The layout of a relevance table.

    Attributes:
        schema: what samples look like.
        sources: names of the sources, without the bias.
        classes: names of the outputs.
        dtype: dtype of relevance and output.
    """

    schema: Schema
    sources: tuple[str, ...]
    classes: tuple[str, ...]
    dtype: np.dtype[Any]

    @property
    def multi_label(self) -> bool:
        """Whether a sample may belong to several classes."""
        label = self.schema.label
        return label is not None and label.shape != () and label.dtype.kind != "f"

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """Names along the dimensions, the same for every sample."""
        names = {"source": (*self.sources, BIAS), "class": self.classes}
        return {dim: np.array(each, dtype=TEXT) for dim, each in names.items()}

    @property
    def variables(self) -> dict[str, Variable]:
        """What there is for every sample, by name."""
        sample, per_class = ("sample",), ("sample", "class")
        number = np.dtype(np.int64)
        found = {"id": Variable(sample, TEXT, "")}
        if (label := self.schema.label) is not None:
            whole = np.dtype(bool) if self.multi_label else number
            dtype = KINDS["f"] if label.dtype.kind == "f" else whole
            found["label"] = Variable(per_class if label.shape else sample, dtype, _fill(dtype))
        if self.multi_label:
            found["prediction"] = Variable(per_class, np.dtype(bool), False)
        else:
            found["prediction"] = Variable(sample, number, _fill(number))
        for name, dtype in self.schema.metadata.items():
            found[name] = Variable(sample, dtype, _fill(dtype))
        found["failure"] = Variable(sample, TEXT, "")
        found["finite"] = Variable(sample, np.dtype(bool), False)
        found["relevance"] = Variable(("sample", "source", "class"), self.dtype, np.nan)
        found["output"] = Variable(per_class, self.dtype, np.nan)
        return found

    def columns(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Turn the rows of a chunk into arrays, one a variable.

        A sample that failed keeps what is known of it; the rest is the variable's fill value.
        """
        variables = self.variables
        samples = [row.sample for row in rows]
        failed = np.array([bool(sample.failure) for sample in samples])
        relevance = np.stack([row.relevance for row in rows]).astype(self.dtype)
        output = np.stack([row.output for row in rows]).astype(self.dtype)
        relevance[failed], output[failed] = np.nan, np.nan
        prediction = output >= 0 if self.multi_label else np.where(failed, -1, output.argmax(-1))
        columns: dict[str, Any] = {
            "id": [sample.id for sample in samples],
            "label": [sample.label for sample in samples],
            "prediction": prediction,
            "failure": [sample.failure for sample in samples],
            "finite": [row.finite for row in rows],
            "relevance": relevance,
            "output": output,
        }
        for name in self.schema.metadata:
            columns[name] = [sample.metadata.get(name) for sample in samples]
        sizes = {"source": len(self.sources) + 1, "class": len(self.classes)}
        return {
            name: _column(columns[name], variable, tuple(sizes[dim] for dim in variable.dims[1:]))
            for name, variable in variables.items()
        }


def check_names(sources: Sequence[str], classes: Sequence[str], metadata: Sequence[str]) -> None:
    """Refuse names that a table cannot have.

    Names of metadata become names of arrays on the disk, so they must be plain identifiers.

    Raises:
        ValueError: says which name is wrong, and why.
    """
    for what, names in (("sources", sources), ("classes", classes), ("metadata", metadata)):
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"{what} must be a sequence of strings, got {names!r}")
        if twice := sorted({name for name in names if list(names).count(name) > 1}):
            raise ValueError(f"{what} must differ from one another, twice: {', '.join(twice)}")
    if not sources or not classes:
        raise ValueError("at least one source and one class must be named")
    if BIAS in sources:
        raise ValueError(f"'{BIAS}' is what came from no source; call the source something else")
    reserved = {"id", "label", "prediction", "failure", "finite", "relevance", "output"}
    for name in metadata:
        if not name.isidentifier() or name in reserved | {"sample", "source", "class"}:
            raise ValueError(f"metadata cannot be called {name!r}: choose another plain name")


def _fill(dtype: np.dtype[Any]) -> Any:
    return {"b": False, "i": -1, "f": np.nan, "T": ""}[dtype.kind]


def _column(values: Any, variable: Variable, shape: tuple[int, ...]) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values.astype(variable.dtype)
    column = np.full((len(values), *shape), variable.fill, variable.dtype)
    for row, value in enumerate(values):
        if value is not None:
            column[row] = value
    return column
