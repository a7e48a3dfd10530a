"""Pictures of relevance: arrays in, matplotlib figures out.

Functions `draw_*` draw on axes they are given; the others return a new figure. None uses pyplot's
state, so none needs a display or leaves a figure open: write one with `figure.savefig(path)`.

Relevance comes as a mapping, name of the source to an array [samples, classes]. The order of the
names is the order of the colors, so the same sources have the same colors in every picture.
Pictures of scenes are in `rfp_jax.plot.maps`.
"""

from rfp_jax._util.colors import BIAS_COLOR, SOURCE_COLORS, source_colors
from rfp_jax.plot import maps
from rfp_jax.plot._colors import (
    DIFFERENCE_COLOR,
    OUTPUT_COLOR,
    RELEVANCE_COLORS,
    TRUE_CLASS_COLOR,
    WRONG_COLOR,
)
from rfp_jax.plot._curves import curves, draw_curve
from rfp_jax.plot._densities import densities, draw_density
from rfp_jax.plot._distributions import draw_violins, select_class, violins
from rfp_jax.plot._pixels import draw_heatmap, heatmap
from rfp_jax.plot._samples import draw_bars, draw_sources, examples, grid
from rfp_jax.plot._sequences import tokens

__all__ = [
    "BIAS_COLOR",
    "DIFFERENCE_COLOR",
    "OUTPUT_COLOR",
    "RELEVANCE_COLORS",
    "SOURCE_COLORS",
    "TRUE_CLASS_COLOR",
    "WRONG_COLOR",
    "curves",
    "densities",
    "draw_bars",
    "draw_curve",
    "draw_density",
    "draw_heatmap",
    "draw_sources",
    "draw_violins",
    "examples",
    "grid",
    "heatmap",
    "maps",
    "select_class",
    "source_colors",
    "tokens",
    "violins",
]
