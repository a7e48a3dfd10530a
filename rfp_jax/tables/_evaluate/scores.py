"""Scores of a model, by the kind of its labels; counted block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from rfp_jax._util.trees import Json
from rfp_jax.tables._evaluate.table import nested

if TYPE_CHECKING:
    import xarray as xr


class Measure(Protocol):
    """Counts samples, and says how right the model is on them."""

    @property
    def labeled(self) -> int:
        """Return how many samples have a label."""
        ...

    @property
    def accuracy(self) -> float | None:
        """The fraction of them that is predicted right; None if there are none, or no classes."""
        ...

    @property
    def details(self) -> dict[str, Json]:
        """Return what else there is to say."""
        ...

    def add(self, block: xr.Dataset) -> Self:
        """Count the samples of a block, none of which has failed."""
        ...


def of_table(table: xr.Dataset, kind: str | None) -> Measure:
    """Return the measure for a table: that of its labels, or of the pixels of its regions."""
    classes = [str(name) for name in table["class"].values]
    if "pixels" not in table:
        return of_kind(kind, classes)
    labeled = kind == "class" or nested(table.attrs).get("places", {}).get("labeled", False)
    return Pixels(tuple(classes), np.zeros((len(classes),) * 2, np.int64), labeled)


def of_kind(kind: str | None, classes: Sequence[str]) -> Measure:
    """Return the measure for a kind of label, with nothing counted."""
    zeros = np.zeros(len(classes))
    measures: Mapping[str | None, Measure] = {
        "class": OneLabel(),
        "soft": OneLabel(),
        "multi": MultiLabel(tuple(classes), zeros, zeros, zeros),
        "target": Regression(tuple(classes), zeros, zeros, zeros, zeros, zeros),
    }
    return measures.get(kind, Unlabeled())


@dataclass(frozen=True)
class Unlabeled:
    """Samples without labels."""

    labeled: int = 0
    accuracy: None = None

    @property
    def details(self) -> dict[str, Json]:
        """Nothing."""
        return {}

    def add(self, block: xr.Dataset) -> Self:
        """Count nothing."""
        return self


@dataclass(frozen=True)
class OneLabel:
    """Samples of one class, or of probabilities, the highest of which counts.

    Attributes:
        labeled: samples with a label.
        hits: those that are predicted right.
    """

    labeled: int = 0
    hits: int = 0

    @property
    def accuracy(self) -> float | None:
        """The fraction that is predicted right."""
        return self.hits / self.labeled if self.labeled else None

    @property
    def details(self) -> dict[str, Json]:
        """Nothing."""
        return {}

    def add(self, block: xr.Dataset) -> Self:
        """Count a block."""
        label, prediction = block.label.values, block.prediction.values
        if label.ndim == 2:
            known = np.isfinite(label).all(1)
            label = np.where(known, np.nan_to_num(label).argmax(1), -1)
        known = label >= 0
        hits = int((label == prediction)[known].sum())
        return replace(self, labeled=self.labeled + int(known.sum()), hits=self.hits + hits)


@dataclass(frozen=True)
class Pixels:
    """Places of regions, by true class and predicted class.

    The intersection over union of a class is `tp / (tp + fp + fn)`, counted over all samples; NaN
    of a class that is neither there nor predicted. The mean leaves such classes out.

    Attributes:
        classes: their names.
        counts: [class of the region, class by the other of label and prediction].
        is_labeled: whether the places have labels.
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    is_labeled: bool = True

    @property
    def labeled(self) -> int:
        """Return how many places have a label."""
        return int(self.counts.sum()) if self.is_labeled else 0

    @property
    def accuracy(self) -> float | None:
        """The fraction of them whose class is predicted right; None without labels."""
        return float(np.trace(self.counts)) / self.labeled if self.labeled else None

    @property
    def details(self) -> dict[str, Json]:
        """`iou` of each class by name, and `mean_iou`; nothing without labels."""
        if not self.labeled:
            return {}
        right = np.diagonal(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - right
        iou = np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)
        each = dict(zip(self.classes, iou.tolist(), strict=True))
        return {"iou": each, "mean_iou": float(np.nanmean(iou))}

    def add(self, block: xr.Dataset) -> Self:
        """Count a block."""
        over = block.label if "label" in block.coords else block.prediction
        counts = self.counts.copy()
        known = over.values >= 0
        np.add.at(counts, over.values[known], block.pixels.values[known])
        return replace(self, counts=counts)


