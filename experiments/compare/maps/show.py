"""The comparison of maps as tables and figures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from experiments.segmentation.figures import SHARES, STYLES, outline
from experiments.sen12ms.figures import picture

WIDTH = 150
"""So many columns of text a table needs."""

SMALL = 8  # points

COLUMNS = {
    "dominating": "dominating",
    "other": "other",
    "within": "same source",
    "pearson": "Pearson",
    "mse": "MSE",
    "pearson_itself": "Pearson, itself",
}
"""Quantities of the table, and their headings."""


class Strip(NamedTuple):
    """A patch, and the share of one source by each method.

    Attributes:
        optical: the optical image under clouds, [y, x, band].
        mask: whether each pixel is under a cloud, bool [y, x].
        shares: by method, [y, x].
    """

    optical: np.ndarray
    mask: np.ndarray
    shares: Mapping[str, np.ndarray]


def table(found: Mapping[str, Any], condition: str, networks: int) -> Table:
    """Lay the comparison of one condition out, a row for each method.

    Args:
        found: of `measure.summarize`, of this condition.
        condition: its name.
        networks: how many networks there are.

    Returns:
        The table.
    """
    shown = Table(
        title=f"{condition}: mean over {networks} networks ± standard error",
        caption="dominating, other: how often the class changes if that source is replaced\n"
        "same source: how much more often where it dominates than where it does not\n"
        "Pearson, MSE (as a part of the mean square): of the sources that are not replaced",
    )
    shown.add_column("method", no_wrap=True)
    for heading in COLUMNS.values():
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("ms", justify="right", no_wrap=True)
    for name, each in found.items():
        seconds = each["seconds"]["mean"]
        shown.add_row(name, *(_cell(each[key]) for key in COLUMNS), f"{1000 * seconds:.0f}")
    return shown


def _cell(value: Mapping[str, float | None]) -> str:
    mean, error = value["mean"], value["standard_error"]
    return "–" if mean is None or error is None else f"{mean:z.3f} ± {error:.3f}"


def figure(summary: Mapping[str, Any], title: str) -> Figure:
    """Draw the comparison: a row for each method, a column for each quantity.

    Args:
        summary: of `measure.summarize`.
        title: title of the figure.

    Returns:
        The figure: means, with bars of two standard errors over the networks.
    """
    names = list(next(iter(summary.values())))
    drawn = Figure(figsize=(13, 1.6 + 0.36 * len(names)), layout="constrained")
    drawn.suptitle(title, fontsize=SMALL + 3, parse_math=False)
    axes = drawn.subplots(1, 5, sharey=True)
    heads = {
        "difference": "class changes more often if the\ndominating source is replaced, by",
        "within": "the same source, where it dominates\nand where it does not: more often by",
        "pearson": "Pearson of what is said of a source\nbefore and after another is replaced",
        "mse": "the same: MSE as a part\nof the mean square",
        "pearson_itself": "Pearson of what is said of\nthe replaced source itself",
    }
    for ax, (quantity, head) in zip(axes, heads.items(), strict=True):
        for at, (condition, found) in enumerate(summary.items()):
            _points(ax, [found[name][quantity] for name in names], condition, 0.24 * at - 0.12)
        ax.set_title(head, fontsize=SMALL)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.tick_params(axis="x", labelsize=SMALL)
        ax.grid(axis="y", color="#EEEEEE")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(names)), names, fontsize=SMALL + 1)
    axes[0].invert_yaxis()
    drawn.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(summary),
        fontsize=SMALL,
        frameon=False,
    )
    return drawn


def _points(
    ax: Axes, values: Sequence[Mapping[str, float | None]], condition: str, shift: float
) -> None:
    """Draw means with two standard errors; nothing where there is no number."""
    color, marker, _ = STYLES[condition]
    rows = [row for row, value in enumerate(values) if value["mean"] is not None]
    means, errors = (
        np.array([values[row][key] for row in rows], float) for key in ("mean", "standard_error")
    )
    ax.errorbar(
        means,
        np.array(rows) + shift,
        xerr=2 * errors,
        color=color,
        marker=marker,
        linestyle="none",
        markersize=4,
        capsize=2,
        label=condition,
    )


def maps(strip: Strip, source: str, title: str) -> Figure:
    """Draw the share of one source by every method, on the same patch.

    Args:
        strip: the patch.
        source: the source's name.
        title: title of the figure.

    Returns:
        The figure.
    """
    columns = 5
    rows = -(-(len(strip.shares) + 2) // columns)
    drawn = Figure(figsize=(2 * columns, 2.25 * rows + 0.9), layout="constrained")
    drawn.suptitle(title, fontsize=SMALL + 3, parse_math=False)
    grid = drawn.subplots(rows, columns, squeeze=False)
    grid.flat[0].imshow(picture(strip.optical, "optical"))
    grid.flat[1].imshow(strip.mask, cmap="gray", vmin=0, vmax=1)
    heads = ["optical, cloudy", "cloud mask", *strip.shares]
    for ax, share in zip(grid.flat[2:], strip.shares.values(), strict=False):
        ax.imshow(share, cmap=SHARES, vmin=0, vmax=1)
        outline(ax, strip.mask)
    for ax, head in zip(grid.flat, heads, strict=False):
        ax.set_title(head, fontsize=SMALL)
        ax.set_xticks([])
        ax.set_yticks([])
    for ax in grid.flat[len(heads) :]:
        ax.set_axis_off()
    scale = drawn.colorbar(
        grid.flat[2].images[0], ax=grid, location="bottom", shrink=0.5, aspect=40
    )
    scale.set_label(f"share of {source} in what is said of the predicted class", fontsize=SMALL)
    scale.ax.tick_params(labelsize=SMALL)
    return drawn
