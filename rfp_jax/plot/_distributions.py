"""Draw the distribution of relevance over a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.colors import source_colors
from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._colors import DIFFERENCE_COLOR
from rfp_jax.plot._parts import SMALL, name_ticks, tidy
from rfp_jax.plot._tables import class_names, named_parts

if TYPE_CHECKING:
    import xarray as xr

with needs_extra("Drawing pictures", "plot"):
    import seaborn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def select_class(relevance: ArrayLike, classes: ArrayLike) -> np.ndarray:
    """Pick one class for each sample, for instance the true one.

    Args:
        relevance: array [samples, classes].
        classes: the class to pick for each sample, int [samples].

    Returns:
        Array [samples]; NaN where the class is not known (-1).

    Examples:
        >>> select_class([[1.0, 2.0], [3.0, 4.0]], [1, 0]).tolist()
        [2.0, 3.0]
    """
    chosen = np.asarray(classes)
    picked = np.take_along_axis(np.asarray(relevance), chosen[:, None], axis=1)[:, 0]
    return picked if (chosen >= 0).all() else np.where(chosen >= 0, picked, np.nan)


def draw_violins(
    ax: Axes,
    values: ArrayLike,
    labels: ArrayLike,
    *,
    classes: int,
    color: str,
    names: Sequence[str] = (),
) -> None:
    """Draw how one number per sample is distributed: a violin for each class, and one for all.

    The violin ends at the smallest and the largest value; the bar inside goes from the lower to the
    upper quartile, the white line is the median.

    Args:
        ax: the axes to draw on.
        values: array [samples]; values that are not finite are left out.
        labels: the class of each sample, int [samples].
        classes: how many classes there are.
        color: color of the violins.
        names: names of the classes; their numbers unless given.

    Examples:
        >>> ax = Figure().subplots()
        >>> draw_violins(ax, np.arange(8.0), np.arange(8) % 2, classes=2, color="#0072B2")
        >>> [tick.get_text() for tick in ax.get_xticklabels()]
        ['0', '1', 'all']
    """
    values, labels = np.asarray(values, float), np.asarray(labels)
    groups = [values[labels == label] for label in range(classes)] + [values]
    ax.axhline(0, color="black", linewidth=0.6, zorder=0.5)
    ax.axvline(classes - 0.5, color="black", linewidth=0.6, linestyle=":", zorder=0.5)
    seaborn.violinplot(
        x=np.repeat(np.arange(classes + 1), [len(group) for group in groups]),
        y=np.concatenate(groups),
        order=range(classes + 1),
        ax=ax,
        color=color,
        saturation=1,
        cut=0,
        density_norm="width",
        width=0.85,
        linewidth=0.7,
        linecolor="black",
        inner="box",
        inner_kws={"box_width": 4, "whis_width": 0},
    )
    name_ticks(ax, [*class_names(names, classes), "all"])
    ax.set(xlabel="", ylabel="", xlim=(-0.6, classes + 0.6))
    tidy(ax)


def violins(
    relevance: Mapping[str, ArrayLike] | xr.Dataset,
    labels: ArrayLike | None = None,
    *,
    names: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw each source's relevance for the true class: a violin for each class, and one for all.

    One row per source, all on one scale. Two sources have a third row, the first minus the second.

    Args:
        relevance: a relevance table, or name of the source to its relevance, [samples, classes].
        labels: the true class of each sample, int [samples]; those of the table unless given.
        names: names of the classes; those of the table, or their numbers, unless given.
        title: title of the figure.

    Returns:
        The figure, 8 inches wide.

    Raises:
        ValueError: there is not one class for each sample, or not a name for each class.

    Examples:
        >>> relevance = {"left": np.eye(3)[[0, 1, 2, 0]], "right": np.ones((4, 3))}
        >>> figure = violins(relevance, [0, 1, 2, 0])
        >>> [ax.get_ylabel() for ax in figure.axes]
        ['left', 'right', 'left − right']
    """
    values, labels, names = named_parts(relevance, labels, names)
    colors = source_colors(values)
    true = {name: select_class(each, labels) for name, each in values.items()}
    rows = len(true) + (len(true) == 2)
    figure = Figure(figsize=(8, 0.9 + 1.9 * rows), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, sharex=True, squeeze=False)[:, 0]
    for ax, (name, each) in zip(axes, true.items(), strict=False):
        draw_violins(ax, each, labels, classes=len(names), names=names, color=colors[name])
        ax.set_ylabel(name, fontweight="bold", color=colors[name])
        ax.sharey(axes[0])
    axes[0].autoscale(axis="y")
    if len(true) == 2:
        ax, (first, second) = axes[-1], true
        difference = true[first] - true[second]
        draw_violins(
            ax, difference, labels, classes=len(names), names=names, color=DIFFERENCE_COLOR
        )
        ax.set_ylabel(f"{first} − {second}", fontweight="bold")
        _shade_halves(ax, above=(first, colors[first]), below=(second, colors[second]))
    axes[-1].set_xlabel("true class")
    figure.supylabel("relevance for the true class", fontsize="medium")
    return figure


def _shade_halves(ax: Axes, above: tuple[str, str], below: tuple[str, str]) -> None:
    """Color what lies above and below zero, and say at the right edge which source won there."""
    bottom, top = ax.get_ylim()
    for (name, color), end, place in ((above, top, "top"), (below, bottom, "bottom")):
        ax.axhspan(0, end, color=color, alpha=0.15, linewidth=0, zorder=0)
        ax.text(
            1.005,
            float(place == "top"),
            f"{name} more",
            transform=ax.transAxes,
            rotation=270,
            va=place,
            fontsize=SMALL,
        )
    ax.set_ylim(bottom, top)