@dataclass(frozen=True)
class MultiLabel:
    """Samples of several classes.

    Precision is `tp / (tp + fp)`, recall `tp / (tp + fn)`, F1 their harmonic mean
    `2 tp / (2 tp + fp + fn)`; 0 where nothing was predicted or nothing is there. `micro` adds up
    the counts of all classes first, `macro` is the mean over classes.

    Attributes:
        classes: their names.
        true: right predictions of each class (tp).
        predicted: predictions of each class (tp + fp).
        present: samples of each class (tp + fn).
        labeled: samples.
        hits: samples all of whose classes are predicted right, and no other.
    """

    classes: tuple[str, ...]
    true: np.ndarray
    predicted: np.ndarray
    present: np.ndarray
    labeled: int = 0
    hits: int = 0

    @property
    def accuracy(self) -> float | None:
        """The fraction of exact matches."""
        return self.hits / self.labeled if self.labeled else None

    @property
    def details(self) -> dict[str, Json]:
        """`scores`: precision, recall and F1, `micro`, `macro`, and `classes` by name."""
        each = [
            _scores(*counts) for counts in zip(self.true, self.predicted, self.present, strict=True)
        ]
        sums = (float(counts.sum()) for counts in (self.true, self.predicted, self.present))
        macro = {name: float(np.mean([found[name] for found in each])) for name in each[0]}
        by_class = dict(zip(self.classes, each, strict=True))
        return {"scores": {"micro": _scores(*sums), "macro": macro, "classes": by_class}}

    def add(self, block: xr.Dataset) -> Self:
        """Count a block."""
        label, prediction = block.label.values, block.prediction.values
        return replace(
            self,
            true=self.true + (label & prediction).sum(0),
            predicted=self.predicted + prediction.sum(0),
            present=self.present + label.sum(0),
            labeled=self.labeled + len(label),
            hits=self.hits + int((label == prediction).all(1).sum()),
        )


@dataclass(frozen=True)
class Regression:
    """Samples with a target for each output; a target that is NaN is not known.

    Attributes:
        outputs: names of the outputs.
        counts: targets of each output.
        absolute: sums of `|output - target|`.
        squared: sums of `(output - target)^2`.
        mean: mean targets.
        spread: sums of `(target - mean)^2`.
        labeled: samples with a target.
    """

    outputs: tuple[str, ...]
    counts: np.ndarray
    absolute: np.ndarray
    squared: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    labeled: int = 0

    @property
    def accuracy(self) -> float | None:
        """None: there are no classes."""
        return None

    @property
    def details(self) -> dict[str, Json]:
        """`errors` of each output by name: `rmse`, `mae`, and `r2`, the explained variance."""
        found = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            rmse, mae = np.sqrt(self.squared / self.counts), self.absolute / self.counts
            r2 = 1 - self.squared / self.spread
        for name, *values in zip(self.outputs, rmse, mae, r2, strict=True):
            found[name] = dict(zip(("rmse", "mae", "r2"), map(float, values), strict=True))
        return {"errors": found}

    def add(self, block: xr.Dataset) -> Self:
        """Count a block; means and spreads are joined as by Chan, Golub & LeVeque (1979)."""
        label = block.label.values.astype(np.float64).reshape(block.sizes["sample"], -1)
        known = np.isfinite(label)
        difference = np.where(known, block.output.values.astype(np.float64) - label, 0)
        counts, n = self.counts, known.sum(0)
        both = np.maximum(counts + n, 1)
        mean = np.where(known, label, 0).sum(0) / np.maximum(n, 1)
        spread = np.where(known, (label - mean) ** 2, 0).sum(0)
        apart = np.where(n > 0, mean - self.mean, 0)
        return replace(
            self,
            counts=counts + n,
            absolute=self.absolute + abs(difference).sum(0),
            squared=self.squared + (difference**2).sum(0),
            mean=self.mean + apart * n / both,
            spread=self.spread + spread + apart**2 * counts * n / both,
            labeled=self.labeled + int(known.any(1).sum()),
        )


def _scores(true: float, predicted: float, present: float) -> dict[str, float]:
    precision = float(true / predicted) if predicted else 0.0
    recall = float(true / present) if present else 0.0
    f1 = float(2 * true / (predicted + present)) if predicted + present else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}
