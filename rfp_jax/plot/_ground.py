"""Draw what maps have beside pixels: coordinates, a scale bar, hatching where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rfp_jax._util.colors import BIAS_COLOR
from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._parts import SMALL

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator, ScalarFormatter
    from matplotlib.transforms import ScaledTranslation, Transform, blended_transform_factory

if TYPE_CHECKING:
    from rfp_jax._util.ground import Ground

HATCHED: dict[str, Any] = {  # as Matplotlib takes them
    "hatch": "////",
    "facecolor": "white",
    "edgecolor": BIAS_COLOR,
    "linewidth": 0,
}
"""The look of a patch without data."""

KEY = 0.3
"""A key begins so many inches below its map, under the coordinates."""

BAR = 0.3
"""The scale bar is at most this part of the map wide."""


def draw_ground(ax: Axes, ground: Ground) -> None:
    """Draw what lies below a map: hatching, coordinates along the axes, and a scale bar.

    Args:
        ax: the axes to draw on, before the map.
        ground: where the map lies.
    """
    left, bottom, right, top = ground.bounds
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, zorder=-1, **HATCHED))
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect=ground.aspect)
    ax.tick_params(labelsize=SMALL - 1, length=2)
    wide, high = abs(right - left), abs(top - bottom) * ground.aspect
    for axis, side in ((ax.xaxis, wide), (ax.yaxis, high)):
        numbers = ScalarFormatter(useOffset=False)
        numbers.set_scientific(False)
        most = max(round(3 * side / max(wide, high)), 1)  # numbers on a short side would overlap
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], min_n_ticks=1))
        axis.set_major_formatter(numbers)
    ax.tick_params(axis="y", labelrotation=90)
    for label in ax.get_yticklabels():
        label.set_verticalalignment("center")
    ax.spines[:].set(linewidth=0.5, color=BIAS_COLOR)
    _draw_bar(ax, ground)


def draw_cells(ax: Axes, colors: np.ndarray, ground: Ground) -> None:
    """Draw a color for each cell.

    Args:
        ax: the axes to draw on.
        colors: [y, x, 4] from 0 to 1 or uint8; transparent where nothing is known.
        ground: where the cells lie; the last ones may reach beyond the axes.
    """
    left, bottom, right, top = ground.bounds
    limits = ax.axis()
    ax.imshow(
        colors,
        extent=(left, right, bottom, top),
        interpolation="nearest",
        aspect=ax.get_aspect(),
    )
    ax.axis(limits)


def draw_ramps(ax: Axes, ramps: Mapping[str, np.ndarray], words: tuple[str, str, str]) -> None:
    """Draw below a map which color is how much.

    Args:
        ax: the axes of the map.
        ramps: names to colors, from least to most: [levels, 3] or [levels, 4], from 0 to 1.
        words: what stands at the left end, in the middle, and at the right end.
    """
    height = 0.11 * len(ramps)  # inches
    inset = ax.inset_axes((0.15, -KEY - height, 0.7, height), transform=below(ax))
    colors = np.stack(list(ramps.values()))
    inset.imshow(colors, aspect="auto", extent=(0, 1, len(ramps), 0), interpolation="nearest")
    inset.set_xticks([0, 0.5, 1], words)
    names = list(ramps) if len(ramps) > 1 else [""]
    inset.set_yticks(np.arange(len(ramps)) + 0.5, names, parse_math=False)
    inset.tick_params(labelsize=SMALL - 1, length=0)
    inset.spines[:].set(linewidth=0.5, color=BIAS_COLOR)


def below(ax: Axes) -> Transform:
    """From parts of the width of a map, and inches above its lower edge, to the screen."""
    corner = ScaledTranslation(0, 0, ax.transAxes)  # type: ignore  # any transform does
    inches = ax.figure.dpi_scale_trans + corner
    return blended_transform_factory(ax.transAxes, inches)


def _draw_bar(ax: Axes, ground: Ground) -> None:
    """A bar of a round length in meters, or pixels, at the lower left."""
    left, bottom, right, top = ground.bounds
    length = round_length(BAR * (right - left) * ground.meters)
    width, edge = length / ground.meters, 0.03 * (right - left)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    text = text if ground.crs is not None else f"{length:g} pixels"
    up = 1 if top > bottom else -1
    x, y, high = left + edge, bottom + up * edge, 0.02 * (top - bottom)
    frame = {"facecolor": "black", "edgecolor": "white", "linewidth": 0.5}
    ax.add_patch(Rectangle((x, y), width, high, zorder=4, **frame))
    paper = {"facecolor": "white", "alpha": 0.8, "pad": 1, "linewidth": 0}
    ax.text(x, y + 1.6 * high, text, fontsize=SMALL - 1, va="bottom", zorder=4, bbox=paper)


def round_length(most: float) -> float:
    """The greatest of 1, 2 and 5 times a power of ten that is not more.

    Examples:
        >>> round_length(3700), round_length(0.06)
        (2000.0, 0.05)
    """
    power = 10.0 ** np.floor(np.log10(most))
    return float(next(n for n in (5, 2, 1) if n * power <= most * (1 + 1e-9)) * power)
