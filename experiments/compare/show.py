"""The comparison as one table and as one figure."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from experiments.compare.measure import Row
from rfp_jax import plot

WIDTH = 136
"""So many columns of text the table needs."""


def table(rows: Sequence[Row], sources: Sequence[str]) -> Table:
    """Lay the comparison out, a row for each method.

    The columns after the cost are the rank correlation with RFP, the difference from it (L1), how
    often the source ranked first hurts most, the accuracy without it, and the rank correlation
    with itself after the weights are randomized.

    Args:
        rows: what was measured.
        sources: names of the sources.

    Returns:
        The table.
    """
    pair = " / ".join(sources)
    shown = Table(title=f"Every method on one network and one batch: {pair}")
    shown.add_column("method", no_wrap=True)
    headings = ("mean", "share", "passes+linear", "ms", "rank", "L1", "first", "without", "random")
    for heading in headings:
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.method,
            " / ".join(f"{row.value[name]:z.2f}" for name in sources),
            " / ".join(f"{row.share[name]:.2f}" for name in sources),
            f"{row.passes}+{row.linear}",
            f"{1000 * row.seconds:.0f}",
            _number(row.rank_correlation),
            _number(row.l1),
            _number(row.first_hurts_most),
            _number(row.accuracy_without_first),
            _number(_last(row.randomized)),
        )
    return shown


def figure(rows: Sequence[Row], sources: Sequence[str], title: str = "") -> Figure:
    """Draw the comparison: a row of bars for each method, a column for each quantity.

    Args:
        rows: what was measured.
        sources: names of the sources.
        title: title of the figure.

    Returns:
        The figure.
    """
    drawn = Figure(figsize=(13, 1.4 + 0.33 * len(rows)), layout="constrained")
    drawn.suptitle(title)
    axes = drawn.subplots(1, 5, sharey=True, width_ratios=[1.3, 1, 1, 1, 1])
    places = np.arange(len(rows))
    left = np.zeros(len(rows))
    for name, color in plot.source_colors(sources).items():
        shares = np.array([row.share[name] for row in rows])
        axes[0].barh(places, shares, left=left, color=color, label=name)
        left = left + shares
    axes[0].set(xlim=(0, 1), title="share, true class")
    axes[0].legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(sources), frameon=False
    )
    quantities: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
        ("rank correlation with RFP", lambda row: row.rank_correlation),
        ("first source hurts most", lambda row: row.first_hurts_most),
        ("correlation when randomized", lambda row: _last(row.randomized)),
        ("milliseconds", lambda row: 1000 * row.seconds),
    )
    for ax, (name, read) in zip(axes[1:], quantities, strict=True):
        _bars(ax, [read(row) for row in rows], logarithmic=name == "milliseconds")
        ax.set_title(name, fontsize="medium")
    axes[0].set_title("share, true class", fontsize="medium")
    axes[0].set_yticks(places, [row.method for row in rows])
    axes[0].invert_yaxis()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    return drawn


def _bars(ax: Axes, values: Sequence[float | None], *, logarithmic: bool) -> None:
    """Horizontal bars with their numbers; a dash where there is none."""
    known = {place: value for place, value in enumerate(values) if value is not None}
    ax.barh(list(known), list(known.values()), color=plot.BIAS_COLOR)
    if logarithmic:
        ax.set_xscale("log")
        ax.set_xlim(min(known.values()) / 2, max(known.values()) * 6)
    else:
        ax.set_xlim(min(0, *known.values()), 1.25)
        ax.axvline(0, color="black", linewidth=0.6)
    for place, value in enumerate(values):
        text = "–" if value is None else f"{value:.0f}" if logarithmic else f"{value:z.2f}"
        at = (0 if value is None else max(value, 0), place)
        ax.annotate(text, at, (3, 0), textcoords="offset points", va="center", fontsize=8)


def _last(values: dict[str, float]) -> float | None:
    return list(values.values())[-1] if values else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
