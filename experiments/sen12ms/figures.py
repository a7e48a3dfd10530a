"""The figures: patches, sheets of patches with their bars, relevance against cloud cover."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rfp_jax import plot
from rfp_jax._util.extras import needs_extra
from rfp_jax.datasets.sen12ms import denormalize_s2
from rfp_jax.tables import bin_members

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

SMALL = 8  # points
WHITE = 3000.0
"""The digital number shown brightest, about 0.3 of the sunlight reflected."""


class Shown(NamedTuple):
    """A patch in one condition.

    Attributes:
        optical: normalized, [size, size, 10 or 3], or None.
        sar: normalized, [size, size, 2], or None.
        label: the true class, or -1 where there are several.
        cloud_cover: 0 to 1, or None.
        relevance: name of the source to its relevance, [classes].
        bias: what came from no source, [classes].
        output: [classes].
    """

    optical: np.ndarray | None
    sar: np.ndarray | None
    label: int
    cloud_cover: float | None
    relevance: Mapping[str, np.ndarray]
    bias: np.ndarray
    output: np.ndarray


def true_color(optical: np.ndarray) -> np.ndarray:
    """Make a picture of optical bands.

    Args:
        optical: normalized, [..., 10 or 3], blue, green and red first.

    Returns:
        Red, green, blue from 0 to 1, [..., 3].
    """
    return np.clip(denormalize_s2(optical)[..., 2::-1] / WHITE, 0, 1)


def picture(image: np.ndarray, source: str) -> np.ndarray:
    """Make a picture of what a network sees: true colors, or the VV backscatter.

    Args:
        image: normalized, [..., channels].
        source: `"optical"` or `"sar"`.

    Returns:
        [..., 3] from 0 to 1, or [...].
    """
    return true_color(image) if source == "optical" else image[..., 0]


def draw_patch(ax: Axes, shown: Shown, source: str) -> None:
    """Draw one source of a patch: true colors, or the VV backscatter.

    Args:
        ax: the axes to draw on.
        shown: the patch.
        source: `"optical"` or `"sar"`.
    """
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_linewidth(0.5)
    if source == "optical" and shown.optical is not None:
        ax.imshow(picture(shown.optical, "optical"))
    elif shown.sar is not None:
        ax.imshow(picture(shown.sar, "sar"), cmap="gray", vmin=-2.5, vmax=2.5)


def examples(patches: Sequence[Mapping[str, Shown]], names: Sequence[str], *, title: str) -> Figure:
    """Draw patches: clear, under clouds, and by radar.

    Args:
        patches: condition to the patch in it, for each patch.
        names: names of the classes.
        title: title of the figure.

    Returns:
        The figure, a column for each patch.
    """
    rows = [*((c, "optical") for c in patches[0]), (next(iter(patches[0])), "sar")]
    first = next(iter(patches[0].values()))
    rows = [(c, s) for c, s in rows if (first.optical if s == "optical" else first.sar) is not None]
    figure = Figure(
        figsize=(0.5 + 1.25 * len(patches), 0.7 + 1.3 * len(rows)), layout="constrained"
    )
    figure.suptitle(title)
    grid = figure.subplots(len(rows), len(patches), squeeze=False)
    for (condition, source), axes in zip(rows, grid, strict=True):
        axes[0].set_ylabel("SAR (VV)" if source == "sar" else condition)
        for ax, patch in zip(axes, patches, strict=True):
            shown = patch[condition]
            draw_patch(ax, shown, source)
            if source == "optical" and shown.cloud_cover is not None:
                ax.set_xlabel(f"cloud cover {shown.cloud_cover:.2f}", fontsize=SMALL - 1)
    for ax, patch in zip(grid[0], patches, strict=True):
        label = next(iter(patch.values())).label
        ax.set_title(names[label] if label >= 0 else "", fontsize=SMALL + 1)
    return figure


def sheet(patches: Sequence[Mapping[str, Shown]], names: Sequence[str], *, title: str) -> Figure:
    """Draw patches with what their outputs are made of, clear and cloudy bars side by side.

    Args:
        patches: condition to the patch in it, for each patch.
        names: names of the classes.
        title: title of the figure.

    Returns:
        The figure, a row for each patch.
    """
    conditions = list(patches[0])
    first = patches[0][conditions[0]]
    pictures = [(c, "optical") for c in conditions if first.optical is not None]
    pictures += [(conditions[0], "sar")] if first.sar is not None else []
    ratios = [1.0] * len(pictures) + [2.4] * len(conditions)
    figure = Figure(
        figsize=(1.5 * sum(ratios) + 0.5, 1.1 + 1.55 * len(patches)), layout="constrained"
    )
    figure.suptitle(title)
    grid = figure.subplots(len(patches), len(ratios), width_ratios=ratios, squeeze=False)
    for row, patch in zip(grid, patches, strict=True):
        for ax, (condition, source) in zip(row, pictures, strict=False):
            draw_patch(ax, patch[condition], source)
        bars = row[len(pictures) :]
        for ax, (condition, shown) in zip(bars, patch.items(), strict=True):
            label = shown.label if shown.label >= 0 else None
            plot.draw_bars(ax, shown.relevance, shown.bias, shown.output, label=label)
            ax.sharey(bars[0])
            words = names[int(shown.output.argmax())]
            right = label is None or shown.output.argmax() == label
            clouds = "" if shown.cloud_cover is None else f", cloud cover {shown.cloud_cover:.2f}"
            ax.set_title(
                f"{condition}{clouds}: {words}",
                loc="left",
                fontsize=SMALL,
                color="black" if right else plot.WRONG_COLOR,
            )
            ax.set_xticks(range(len(names)), [""] * len(names))
        if first.label >= 0:
            row[0].set_ylabel(names[patch[conditions[0]].label], fontsize=SMALL)
        bars[0].autoscale(axis="y")
    for ax, (condition, source) in zip(grid[0], pictures, strict=False):
        ax.set_title("SAR (VV)" if source == "sar" else f"optical, {condition}", fontsize=SMALL)
    for ax in grid[-1, len(pictures) :]:
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize=SMALL - 1)
    colors = plot.source_colors(first.relevance)
    figure.legend(
        handles=[
            Patch(color=plot.BIAS_COLOR, label="bias"),
            *(Patch(color=color, label=name) for name, color in colors.items()),
            Line2D([], [], color=plot.OUTPUT_COLOR, marker="D", linewidth=0, label="output"),
            Patch(color=plot.TRUE_CLASS_COLOR, label="true class"),
        ],
        loc="outside lower center",
        ncols=len(colors) + 3,
        frameon=False,
    )
    return figure


def against_cover(
    cover: np.ndarray,
    share: Mapping[str, np.ndarray],
    relevance: Mapping[str, np.ndarray],
    right: np.ndarray,
    *,
    bins: int,
    title: str,
) -> Figure:
    """Draw share, relevance and accuracy over bins of cloud cover.

    Lines are means, bands reach from the lower to the upper quartile.

    Args:
        cover: cloud cover of each sample, [N].
        share: name of the source to its share in the relevance of the true class, [N].
        relevance: name of the source to its relevance for the true class, [N].
        right: whether each sample is predicted right, [N].
        bins: how many bins of equal width.
        title: title of the figure.

    Returns:
        The figure.
    """
    edges = np.linspace(0, 1, bins + 1)
    members = bin_members(cover, edges)
    full = [m for m in members if len(m)]
    middles = [(edges[i] + edges[i + 1]) / 2 for i, m in enumerate(members) if len(m)]
    figure = Figure(figsize=(10.5, 3.7), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, 3)
    colors = plot.source_colors(share)
    panels = (("share of the true class's relevance", share), ("relevance", relevance))
    for ax, (words, values) in zip(axes, panels, strict=False):
        for name, color in colors.items():
            low, high = np.transpose([np.nanquantile(values[name][m], (0.25, 0.75)) for m in full])
            mean = [np.nanmean(values[name][m]) for m in full]
            ax.fill_between(middles, low, high, color=color, alpha=0.2, linewidth=0)
            plot.draw_curve(ax, middles, mean, color=color, label=name)
        ax.set_title(words, fontsize="medium")
    axes[0].set_ylim(0, 1)
    axes[1].axhline(0, color="black", linewidth=0.6)
    plot.draw_curve(axes[2], middles, [right[m].mean() for m in full], color="black")
    axes[2].set(ylim=(0, 1))
    axes[2].set_title("accuracy", fontsize="medium")
    for middle, m in zip(middles, full, strict=True):
        axes[2].text(middle, 0.03, f"n={len(m)}", ha="center", fontsize=SMALL - 1)
    for ax in axes:
        ax.set(xlim=(0, 1), xticks=edges)
        ax.set_xlabel("cloud cover of the optical image", fontsize=SMALL + 1)
    figure.legend(
        handles=axes[0].get_lines(), loc="outside lower center", ncols=len(colors), frameon=False
    )
    return figure
