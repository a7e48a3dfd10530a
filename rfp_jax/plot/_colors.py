"""The colors of every picture."""

from collections.abc import Iterable

import numpy as np

from rfp_jax._util.colors import BIAS_COLOR, SOURCE_COLORS
from rfp_jax._util.extras import needs_extra

with needs_extra("Drawing pictures", "plot"):
    from matplotlib import colormaps
    from matplotlib.colors import Colormap, ListedColormap

OUTPUT_COLOR = "#000000"
DIFFERENCE_COLOR = "#FFFFFF"
TRUE_CLASS_COLOR = "#E8E8E8"
WRONG_COLOR = "#B03A00"


def _fading(name: str, levels: int = 256) -> Colormap:
    """A diverging color map that is transparent in the middle, so that what lies below shows."""
    colors = colormaps[name](np.linspace(0, 1, levels))
    colors[:, 3] = np.abs(np.linspace(-1, 1, levels)) ** 0.6
    return ListedColormap(colors, name=f"{name}_fading").with_extremes(bad=BIAS_COLOR)


RELEVANCE_COLORS = _fading("RdBu_r")
"""Red speaks for the output, blue against it, and what is 0 is transparent."""


FAINTEST = 0.15
"""The part of its color that a source has where it dominates least; 1 is all, 0 is white."""


def opaque(colors: Colormap, levels: int) -> list[list[int]]:
    """Colors of a map as they look on white paper, red, green and blue from 0 to 255.

    Examples:
        >>> opaque(RELEVANCE_COLORS, 3)[1]
        [255, 255, 255]
    """
    values = colors(np.linspace(0, 1, levels))
    alpha = values[:, 3:]
    return np.round(255 * (values[:, :3] * alpha + 1 - alpha)).astype(int).tolist()


def source_colors(names: Iterable[str]) -> dict[str, str]:
    """Give each source its color.

    Args:
        names: names of the sources, in their order.

    Returns:
        Name to color, as "#rrggbb".

    Raises:
        ValueError: if there are more sources than colors that can be told apart.

    Examples:
        >>> source_colors(["left", "right"])
        {'left': '#0072B2', 'right': '#E69F00'}
    """
    names = list(names)
    if len(names) > len(SOURCE_COLORS):
        raise ValueError(
            f"got {len(names)} sources, and {len(SOURCE_COLORS)} colors that can be told apart: "
            "draw fewer sources, or sum some"
        )
    return dict(zip(names, SOURCE_COLORS, strict=False))
