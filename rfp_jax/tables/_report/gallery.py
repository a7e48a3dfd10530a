"""The samples of a report, one card each, with pictures and bars."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rfp_jax._util.trees import Given
from rfp_jax.tables import _query
from rfp_jax.tables._evaluate.samples import DataSource
from rfp_jax.tables._report.facts import Facts, Part

if TYPE_CHECKING:
    import xarray as xr

Pictures = Mapping[str, np.ndarray]


class Bar(NamedTuple):
    """The relevance of a source, to draw.

    Attributes:
        name: of the source.
        color: its color.
        left: where the bar begins, in percent of the width; the middle is 0.
        width: in percent.
        number: the relevance.
    """

    name: str
    color: str
    left: float
    width: float
    number: str


@dataclass(frozen=True)
class Card:
    """A sample, as the gallery shows it.

    Attributes:
        name: its id.
        keys: what it is sorted and filtered by.
        chosen: name of the class that is looked at.
        taken_for: name of the predicted class.
        right: whether both are the same.
        pictures: by name, as data URLs.
        parts: the share of each source, to draw.
        shares: the same in words.
        bars: relevance for the class that is looked at.
        other_bars: relevance for the predicted class.
        metadata: in words.
    """

    name: str
    keys: dict[str, object]
    chosen: str
    taken_for: str
    right: bool
    pictures: dict[str, str]
    parts: list[Part]
    shares: str
    bars: list[Bar]
    other_bars: list[Bar]
    metadata: str


@dataclass(frozen=True)
class Gallery:
    """Cards of some samples.

    Attributes:
        table: the samples, in memory.
        facts: of the whole table, for names and colors.
        index: where in the whole table each sample is.
        total: how many samples the whole table has.
        pictures: makes pictures of a sample, given that index; None for none.
    """

    table: xr.Dataset
    facts: Facts
    index: np.ndarray
    total: int
    pictures: Callable[[int], Pictures] | None

    @property
    def words(self) -> str:
        """Return how many samples there are, and what is shown of them."""
        which = "true" if self.facts.labeled else "highest"
        again = "; where the prediction is wrong, for the predicted class as well"
        return (
            f"{len(self.index)} of {self.total} samples. Bars: relevance for the {which} class"
            f"{again if self.facts.labeled else ''}; to the right it speaks for the class, to the "
            "left against it, on one scale for all."
        )

    @property
    def sort_options(self) -> dict[str, str]:
        """Return what the samples can be sorted by: keys of cards, and their names."""
        options = {"order": "order in the table"}
        options |= {f"share{s}": f"share of {name}" for s, name in enumerate(self.facts.sources)}
        options |= {"class": "class"} | ({"correct": "correctness"} if self.facts.labeled else {})
        options |= {
            f"meta{m}": name for m, name in enumerate(self.metadata) if self._sortable(name)
        }
        return options

    def cards(self) -> Iterator[Card]:
        """Return the card of each sample."""
        which = _query.default_target(self.table)
        shares = _query.share(self.table, which).values
        relevance = np.moveaxis(self.table.relevance.values, 1, 2)  # [sample, class, source]
        top = self.table.output.values.argmax(1)
        chosen = self.table.label.values if which == "label" else top
        shown = np.stack([relevance[np.arange(len(top)), k] for k in (chosen, top)])
        scale = float(np.percentile(abs(shown), 99)) if shown.size else 1.0
        for row, where in enumerate(self.index):
            classes = int(chosen[row]), int(top[row])
            yield self._card(row, int(where), classes, shares[row], scale or 1.0)

    def _card(
        self, row: int, where: int, classes: tuple[int, int], shares: np.ndarray, scale: float
    ) -> Card:
        chosen, top = classes
        keys: dict[str, object] = {"order": where, "class": chosen, "correct": int(chosen == top)}
        keys |= {f"share{s}": f"{share:.6g}" for s, share in enumerate(shares)}
        keys |= {f"meta{m}": self._key(name, row) for m, name in enumerate(self.metadata)}
        named = zip(self.facts.sources, shares, strict=True)
        facts = (f"{name} {_text(self.table[name].values[row])}" for name in self.metadata)
        return Card(
            name=str(self.table.id.values[row]),
            keys=keys,
            chosen=self.facts.classes[chosen],
            taken_for=self.facts.classes[top],
            right=chosen == top,
            pictures=self._pictures(row, where),
            parts=self.facts.parts(shares),
            shares=", ".join(f"{name} {share:.2f}" for name, share in named),
            bars=self._bars(row, chosen, scale),
            other_bars=self._bars(row, top, scale),
            metadata=", ".join(facts),
        )

    def _bars(self, row: int, k: int, scale: float) -> list[Bar]:
        values = self.table.relevance.values[row, :, k].tolist()
        names = map(str, self.table.source.values)
        return [self._bar(name, value, scale) for name, value in zip(names, values, strict=True)]

    def _bar(self, name: str, value: float, scale: float) -> Bar:
        half = min(abs(value) / scale, 1.0) * 50
        left = 50.0 if value >= 0 else 50 - half
        return Bar(name, self.facts.color(name), left, half, self.facts.number(value))

    def _pictures(self, row: int, where: int) -> dict[str, str]:
        if "number" in self.table.coords:  # rows are regions of samples
            where = int(self.table.number.values[row])
        found = self.pictures(where) if self.pictures else {}
        return {name: _png(name, picture) for name, picture in found.items()}

    @property
    def metadata(self) -> list[str]:
        return [str(name) for name in self.table.coords if name not in _query.KNOWN]

    def _sortable(self, name: str) -> bool:
        return self.table[name].dtype.kind in "biufM"

    def _key(self, name: str, row: int) -> object:
        if not self._sortable(name):
            return ""
        value = self.table[name].values[row]
        if str(value) in ("nan", "NaT"):
            return ""
        return (value.astype(np.int64) if value.dtype.kind == "M" else value).item()


def thumbnails(
    data: DataSource, channels: Mapping[str, int | Sequence[int]], *, size: int = 96
) -> Callable[[int], Pictures]:
    """Make small pictures of the samples of a data source.

    Args:
        data: the data source that the table was made from.
        channels: for each picture the key of an array, [height, width, channels], in a sample, and
            one channel (gray) or three (red, green, blue) of it.
        size: the longer side in pixels at most.

    Returns:
        A function of a sample's index that returns its pictures, for `write`. Values are stretched
        from the 2nd to the 98th percentile of the picture.

    Examples:
        >>> import numpy as np
        >>> data = [{"optical": np.random.default_rng(0).normal(size=(8, 8, 4))}]
        >>> thumbnails(data, {"optical": (2, 1, 0)})(0)["optical"].shape
        (8, 8, 3)
    """

    def pictures(index: int) -> Pictures:
        sample = data[index]
        return {key: _stretched(sample[key], chosen, size) for key, chosen in channels.items()}

    return pictures


def choose(table: xr.Dataset, count: int, seed: int) -> np.ndarray:
    """Draw samples for the gallery among those that could be evaluated."""
    usable = table.finite.values.copy()
    if _query.default_target(table) == "label":
        usable &= table.label.values >= 0
    found = np.flatnonzero(usable)
    drawn = np.random.default_rng(seed).permutation(found)[:count]
    return np.sort(drawn)


def _stretched(array: Given, channels: int | Sequence[int], size: int) -> np.ndarray:
    picture = np.asarray(array, np.float32)[..., channels]
    low, high = np.nanpercentile(picture, (2, 98))
    scaled = (picture - low) / (high - low if high > low else 1)
    step = -(-max(picture.shape[:2]) // size)
    return (255 * np.clip(np.nan_to_num(scaled[::step, ::step]), 0, 1)).round().astype(np.uint8)


def _png(name: str, picture: np.ndarray) -> str:
    from PIL import Image

    gray = picture.ndim == 2
    if picture.dtype != np.uint8 or not (gray or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ValueError(
            f"the picture '{name}' must be uint8, [height, width] or [height, width, 3], got "
            f"{picture.dtype}{list(picture.shape)}"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _text(value: Given) -> str:
    """A value of metadata, whole: as many digits as it has."""
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, unit="auto"))
    return str(value).removesuffix(".0") if isinstance(value, float | np.floating) else str(value)
