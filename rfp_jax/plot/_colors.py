"""The colors of every picture."""

import numpy as np

from rfp_jax._util.colors import BIAS_COLOR
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
