"""The rules as tables, one for each network, and as one figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from experiments.rules.measure import Row

WIDTH = 110
"""So many columns of text a table needs."""

COLUMNS: Mapping[str, str] = {
    "effect": "effect",
    "others": "others",
    "first_hurts_most": "first",
    "accuracy_without_first": "without",
    "area": "area",
    "randomized": "random",
    "flops": "operations",
}
"""Attributes of a row to their headings."""


def table(rows: Sequence[Row], network: str) -> Table:
    """Lay out a network's rows.

    Args:
        rows: what was measured.
        network: its name.

    Returns:
        The table.
    """
    shown = Table(title=f"Every rule on the network '{network}'")
    shown.add_column("rule", no_wrap=True)
    for heading in COLUMNS.values():
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(row.rule, *(_number(getattr(row, name)) for name in COLUMNS))
    return shown


def figure(found: Mapping[str, Sequence[Row]]) -> Figure:
    """Draw both correlations of every rule on every network as shades.

    Args:
        found: network to its rows.

    Returns:
        The figure.
    """
    names = [row.rule for row in next(iter(found.values()))]
    drawn = Figure(
        figsize=(3.5 + 1.1 * 2 * len(found), 1.2 + 0.3 * len(names)), layout="constrained"
    )
    axes = drawn.subplots(1, 2, sharey=True)
    titles = {
        "effect": "change of relevance and of the output\nwhen a source is replaced",
        "others": "relevance of the other sources\nbefore and after",
    }
    for ax, (key, title) in zip(axes, titles.items(), strict=True):
        values = np.array([[getattr(row, key) for row in rows] for rows in found.values()]).T
        ax.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            ax.text(
                *(column, row, _number(value)),
                ha="center",
                va="center",
                color="white" if value > 0.6 else "black",
                fontsize=8,
            )
        ax.set_title(title, fontsize="medium")
        ax.set_xticks(range(len(found)), list(found))
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    drawn.suptitle("Correlation", fontsize="medium")
    return drawn


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:z.2f}"
