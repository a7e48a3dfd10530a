"""The figures: cloud mask beside the share of radar, and both over the distance from the edge."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.segmentation.edges import EDGES
from experiments.segmentation.explaining import BIASES
from experiments.sen12ms.figures import picture
from rfp_jax import plot
from rfp_jax._util.extras import needs_extra

with needs_extra("Drawing pictures", "plot"):
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.patheffects import withStroke

SMALL = 8  # points
SHARES = colormaps["cividis"]
"""From 0 to 1; dark to light for every eye and in print."""

BLUE, ORANGE, _, _, SKY, RED, _ = plot.SOURCE_COLORS
STYLES = {"clear": (SKY, "o", "--"), "cloudy": (RED, "s", "-")}
"""Color, marker and line of each condition: told apart without colors, too."""

WITHOUT = {
    "whole": (plot.OUTPUT_COLOR, "o", "-"),
    "optical of another place": (BLUE, "^", ":"),
    "sar of another place": (ORANGE, "s", "--"),
}
WORDS = {"sar of another place": "radar of another place", "whole": "both sources"}

LAND = ("#004D1A", "#A3A500", "#C7E08A", "#6FBF4B", "#8C6BB1", "#E6AB02", "#D7301F", "#F7FBFF")
LAND = (*LAND, "#B8A38F", "#2B6CB0")
"""Colors of the 10 simplified classes: forest dark green, urban red, snow white, water blue ..."""


class Shown(NamedTuple):
    """A patch in both conditions.

    Attributes:
        images: of each source, by condition.
        mask: whether each pixel is under a cloud, bool [y, x].
        land_cover: its class, -1 where none is known, [y, x].
        prediction: the class that the network names, by condition, [y, x].
        share: of radar, biases shared, by condition, [y, x].
    """

    images: Mapping[str, tuple[np.ndarray, ...]]
    mask: np.ndarray
    land_cover: np.ndarray
    prediction: Mapping[str, np.ndarray]
    share: Mapping[str, np.ndarray]


def class_colors(count: int) -> np.ndarray:
    """A color for each class, [count, 3]; those of the 10 simplified ones are chosen by hand."""
    if count == len(LAND):
        return np.array([to_rgb(color) for color in LAND])
    return colormaps["viridis"](np.linspace(0, 1, count))[:, :3]


def maps(patches: Sequence[Shown], names: Sequence[str], title: str) -> Figure:
    """Draw patches, a row each: what the network sees, the cloud mask, the share of radar.

    Args:
        patches: what to draw.
        names: of the classes.
        title: title of the figure.

    Returns:
        The figure.
    """
    heads = (
        *("optical, clear", "optical, cloudy", "radar (VV)", "cloud mask"),
        *("share of radar, cloudy", "share of radar, clear"),
        *("land cover", "named, cloudy", "named, clear"),
    )
    figure = Figure(figsize=(1.5 * len(heads), 1.5 * len(patches) + 1.6), layout="constrained")
    figure.suptitle(title, fontsize=SMALL + 3)
    grid = figure.subplots(len(patches), len(heads), squeeze=False)
    for row, shown in zip(grid, patches, strict=True):
        _row(row, shown, class_colors(len(names)))
    for ax, head in zip(grid[0], heads, strict=True):
        ax.set_title(head, fontsize=SMALL)
    for ax in grid.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    scale = figure.colorbar(
        grid[0, 4].images[0],
        ax=grid,
        location="bottom",
        shrink=0.2,
        aspect=30,
        pad=0.02,
        anchor=(0.57, 1.0),
    )
    scale.set_label("share of radar in the relevance of the class that is named", fontsize=SMALL)
    scale.ax.tick_params(labelsize=SMALL)
    handles: list[Any] = [
        Patch(facecolor=color, edgecolor="#999999", label=name)
        for name, color in zip(names, class_colors(len(names)), strict=True)
    ]
    edge = Line2D([], [], color="white", linewidth=1, label="edge of the cloud mask")
    edge.set_path_effects([withStroke(linewidth=2.5, foreground="black")])
    figure.legend(
        handles=[*handles, edge],
        loc="outside lower center",
        ncols=6,
        fontsize=SMALL,
        frameon=False,
        handlelength=1.4,
    )
    return figure


def _row(row: Sequence[Axes], shown: Shown, colors: np.ndarray) -> None:
    clear, cloudy = (shown.images[name] for name in ("clear", "cloudy"))
    row[0].imshow(picture(clear[0], "optical"))
    row[1].imshow(picture(cloudy[0], "optical"))
    row[2].imshow(picture(cloudy[1], "sar"), cmap="gray")
    row[3].imshow(shown.mask, cmap="gray", vmin=0, vmax=1)
    for ax, condition in zip(row[4:6], ("cloudy", "clear"), strict=True):
        ax.imshow(shown.share[condition], cmap=SHARES, vmin=0, vmax=1)
    classes = (shown.land_cover, shown.prediction["cloudy"], shown.prediction["clear"])
    for ax, named in zip(row[6:], classes, strict=True):
        ax.imshow(np.where((named >= 0)[..., None], colors[named], 0.6))
    for ax in (row[1], row[4], row[5], row[7]):
        outline(ax, shown.mask)


def outline(ax: Axes, mask: np.ndarray) -> None:
    """Draw the edge of the clouds, white in a black stroke: it shows on every color.

    Args:
        ax: the axes to draw on.
        mask: whether each pixel is under a cloud, bool [y, x].
    """
    if mask.any() and not mask.all():
        lines = ax.contour(mask, levels=[0.5], colors="white", linewidths=0.8)
        lines.set_path_effects([withStroke(linewidth=2, foreground="black")])


def over_distance(summary: Mapping[str, Any], title: str) -> Figure:
    """Draw the share of radar and the accuracy over the distance from the edge of a cloud.

    Args:
        summary: of `summary.summarize`.
        title: title of the figure.

    Returns:
        The figure: means over the networks, with bars of two standard errors.
    """
    found = summary["over_distance"]
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    figure.suptitle(title, fontsize=SMALL + 3)
    axes = figure.subplots(1, 3)
    for ax, (bias, words) in zip(axes, BIASES.items(), strict=False):
        curves = found["share_of_radar"][bias]
        _curves(ax, found["meters"], {name: (curves[name], *STYLES[name]) for name in curves})
        ax.set_title(f"share of radar, {words}", fontsize=SMALL + 1)
        ax.set_ylim(0, 1)
    accuracy = found["accuracy"]["cloudy"]
    _curves(
        axes[2],
        found["meters"],
        {WORDS.get(name, name): (accuracy[name], *style) for name, style in WITHOUT.items()},
    )
    axes[2].set_title("accuracy of pixels, cloudy", fontsize=SMALL + 1)
    return figure


def _curves(ax: Axes, meters: Sequence[float], curves: Mapping[str, Any]) -> None:
    """Draw curves over the bins, which stand at equal distances from each other."""
    places = np.arange(len(meters))
    for name, (curve, color, marker, line) in curves.items():
        ax.errorbar(
            places,
            np.array(curve["mean"], float),
            2 * np.array(curve["standard_error"], float),
            color=color,
            marker=marker,
            linestyle=line,
            markersize=4,
            capsize=2,
            linewidth=1.3,
            label=name,
        )
    middle = len(meters) / 2 - 0.5
    ax.axvspan(-0.5, middle, color="#EEEEEE", zorder=0)
    ax.axvline(middle, color="black", linewidth=0.8)
    ax.set_xlim(-0.5, len(meters) - 0.5)
    ax.set_xticks(np.arange(len(EDGES)) - 0.5, [str(edge) for edge in EDGES], rotation=45)
    ax.tick_params(labelsize=SMALL)
    ax.set_xlabel("meters from the cloud's edge (gray: under the cloud)", fontsize=SMALL)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=SMALL, frameon=False)
