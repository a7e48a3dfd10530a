"""Facts about a table as a whole, and the table of its classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rfp_jax._util.colors import BIAS_COLOR, SOURCE_COLORS, source_colors
from rfp_jax._util.parts import BIAS, source_names
from rfp_jax.tables import _query
from rfp_jax.tables._evaluate.consistency import blocks

if TYPE_CHECKING:
    import xarray as xr

ROUNDINGS = 8
"""A sum over a network's layers may be off by so many roundings of its largest part."""


NOTHING = "–"
"""The sign for a number that does not exist."""


class Part(NamedTuple):
    """A source, and what is drawn of it.

    Attributes:
        name: of the source.
        color: the same everywhere.
        share: its share, between 0 and 1.
    """

    name: str
    color: str
    share: float = 0.0


class ClassRow(NamedTuple):
    """A line of the table of classes.

    Attributes:
        name: of the class, or "all".
        samples: how many there are.
        accuracy: part of them that is predicted right.
        shares: mean share of each source.
        parts: the same, to draw; empty where there is none.
        medians: median relevance of each source, and of the bias.
    """

    name: str
    samples: int
    accuracy: str
    shares: list[str]
    parts: list[Part]
    medians: list[str]


@dataclass(frozen=True)
class Facts:
    """The relevance of the sources for one class of each sample that could be evaluated.

    Attributes:
        relevance: [sample, source], with the bias.
        shares: [sample, source], without.
        chosen: the class of each sample that is looked at, [sample].
        labeled: whether that is the true class; else it is the one with the highest output.
        predicted: the predicted class of each sample, [sample]; the one looked at without labels.
        classes: names of the classes.
        noise: relevance of a smaller magnitude is a rounding error, and shown as 0.
    """

    relevance: xr.DataArray
    shares: xr.DataArray
    chosen: np.ndarray
    labeled: bool
    predicted: np.ndarray
    classes: tuple[str, ...]
    noise: float

    @classmethod
    def from_table(cls, table: xr.Dataset) -> Facts:
        """Gather them, block by block."""
        which = _query.default_target(table)
        relevance, shares, chosen = [], [], []
        for block in map(_query.drop_failed, blocks(table)):
            looked_at = block.label if which == "label" else block.output.argmax("class")
            known = np.flatnonzero(looked_at.values >= 0)
            relevance.append(_query.select_class(block, which).isel(sample=known))
            shares.append(_query.share(block, which).isel(sample=known))
            chosen.append(looked_at.values[known])
        whole, classes = _joined(relevance), np.concatenate(chosen)
        labeled = which == "label"
        predicted = whole.prediction.values if labeled else classes
        names = tuple(map(str, table["class"].values))
        noise = rounding_error(whole.values)
        return cls(whole, _joined(shares), classes, labeled, predicted, names, noise)

    @property
    def right(self) -> np.ndarray:
        """Tell which samples are predicted right, bool [sample]; all of them without labels."""
        return self.predicted == self.chosen

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, without the bias."""
        return tuple(source_names(self.relevance))

    @property
    def words(self) -> str:
        """Return what the numbers are of."""
        which = "true class" if self.labeled else "class with the highest output"
        return (
            f"Relevance for the {which} of each sample: output = bias + sum over sources. The "
            "share of a source is the magnitude of its relevance over that of all sources."
        )

    def color(self, source: str) -> str:
        """A source's color, the same everywhere."""
        if source == BIAS:
            return BIAS_COLOR
        if len(self.sources) <= len(SOURCE_COLORS):
            return source_colors(self.sources)[source]
        from matplotlib import colormaps, colors

        place = self.sources.index(source)
        return colors.to_hex(colormaps["turbo"](place / (len(self.sources) - 1)))

    @property
    def legend(self) -> list[Part]:
        """The sources, then the bias, with their colors."""
        return [Part(name, self.color(name)) for name in (*self.sources, BIAS)]

    def parts(self, shares: np.ndarray) -> list[Part]:
        """The shares of all sources, [source]; none where there is no number."""
        known = np.nan_to_num(shares).tolist()
        named = zip(self.sources, known, strict=True)
        return [Part(name, self.color(name), share) for name, share in named]

    def rows(self) -> Iterator[ClassRow]:
        """Lines of the table of classes, and one for all."""
        for k, name in enumerate(self.classes):
            yield self._row(name, np.flatnonzero(self.chosen == k))
        yield self._row("all", np.arange(len(self.chosen)))

    def _row(self, name: str, rows: np.ndarray) -> ClassRow:
        shares = self.shares.values[rows]
        shares = shares[np.isfinite(shares).all(1)]
        means = shares.mean(0) if len(shares) else None
        return ClassRow(
            name,
            len(rows),
            f"{self.right[rows].mean():.3f}" if len(rows) else NOTHING,
            [NOTHING] * len(self.sources) if means is None else [f"{mean:.3f}" for mean in means],
            [] if means is None else self.parts(means),
            [self._median(part.name, rows) for part in self.legend],
        )

    def _median(self, source: str, rows: np.ndarray) -> str:
        values = self.relevance.sel(source=source).values[rows]
        return self.number(float(np.median(values))) if len(rows) else NOTHING

    def number(self, value: float) -> str:
        """A relevance in three digits; 0 where it is a rounding error."""
        return "0" if abs(value) <= self.noise else f"{value:.3g}"


def rounding_error(relevance: np.ndarray) -> float:
    """The magnitude up to which relevance is a rounding error of sums of the largest ones.

    Examples:
        >>> bool(rounding_error(np.float32([8, 4, -4.47e-08])) > 4.47e-08)
        True
    """
    finite = np.abs(relevance[np.isfinite(relevance)])
    return float(ROUNDINGS * np.finfo(relevance.dtype).eps * finite.max(initial=0))


def _joined(parts: list[xr.DataArray]) -> xr.DataArray:
    import xarray as xr

    return xr.concat(parts, "sample", coords="minimal", compat="override", join="override")
