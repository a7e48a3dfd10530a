"""Curves: what relevance, or anything else, does while a condition such as noise grows."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._parts import SMALL, tidy

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def draw_curve(
    ax: Axes, condition: ArrayLike, values: ArrayLike, *, color: str, label: str = ""
) -> None:
    """Draw the mean of repeated measurements against a condition, in the band of all of them.

    Args:
        ax: the axes to draw on.
        condition: where was measured, [points].
        values: what was measured, [points], or [repeats, points]; the band reaches from the
            smallest to the largest. Values that are not finite are left out.
        color: color of the curve.
        label: its name in the legend.

    Raises:
        ValueError: if there are not as many values as points.

    Examples:
        >>> ax = Figure().subplots()
        >>> draw_curve(ax, [0.0, 1.0], [[1.0, 3.0], [3.0, 5.0]], color="#0072B2")
        >>> ax.lines[0].get_ydata().tolist()
        [2.0, 4.0]
    """
    condition = np.asarray(condition, float)
    repeats = np.ma.masked_invalid(np.atleast_2d(np.asarray(values, float)))
    if repeats.ndim != 2 or repeats.shape[1] != len(condition):
        raise ValueError(
            f"values must be [points] or [repeats, points] with {len(condition)} points, got "
            f"{list(np.shape(values))}"
        )
    mean = repeats.mean(0).filled(np.nan)
    ax.plot(condition, mean, "o-", color=color, markersize=4, linewidth=1.5, label=label or None)
    if len(repeats) > 1:
        low, high = repeats.min(0).filled(np.nan), repeats.max(0).filled(np.nan)
        ax.fill_between(condition, low, high, color=color, alpha=0.2, linewidth=0)
    tidy(ax)


def curves(
    condition: Mapping[str, ArrayLike],
    values: Mapping[str, Mapping[str, Mapping[str, ArrayLike]]],
    *,
    colors: Mapping[str, str],
    title: str = "",
) -> Figure:
    """Draw several quantities side by side against a condition, or against several.

    A row for each condition, a column for each quantity; a quantity has one scale in all rows.
    Points are means of repeats (of seeds, say), in the band of all of them.

    Args:
        condition: name of the condition to where was measured, [points].
        values: name of the condition to the name of the quantity to the name of the curve (of the
            source, say) to what was measured, [points] or [repeats, points]. All conditions have
            the same quantities.
        colors: name of the curve to its color, such as `source_colors` gives.
        title: title of the figure.

    Returns:
        The figure, 2.6 inches wide for each quantity.

    Raises:
        ValueError: if conditions and values do not fit.

    Examples:
        >>> figure = curves(
        ...     {"noise": [0.0, 1.0]},
        ...     {"noise": {"accuracy": {"": [1.0, 0.5]}, "share": {"left": [0.5, 0.1]}}},
        ...     colors={"": "black", "left": "#0072B2"},
        ... )
        >>> [ax.get_title() for ax in figure.axes]
        ['accuracy', 'share']
    """
    if list(condition) != list(values):
        raise ValueError(f"conditions {list(condition)}, but values of {list(values)}")
    quantities = list(next(iter(values.values())))
    figure = Figure(
        figsize=(0.6 + 2.6 * len(quantities), 1.1 + 2.1 * len(condition)), layout="constrained"
    )
    figure.suptitle(title)
    grid = figure.subplots(len(condition), len(quantities), sharey="col", squeeze=False)
    shown: dict[str, Line2D] = {}
    for row, (name, points) in zip(grid, condition.items(), strict=True):
        for ax, quantity in zip(row, quantities, strict=True):
            for curve, repeats in values[name][quantity].items():
                draw_curve(ax, points, repeats, color=colors[curve], label=curve)
                if curve:
                    shown.setdefault(curve, ax.lines[-1])
            ax.set_xlabel(name, fontsize=SMALL + 1)
            ax.tick_params(labelleft=True)
    for ax, quantity in zip(grid[0], quantities, strict=True):
        ax.set_title(quantity, fontsize="medium")
    if shown:
        figure.legend(
            list(shown.values()),
            list(shown),
            loc="outside lower center",
            ncols=len(shown),
            frameon=False,
        )
    return figure
