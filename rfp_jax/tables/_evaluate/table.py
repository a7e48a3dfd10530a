"""The layout of a relevance table: its variables, and how samples become their rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rfp_jax._util.parts import BIAS
from rfp_jax._util.trees import Json
from rfp_jax.tables._evaluate.labels import LABELS, UNKNOWN
from rfp_jax.tables._evaluate.places import Form
from rfp_jax.tables._evaluate.regions import ITEM, samples_of_regions, words_of_maps
from rfp_jax.tables._evaluate.samples import ReadSample, Schema
from rfp_jax.tables._evaluate.values import KINDS, TEXT, TIME_UNITS, Fill, check_text

Attribute = str | int | float | list[int]
"""Types that every format that xarray writes can keep as an attribute."""

Column = np.ndarray | Sequence[object]
"""Values of a variable, one per row; None where nothing is known."""

NESTED = ("versions", "model", "data", "sources", "classes", "places")
"""Attributes of a table that are JSON."""


class Variable(NamedTuple):
    """A variable of the table.

    Attributes:
        dims: names of its dimensions.
        dtype: what it holds.
        fill: its value where nothing was computed.
        attributes: what it is, in words and units (CF conventions).
    """

    dims: tuple[str, ...]
    dtype: np.dtype
    fill: Fill
    attributes: Mapping[str, Attribute]


class Row(NamedTuple):
    """The results for one sample.

    Attributes:
        sample: the sample.
        relevance: [sources + bias, classes]; of outputs with places [region, ...].
        output: [classes]; of outputs with places [region, ...].
        pixels: [region, classes] of outputs with places.
        maps: by name, of outputs with places.
    """

    sample: ReadSample
    relevance: np.ndarray
    output: np.ndarray
    pixels: np.ndarray | None = None
    maps: Mapping[str, np.ndarray] = {}

    @property
    def finite(self) -> bool:
        """Return whether all numbers are finite; not so if the sample failed."""
        there = slice(None) if self.pixels is None else self.pixels.sum(-1) > 0
        numbers = (self.relevance[there], self.output[there])
        return not self.sample.failure and all(bool(np.isfinite(x).all()) for x in numbers)


@dataclass(frozen=True)
class Table:
    """The layout of a relevance table.

    Attributes:
        schema: what samples look like.
        sources: names of the sources, without the bias.
        classes: names of the outputs.
        dtype: dtype of relevance and output.
        units: units by name of metadata, and of `"output"`.
    """

    schema: Schema
    sources: tuple[str, ...]
    classes: tuple[str, ...]
    dtype: np.dtype
    units: Mapping[str, str]

    @property
    def rows(self) -> dict[str, int]:
        """Return the number of rows per sample, for each dimension that counts samples."""
        form = self.schema.form
        if form is None:
            return {"sample": 1}
        return {"sample": form.regions, **({ITEM: 1} if form.keep_maps else {})}

    @property
    def along(self) -> dict[str, int]:
        """Dimensions of places that are kept, and their sizes."""
        form = self.schema.form
        kept = form is not None and form.keep_maps
        return dict(zip(form.along, form.sizes, strict=True)) if form and kept else {}

    @property
    def numbers(self) -> set[str]:
        """Names of the variables that are not coordinates."""
        return {n for n in self.variables if n in ("relevance", "output", "pixels") or "map_" in n}

    @property
    def coordinates(self) -> dict[str, tuple[np.ndarray, Mapping[str, Attribute]]]:
        """Names along the dimensions and their attributes, the same for every sample."""
        return {
            "source": (np.array([*self.sources, BIAS]), {"long_name": "source of relevance"}),
            "class": (np.array(self.classes), {"long_name": "class"}),
        }

    @property
    def variables(self) -> dict[str, Variable]:
        """Return what there is for every sample, by name."""
        sample, per_class = ("sample",), ("sample", "class")
        units = {"units": self.units.get("output", "1")}
        named = self._flags()
        found = {"id": Variable(sample, TEXT, "", {"long_name": "name of the sample"})}
        if (label := self.schema.label) is not None:
            kind = LABELS[label]
            words = {"class": "true class", "multi": "true classes", "soft": "class probabilities"}
            attributes = {"long_name": words.get(label, "target"), "label_kind": label}
            attributes |= {"class": named, "target": units}.get(label, {})
            found["label"] = Variable(
                per_class if kind.per_class else sample, kind.dtype, kind.fill, attributes
            )
        if label == "multi":
            attributes = {"long_name": "predicted classes", "comment": "output >= 0"}
            found["prediction"] = Variable(per_class, np.dtype(bool), False, attributes)
        elif label != "target":
            attributes = {"long_name": "predicted class", "comment": "highest output", **named}
            found["prediction"] = Variable(sample, np.dtype(np.int64), UNKNOWN, attributes)
        for name, kind in self.schema.metadata.items():
            attributes = {"long_name": name.replace("_", " ")}
            if kind == "time":
                attributes |= {"units": TIME_UNITS, "calendar": "proleptic_gregorian"}
            elif name in self.units:
                attributes |= {"units": self.units[name]}
            found[name] = Variable(sample, KINDS[kind].dtype, KINDS[kind].fill, attributes)
        found["failure"] = Variable(
            sample, TEXT, "", {"long_name": "why the sample could not be evaluated"}
        )
        found["finite"] = Variable(
            sample, np.dtype(bool), False, {"long_name": "all numbers are finite"}
        )
        if self.schema.form is not None:
            found |= self._places(self.schema.form, named, units)
        found["relevance"] = Variable(
            ("sample", "source", "class"), self.dtype, np.nan, {"long_name": "relevance", **units}
        )
        found["output"] = Variable(
            per_class, self.dtype, np.nan, {"long_name": "output of the model", **units}
        )
        return found

    def _places(
        self, form: Form, named: Mapping[str, Attribute], units: Mapping[str, Attribute]
    ) -> dict[str, Variable]:
        whole, words = np.dtype(np.int64), "places of the region by predicted class, or by true one"
        found = {
            "number": Variable(("sample",), whole, -1, {"long_name": "index in the data source"}),
            "pixels": Variable(("sample", "class"), whole, 0, {"long_name": words}),
        }
        if not form.keep_maps:
            return found
        described = words_of_maps(named, units)
        if not form.is_labeled:
            del described["map_label"]
        for name, attributes in described.items():
            has_class = name in ("map_prediction", "map_label")
            dtype, fill = (np.dtype(np.int16), UNKNOWN) if has_class else (self.dtype, np.nan)
            dims = (ITEM, *(("source",) if name == "map_relevance" else ()), *form.along)
            found[name] = Variable(dims, np.dtype(dtype), fill, attributes)
        return found

    def _flags(self) -> dict[str, Attribute]:
        meanings = ["unknown", *("_".join(name.split()) for name in self.classes)]
        return {
            "flag_values": list(range(UNKNOWN, len(self.classes))),
            "flag_meanings": " ".join(meanings),
        }

    def columns(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Turn the rows of a chunk into arrays, one a variable.

        A sample that failed keeps what is known of it; the rest is the variable's fill value.
        """
        variables = self.variables
        form, samples = self.schema.form, [row.sample for row in rows]
        relevance = np.stack([row.relevance for row in rows]).astype(self.dtype)
        output = np.stack([row.output for row in rows]).astype(self.dtype)
        finite = np.array([row.finite for row in rows])
        known: dict[str, Column] = {}
        is_empty = np.zeros(len(rows), bool)
        if form is not None:
            pixels = np.stack([row.pixels for row in rows if row.pixels is not None])
            pixels[[bool(sample.failure) for sample in samples]] = 0
            known = {**self._maps(rows), "pixels": pixels.reshape(-1, form.classes)}
            is_empty = pixels.sum(-1).ravel() == 0
            samples = samples_of_regions(form, samples)
            relevance = relevance.reshape(-1, *relevance.shape[2:])
            output = output.reshape(-1, form.classes)
            known["number"] = [sample.number for sample in samples]
            finite = np.isfinite(output).all(-1) & np.isfinite(relevance).all((1, 2))
            finite &= ~is_empty
        failed = np.array([bool(sample.failure) for sample in samples])
        relevance[failed], output[failed] = np.nan, np.nan
        nothing = failed | is_empty
        multi = self.schema.label == "multi"
        columns: dict[str, Column] = {
            "id": [sample.id for sample in samples],
            "label": [sample.label for sample in samples],
            "prediction": output >= 0 if multi else np.where(nothing, UNKNOWN, output.argmax(-1)),
            "failure": [sample.failure for sample in samples],
            "finite": finite,
            "relevance": relevance,
            "output": output,
            **known,
        }
        for name in self.schema.metadata:
            columns[name] = [sample.metadata.get(name) for sample in samples]
        sizes = {"source": len(self.sources) + 1, "class": len(self.classes), **self.along}
        return {
            name: _column(columns[name], variable, tuple(sizes[dim] for dim in variable.dims[1:]))
            for name, variable in variables.items()
        }

    def _maps(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """The maps of samples, with fill values where a sample failed."""
        failed = np.array([bool(row.sample.failure) for row in rows])
        found = {}
        for name, variable in self.variables.items():
            if ITEM in variable.dims:
                found[name] = np.stack([row.maps[name] for row in rows]).astype(variable.dtype)
                found[name][failed] = variable.fill
        return found


def flat(identity: Mapping[str, Json]) -> dict[str, Attribute]:
    """Return what is known of a table as attributes that every format keeps: JSON where nested.

    Examples:
        >>> flat({"rules": "lrp0", "versions": {"jax": "0.10.2"}})
        {'rules': 'lrp0', 'versions': '{"jax": "0.10.2"}'}
    """
    nested = {k: json.dumps(v, ensure_ascii=False) for k, v in identity.items() if k in NESTED}
    return {**identity, **nested}


def nested(attributes: Mapping[str, Json]) -> dict[str, Json]:
    """Return attributes of a table with what is JSON in them decoded.

    Examples:
        >>> nested({"rules": "lrp0", "versions": '{"jax": "0.10.2"}'})
        {'rules': 'lrp0', 'versions': {'jax': '0.10.2'}}
    """
    texts = {k: v for k, v in attributes.items() if k in NESTED and isinstance(v, str)}
    return {**attributes, **{name: json.loads(text) for name, text in texts.items()}}


def check_names(sources: Sequence[str], classes: Sequence[str], metadata: Sequence[str]) -> None:
    """Refuse names that a table cannot have.

    Names of metadata become names of arrays on the disk, so they must be plain identifiers.

    Raises:
        ValueError: says which name is wrong, and why.
        TypeError: names are not a sequence of strings.
    """
    for what, names in (("sources", sources), ("classes", classes), ("metadata", metadata)):
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"{what} must be a sequence of strings, got {names!r}")
        if twice := sorted(name for name, n in Counter(names).items() if n > 1):
            raise ValueError(f"{what} must differ from one another, twice: {', '.join(twice)}")
        for name in names:
            check_text(name)
    if not sources or not classes:
        raise ValueError("at least one source and one class must be named")
    if BIAS in sources:
        raise ValueError(f"'{BIAS}' is what came from no source; call the source something else")
    reserved = {"id", "label", "prediction", "failure", "finite", "relevance", "output", "proof"}
    reserved |= {"number", "pixels"}
    for name in metadata:
        if not name.isidentifier() or name in reserved | {"sample", "source", "class"}:
            raise ValueError(f"metadata cannot be called {name!r}: choose another plain name")


def _column(values: Column, variable: Variable, shape: tuple[int, ...]) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values.astype(variable.dtype)
    column = np.full((len(values), *shape), variable.fill, variable.dtype)
    for row, value in enumerate(values):
        if value is not None:
            column[row] = value
    return column
