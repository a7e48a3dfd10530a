"""Heatmaps: which pixels of which source spoke for an output."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.colors import BIAS_COLOR, source_colors
from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._colors import RELEVANCE_COLORS
from rfp_jax.plot._parts import (
    SMALL,
    draw_image,
    draw_scale,
    greatest,
    limits_of,
    signed,
    unmasked,
)

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine


def draw_heatmap(
    ax: Axes, image: ArrayLike, relevance: ArrayLike, *, limit: float, limits: tuple[float, float]
) -> None:
    """Draw the relevance of an image's pixels over the image, which is shown pale and gray.

    Args:
        ax: the axes to draw on.
        image: [height, width], [height, width, 1], or colors [height, width, 3] from 0 to 1.
        relevance: [height, width], or [height, width, channels], which is summed over channels;
            gray where it is not a number.
        limit: the relevance that has the full color, red; minus this is blue.
        limits: the values of the image shown white and black.

    Examples:
        >>> ax = Figure().subplots()
        >>> draw_heatmap(ax, np.eye(4), np.eye(4) - 0.5, limit=0.5, limits=(0, 1))
        >>> len(ax.images)
        2
    """
    image = unmasked(image)
    if image.ndim == 3 and image.shape[-1] == 3:  # its colors would mix with those of relevance
        image, limits = -image.mean(-1), (-1, 0)
    draw_image(ax, image, limits, alpha=0.35)
    total = _per_pixel(relevance)
    height, width = total.shape
    ax.imshow(total, cmap=RELEVANCE_COLORS, vmin=-limit, vmax=limit, extent=(0, width, height, 0))


def heatmap(
    images: Mapping[str, ArrayLike],
    relevance: Mapping[str, ArrayLike],
    *,
    names: Sequence[str] = (),
    title: str = "",
    limit: float | None = None,
    columns: int = 2,
) -> Figure:
    """Draw which pixels of which source spoke for an output: each image, and its relevance over it.

    The colors are centered at 0 and have one scale for all sources and samples, so that they can be
    compared. Below each heatmap stands its sum, the relevance of the source.

    Args:
        images: name of the source to its images, [samples, height, width], [..., 1], or colors
            [..., 3] from 0 to 1. Sources may differ in size. Each has its own limits of gray.
        relevance: name of the source to its heatmaps, [samples, height, width] or [..., channels],
            for instance from `rfp_jax.heatmap`.
        names: what stands beside each sample, for instance its class.
        title: title of the figure.
        limit: the relevance that has the full color; by default the greatest magnitude.
        columns: how many samples stand side by side.

    Returns:
        The figure; an image is about 1.2 inches high.

    Raises:
        ValueError: if the sources of `images` and `relevance` differ, or a heatmap has not the size
            of its image.

    Examples:
        >>> images = {"optical": np.ones((2, 8, 8, 3)), "SAR": np.ones((2, 4, 4))}
        >>> relevance = {"optical": np.ones((2, 8, 8, 10)), "SAR": -np.ones((2, 4, 4, 2))}
        >>> figure = heatmap(images, relevance, names=["forest", "water"])
        >>> [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
        ['+640', '−32', '+640', '−32', 'relevance: red speaks for the output, blue against it']
    """
    colors = source_colors(relevance)
    if set(images) != set(colors):
        raise ValueError(f"images of {sorted(images)}, but relevance of {sorted(colors)}")
    stacks = {name: unmasked(images[name]) for name in colors}
    maps = {name: _per_pixel(relevance[name], samples=True) for name in colors}
    for name, stack in stacks.items():
        if stack.shape[:3] != maps[name].shape:
            raise ValueError(
                f"{name}: images [samples, height, width] of {stack.shape[:3]}, heatmaps of "
                f"{maps[name].shape}; relevance has the shape of its images, channels aside"
            )
    limit = limit or greatest(maps.values())
    samples = len(next(iter(maps.values())))
    columns = min(columns, samples)
    rows = -(-samples // columns)
    ratios = [
        side for m in maps.values() for side in 2 * [np.clip(m.shape[2] / m.shape[1], 0.4, 2)]
    ]
    width, height = columns * (0.4 + 1.3 * sum(ratios)), 1.4 + 1.35 * rows
    layout = ConstrainedLayoutEngine(h_pad=0.08)  # inches: room between the title and the names
    figure = Figure(figsize=(max(width, 4), height), layout=layout)
    figure.suptitle(title)
    grid = figure.subplots(
        rows, len(ratios) * columns, width_ratios=ratios * columns, squeeze=False
    )
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(linewidth=0.5, color=BIAS_COLOR)
    cells = grid.reshape(rows * columns, len(colors), 2)
    for ax in cells[samples:].flat:
        ax.set_axis_off()
    for sample, cell in enumerate(cells[:samples]):
        cell[0, 0].set_ylabel(names[sample] if names else "", fontsize=SMALL + 1)
        for (plain, overlaid), (name, color) in zip(cell, colors.items(), strict=True):
            image, heat = stacks[name], maps[name][sample]
            limits = limits_of([image])
            draw_image(plain, image[sample], limits)
            draw_heatmap(overlaid, image[sample], heat, limit=limit, limits=limits)
            plain.set_title(name, fontsize=SMALL + 1, fontweight="bold", color=color)
            overlaid.set_xlabel(signed(heat.sum()), fontsize=SMALL + 1)
    draw_scale(figure, limit, exceeded=limit < greatest(maps.values()))
    return figure


def _per_pixel(relevance: ArrayLike, *, samples: bool = False) -> np.ndarray:
    """Relevance [..., height, width], summed over channels where there are any."""
    relevance = np.asarray(relevance, float)
    return relevance.sum(-1) if relevance.ndim == 3 + samples else relevance
