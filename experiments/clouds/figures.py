"""A figure of each image: what it shows, its mask, and which band speaks for what."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.clouds.explaining import Explained, speaking
from experiments.clouds.images import Image
from experiments.clouds.network import CLASSES
from rfp_jax import plot
from rfp_jax._util.extras import needs_extra

with needs_extra("Drawing pictures", "clouds"):
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from matplotlib.patheffects import withStroke

SMALL = 8  # points
BLUE, _, GREEN, PINK, _, RED, _ = plot.SOURCE_COLORS
BAND_COLORS = {"blue": BLUE, "green": GREEN, "red": RED, "nir": PINK}
"""The nearest ones to the bands' own."""

MASK_COLORS = ("#BDBDBD", "#FFFFFF", "#333333")
"""Background, cloud, shadow: told apart by lightness."""

FAINTEST = 0.25
"""Part of its color that a band keeps where it speaks alone least."""

PERCENTILE = 99
"""So many percent of the relevance are within the scale of colors."""


def figure(image: Image, found: Explained, bands: Sequence[str], summary: Mapping[str, Any]) -> Any:
    """Draw an image.

    Args:
        image: the image.
        found: what is known of its pixels.
        bands: names of the bands.
        summary: of `summary.summarize`, of this image.

    Returns:
        The figure.
    """
    drawn = Figure(figsize=(13, 8.6), layout="constrained")
    drawn.suptitle(
        f"{image.name[0].upper()}{image.name[1:]}: which band speaks for cloud, which for shadow\n"
        "Sentinel-2 image of spyndex (real), cloud-mask network of ukis-csmask (trained by DLR); "
        + ("clouds and shadows are PAINTED" if image.opacity.any() else "nothing is painted"),
        fontsize=SMALL + 3,
    )
    grid = drawn.subplots(3, 5)
    _ground(grid[0, 0], image)
    _mask(grid[0, 1], found)
    for ax, name in zip(grid[0, 2:4], CLASSES[1:], strict=True):
        _speaking(ax, found.bands[..., CLASSES.index(name)], bands, name)
    _bars(grid[0, 4], summary, bands)
    for row, name in zip(grid[1:], CLASSES[1:], strict=True):
        parts = [*found.bands, found.bias]
        values = np.stack([part[..., CLASSES.index(name)] for part in parts])
        limit = float(np.percentile(np.abs(values), PERCENTILE)) or 1.0
        for ax, part, source in zip(row, values, (*bands, "bias"), strict=True):
            ax.imshow(part, cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set_title(f"{source}, for {name}", fontsize=SMALL + 1)
        scale = drawn.colorbar(row[0].images[0], ax=row, shrink=0.8, pad=0.01, aspect=25)
        scale.set_label(f"relevance: red for {name}, blue against", fontsize=SMALL)
        scale.ax.tick_params(labelsize=SMALL)
    for ax in (*grid[0, :4], *grid[1:].flat):
        ax.set_xticks([])
        ax.set_yticks([])
    return drawn


def _ground(ax: Axes, image: Image) -> None:
    colors = image.reflectance[..., 2::-1] / np.percentile(image.reflectance[..., :3], 99.5)
    ax.imshow(np.clip(colors, 0, 1) ** 0.7)
    ax.set_title("true colors", fontsize=SMALL + 1)
    handles = []
    painted = ((image.opacity, "solid", "cloud"), (image.shadow, "dotted", "shadow"))
    for values, line, name in painted:
        if values.any():
            lines = ax.contour(
                values, levels=[values.max() / 4], colors="white", linestyles=line, linewidths=0.9
            )
            lines.set_path_effects([withStroke(linewidth=2, foreground="black")])
            handles.append(f"{line}: painted {name}")
    ax.set_xlabel("\n".join(handles), fontsize=SMALL)


def _mask(ax: Axes, found: Explained) -> None:
    ax.imshow(np.array([to_rgb(color) for color in MASK_COLORS])[found.mask])
    ax.set_title("mask of the network", fontsize=SMALL + 1)
    handles = [
        Patch(facecolor=color, edgecolor="black", linewidth=0.5, label=name)
        for name, color in zip(CLASSES, MASK_COLORS, strict=True)
    ]
    _legend(ax, handles)


def _speaking(ax: Axes, values: np.ndarray, bands: Sequence[str], name: str) -> None:
    """Draw the band that speaks most for a class in its color, the fuller the more alone."""
    first, share = speaking(values)
    palette = np.array([*(to_rgb(BAND_COLORS[band]) for band in bands), (1, 1, 1)])
    alone = (share - 1 / len(bands)) / (1 - 1 / len(bands))
    strength = (FAINTEST + (1 - FAINTEST) * alone.clip(0, 1))[..., None]
    ax.imshow(1 + (palette[first] - 1) * strength)
    ax.set_title(f"speaks most for {name}", fontsize=SMALL + 1)
    handles = [Patch(facecolor=BAND_COLORS[band], label=band) for band in bands]
    _legend(ax, [*handles, Patch(facecolor="white", edgecolor="black", label="none")])


def _legend(ax: Axes, handles: Sequence[Artist], below: float = 0.01) -> None:
    """Draw a legend below the axes, by a part of their height."""
    ax.legend(
        handles=list(handles),
        loc="upper center",
        bbox_to_anchor=(0.5, -below),
        ncols=3,
        fontsize=SMALL - 1,
        frameon=False,
        handlelength=1.2,
        columnspacing=0.8,
    )


def _bars(ax: Axes, summary: Mapping[str, Any], bands: Sequence[str]) -> None:
    """Draw the mean relevance of each band for a class over the pixels of that class."""
    names = [name for name in CLASSES if summary["classes"][name]["pixels"]]
    colors = {**BAND_COLORS, "bias": plot.BIAS_COLOR}
    sources = (*bands, "bias")
    width = 0.8 / len(sources)
    for place, source in enumerate(sources):
        heights = [summary["classes"][name]["mean_relevance"][source] for name in names]
        at = np.arange(len(names)) + (place - (len(sources) - 1) / 2) * width
        ax.bar(at, heights, width, color=colors[source], label=source)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xticks(range(len(names)), [f"for {name}" for name in names])
    ax.tick_params(labelsize=SMALL)
    ax.set_title("mean relevance, where it is named", fontsize=SMALL + 1)
    ax.spines[["top", "right"]].set_visible(False)
    _legend(ax, ax.get_legend_handles_labels()[0], below=0.1)
