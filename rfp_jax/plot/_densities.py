"""Densities: how the relevance of each source for a class tells that class from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.colors import source_colors
from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._parts import SMALL, tidy
from rfp_jax.plot._tables import named_parts

if TYPE_CHECKING:
    import xarray as xr

with needs_extra("Drawing pictures", "plot"):
    import seaborn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch


def draw_density(ax: Axes, values: ArrayLike, is_member: ArrayLike, *, color: str) -> None:
    """Draw how one number per sample is distributed, in a class and outside of it.

    The filled curve is the density (Gaussian kernel, Scott's bandwidth) over the samples of the
    class and the line at its foot their median; the dashed curve is the density over all others.

    Args:
        ax: the axes to draw on.
        values: array [samples]; values that are not finite are left out.
        is_member: whether each sample is of the class, bool [samples].
        color: color of both curves.

    Examples:
        >>> ax = Figure().subplots()
        >>> draw_density(ax, [1.0, 2.0, 4.0, -3.0, -1.0], [1, 1, 1, 0, 0], color="#0072B2")
        >>> float(ax.lines[-1].get_xdata()[0])
        2.0
    """
    values, inside = np.asarray(values, float), np.asarray(is_member, bool)
    finite = np.isfinite(values)
    own, others = values[finite & inside], values[finite & ~inside]
    common = {"ax": ax, "color": color, "cut": 2, "warn_singular": False}
    for group, style in (
        (others, {"linestyle": "--", "linewidth": 1}),
        (own, {"fill": True, "alpha": 0.35, "linewidth": 1.2}),
    ):
        if np.unique(group).size > 1:  # a density needs some spread
            seaborn.kdeplot(x=group, **common, **style)
    if own.size:
        ax.axvline(float(np.median(own)), ymax=0.08, color=color, linewidth=2.5)
    tidy(ax)
    ax.set(xlabel="", ylabel="", yticks=[])
    ax.spines["left"].set_visible(False)


def densities(
    relevance: Mapping[str, Mapping[str, ArrayLike] | xr.Dataset],
    labels: ArrayLike | None = None,
    *,
    classes: Sequence[int | str],
    names: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Compare networks by the relevance that their sources have for some classes.

    A row for each class, a column for each network. Every row has one scale. Where a source alone
    knows the class, its filled curve (samples of the class) stands clear of its dashed one (all
    others).

    Args:
        relevance: name of the network to its relevance table, or to its relevance: name of the
            source to an array [samples, classes].
        labels: the true class of each sample, int [samples]; those of each table unless given.
        classes: the classes to draw, their numbers or names.
        names: names of all classes; those of the tables, or their numbers, unless given.
        title: title of the figure.

    Returns:
        The figure, 3.6 inches wide for each network.

    Examples:
        >>> one = {"left": np.eye(4)[[0, 1, 2, 3, 0]], "right": np.ones((5, 4))}
        >>> figure = densities({"a": one, "b": one}, [0, 1, 2, 3, 0], classes=[0, 2])
        >>> [ax.get_title() for ax in figure.axes], len(figure.axes)
        (['a', 'b', '', ''], 4)
    """
    found = [named_parts(each, labels, names) for each in relevance.values()]
    values, _, names = found[0]
    colors = source_colors(values)
    figure = Figure(
        figsize=(0.5 + 3.6 * len(relevance), 1.2 + 1.3 * len(classes)), layout="constrained"
    )
    figure.suptitle(title)
    grid = figure.subplots(len(classes), len(relevance), sharex="row", squeeze=False)
    for row, chosen in zip(grid, classes, strict=True):
        label = names.index(chosen) if isinstance(chosen, str) else chosen
        for ax, (sources, true, _) in zip(row, found, strict=True):
            ax.axvline(0, color="black", linewidth=0.6, zorder=0.5)
            for source, color in colors.items():
                draw_density(ax, sources[source][:, label], true == label, color=color)
        # seaborn hides the label of an axis without ticks
        row[0].set_ylabel(names[label], rotation=0, ha="right", va="center", visible=True)
    for ax, network in zip(grid[0], relevance, strict=True):
        ax.set_title(network, fontsize="medium")
    figure.supylabel("class", fontsize="medium")
    for ax in grid[-1]:
        ax.set_xlabel("relevance for the class")
    figure.legend(
        handles=[
            *(Patch(color=color, alpha=0.6, label=name) for name, color in colors.items()),
            Line2D([], [], color="black", linewidth=1.2, label="samples of the class"),
            Line2D([], [], color="black", linewidth=1, linestyle="--", label="all others"),
        ],
        loc="outside lower center",
        ncols=len(colors) + 2,
        frameon=False,
        fontsize=SMALL + 1,
    )
    return figure
