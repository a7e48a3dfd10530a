"""Figures of a report, as SVG pictures within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rfp_jax._util.parts import BIAS
from rfp_jax.tables._bins import bin_members
from rfp_jax.tables._report.facts import Facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch
    from matplotlib.typing import RcKeyType

MOST_CLASSES = 20
"""Only so many classes are drawn, those with the most samples."""

INTERVALS = 10
"""Metadata values are gathered in so many intervals of equal width."""

STYLE: dict[RcKeyType, Any] = {  # Any: each setting has its own type
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a name with dollar signs is not a formula
    "svg.hashsalt": "rfp_jax",  # the same table gives the same file
}


class Drawn(NamedTuple):
    """A figure as it stands on the page.

    Attributes:
        caption: what it shows.
        source: the picture, as a data URL.
        pixels: its width at most.
    """

    caption: str
    source: str
    pixels: int


def figures(facts: Facts, bins: Sequence[str]) -> list[Drawn]:
    """Draw all figures.

    Args:
        facts: of the table.
        bins: numeric metadata to draw the shares against.

    Returns:
        The figures, in order.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        drawn = [_by_class(facts)]
        if facts.labeled and 0 < facts.right.sum() < len(facts.right):
            drawn.append(_right_and_wrong(facts))
        drawn += [_by_metadata(facts, name) for name in bins]
    return drawn


def _by_class(facts: Facts) -> Drawn:
    counts = np.bincount(facts.chosen, minlength=len(facts.classes))
    largest = np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES])
    groups = [np.flatnonzero(facts.chosen == k) for k in largest]
    names = [facts.classes[k] for k in largest]
    values = {s: facts.relevance.sel(source=s).values for s in (*facts.sources, BIAS)}
    width = max(7.0, 0.28 * len(groups) * len(values) + 2)
    with _Figure(width, 4.2) as figure:
        _boxes(figure.axes, facts, values, groups, names)
        figure.axes.axhline(0, color="#9aa4b2", linewidth=0.8, zorder=0)
        figure.axes.set_ylabel("relevance")
    caption = "Relevance of each source and of the bias by class: median, quartiles, and 5 to 95 %."
    if len(facts.classes) > MOST_CLASSES:
        caption += f" The {MOST_CLASSES} largest of {len(facts.classes)} classes."
    return figure.drawn(caption)


def _right_and_wrong(facts: Facts) -> Drawn:
    groups = [np.flatnonzero(facts.right), np.flatnonzero(~facts.right)]
    names = [f"{word} ({len(rows)})" for word, rows in zip(("right", "wrong"), groups, strict=True)]
    values = {s: facts.shares.sel(source=s).values for s in facts.sources}
    with _Figure(7.0, 3.4) as figure:
        _boxes(figure.axes, facts, values, groups, names)
        figure.axes.set_ylabel("share of relevance")
        figure.axes.set_ylim(-0.02, 1.02)
    return figure.drawn("Share of each source where the prediction is right and where it is wrong.")


def _by_metadata(facts: Facts, name: str) -> Drawn:
    where = facts.shares[name].values.astype(float)
    known = np.isfinite(where) & np.isfinite(facts.shares.values).all(1)
    where, shares = where[known], facts.shares.values[known]
    low, high = (where.min(), where.max()) if len(where) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, INTERVALS + 1)
    members = bin_members(where, edges)
    filled = [k for k, rows in enumerate(members) if len(rows)]
    centers = (edges[:-1] + edges[1:])[filled] / 2
    with _Figure(7.0, 3.6) as figure:
        for s, source in enumerate(facts.sources):
            quartiles = [np.percentile(shares[members[k], s], (25, 50, 75)) for k in filled]
            lower, middle, upper = np.reshape(quartiles, (-1, 3)).T
            color = facts.color(source)
            figure.axes.plot(centers, middle, marker="o", markersize=4, color=color, label=source)
            figure.axes.fill_between(centers, lower, upper, color=color, alpha=0.18, linewidth=0)
        figure.axes.set(xlabel=name, ylabel="share of relevance", ylim=(-0.02, 1.02))
        figure.legend()
    return figure.drawn(f"Share of each source against {name}: median and quartiles.")


def _boxes(
    axes: Axes,
    facts: Facts,
    values: dict[str, np.ndarray],
    groups: Sequence[np.ndarray],
    names: Sequence[str],
) -> None:
    step = 0.8 / len(values)
    for nth, (source, each) in enumerate(values.items()):
        columns = [each[rows][np.isfinite(each[rows])] for rows in groups]
        boxes = axes.boxplot(
            columns,
            positions=np.arange(len(groups)) + (nth - (len(values) - 1) / 2) * step,
            widths=0.8 * step,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            medianprops={"color": "#1c2430"},
        )
        for box in boxes["boxes"]:
            box.set(facecolor=facts.color(source), alpha=0.75, linewidth=0.8)
    tilt = sum(map(len, names)) > 90
    axes.set_xticks(
        range(len(groups)), names, rotation=35 if tilt else 0, ha="right" if tilt else "center"
    )
    axes.set_xlim(-0.6, len(groups) - 0.4)
    handles = [_patch(facts.color(source), source) for source in values]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=6,
        frameon=False,
        fontsize=10,
    )


def _patch(color: str, label: str) -> Patch:
    from matplotlib.patches import Patch

    return Patch(facecolor=color, alpha=0.75, label=label)


class _Figure:
    """One pair of axes, drawn in a block and then given as a picture."""

    def __init__(self, width: float, height: float):
        from matplotlib.figure import Figure

        self._pixels = round(100 * width)
        self._figure = Figure((width, height), layout="constrained")
        self.axes: Axes = self._figure.add_subplot()

    def __enter__(self) -> _Figure:
        return self

    def __exit__(self, *_: object) -> None:
        buffer = io.BytesIO()
        self._figure.savefig(buffer, format="svg", metadata={"Date": None})
        self._encoded = base64.b64encode(buffer.getvalue()).decode()

    def legend(self) -> None:
        self.axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=6, frameon=False, fontsize=10
        )

    def drawn(self, caption: str) -> Drawn:
        return Drawn(caption, f"data:image/svg+xml;base64,{self._encoded}", self._pixels)
