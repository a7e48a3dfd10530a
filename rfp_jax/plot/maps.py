"""Pictures of maps: which class, which source, how clearly, and where nothing is known.

They take a map as `rfp_jax.maps.relevance` and `rfp_jax.maps.open` return it, or a part of one, or
one sample of `rfp_jax.tables.open_maps`, and show the true colors, the classes, and the sources,
with coordinates along the axes and a scale bar; samples of tables lie nowhere, and their axes count
pixels. It is hatched where there are no data. The color-blind tell the colors of sources apart;
how much is lightness, which print keeps. Of maps of more than 750 pixels a side, block means are
drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.classes import classes_of, explained
from rfp_jax._util.coarse import cells, frequent
from rfp_jax._util.colors import source_colors
from rfp_jax._util.extras import needs_extra
from rfp_jax._util.ground import ground_of
from rfp_jax._util.parts import shares, source_names
from rfp_jax.plot._colors import FAINTEST, RELEVANCE_COLORS, opaque
from rfp_jax.plot._ground import HATCHED, KEY, below, draw_cells, draw_ground, draw_ramps
from rfp_jax.plot._parts import SMALL, signed

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "draw_classes",
    "draw_dominance",
    "draw_relevance",
    "draw_share",
    "draw_true_color",
    "overview",
]

SIDE = 750
"""So many cells a side are drawn at most."""

PERCENTILE = 99
"""So many percent of the relevance are within the scale of colors."""

LEVELS = 255
"""Colors of a ramp."""


def draw_true_color(ax: Axes, scene: xr.Dataset, rgb: ArrayLike) -> None:
    """Draw the ground in the colors that the eye sees.

    Args:
        ax: the axes to draw on.
        scene: the map whose ground it is.
        rgb: the picture, [y, x, 3] or with opacity [y, x, 4], uint8 or from 0 to 1: of the pixels
            of the map, or of blocks of them, as `rfp_jax.maps.true_color` makes it.

    Raises:
        ValueError: it has another size.
    """
    ground, rgb = ground_of(scene, placed=False), np.asarray(rgb)
    factor = -(-max(ground.shape) // max(rgb.shape[:2]))
    coarse = ground.coarser(factor)
    if rgb.ndim != 3 or rgb.shape[-1] not in (3, 4) or rgb.shape[:2] != coarse.shape:
        raise ValueError(
            f"rgb has the shape {rgb.shape}, the map {ground.shape} pixels: give [y, x, 3] of the "
            "same pixels; rfp_jax.maps.true_color(scene, source) makes it of a file"
        )
    draw_ground(ax, ground)
    draw_cells(ax, rgb, coarse)


def draw_classes(ax: Axes, scene: xr.Dataset, which: str = "prediction") -> None:
    """Draw the predicted classes in their own colors, of cells the most frequent one.

    Args:
        ax: the axes to draw on.
        scene: a map with `prediction`.
        which: `"prediction"`, or `"label"` for the true classes, which maps of tables have.

    Raises:
        ValueError: no class is predicted, or there are no labels.
    """
    ground, classes = ground_of(scene, placed=False), classes_of(scene)
    if not classes:
        raise ValueError("no class is predicted, as the network has one output: draw its relevance")
    if which not in ("prediction", "label") or which not in scene:
        raise ValueError(f"no {which!r} in the map: draw 'prediction', or 'label' if it has labels")
    factor = -(-max(ground.shape) // SIDE)
    best, _ = frequent(scene[which], factor)
    colors = np.zeros((*best.shape, 4))
    for each in classes:
        colors[best == each.number] = (*to_rgb(each.color), 1)
    draw_ground(ax, ground)
    draw_cells(ax, colors, ground.coarser(factor))
    handles = [Patch(facecolor=each.color, label=each.name) for each in classes]
    legend = ax.legend(
        handles=[*handles, Patch(label="no data", **HATCHED)],
        loc="upper center",
        bbox_to_anchor=(0.5, -KEY + 0.05),
        bbox_transform=below(ax),
        ncols=3,
        fontsize=SMALL,
        frameon=False,
        handlelength=1.2,
        columnspacing=1,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def draw_share(ax: Axes, scene: xr.Dataset, source: str, *, of: str | None = None) -> None:
    """Draw the share of a source, `|R_s| / sum |R|`, from white, none, to its color, all.

    Args:
        ax: the axes to draw on.
        scene: a map.
        source: name of the source.
        of: the class whose relevance it is; by default the predicted one.

    Raises:
        ValueError: there is no such source or class, or there are more sources than colors.
    """
    shares, colors = _shares(scene, of)
    if source not in colors:
        raise ValueError(f"no source {source!r}: the map has {list(colors)}")
    color = np.array(to_rgb(colors[source]))
    _draw(ax, scene, _tinted(color, shares[list(colors).index(source)]))
    ramp = _tinted(color, np.linspace(0, 1, LEVELS))
    draw_ramps(ax, {source: ramp}, ("0 %", "share", "100 %"))


def draw_dominance(ax: Axes, scene: xr.Dataset, *, of: str | None = None) -> None:
    """Draw which source dominates (its color), and how clearly (how much of it).

    The color is full where the share of the source is 1, and faint where all have the same.

    Args:
        ax: the axes to draw on.
        scene: a map.
        of: the class whose relevance it is; by default the predicted one.

    Raises:
        ValueError: there is no such class, or there are more sources than colors.
    """
    shares, colors = _shares(scene, of)
    least = 1 / len(colors)
    palette = np.array([to_rgb(color) for color in colors.values()])
    first, most = np.nan_to_num(shares).argmax(0), shares.max(0)
    clear = (most - least) / (1 - least) if len(colors) > 1 else most
    _draw(ax, scene, _tinted(palette[first], FAINTEST + (1 - FAINTEST) * clear))
    strength = np.linspace(FAINTEST, 1, LEVELS)
    ramps = {name: _tinted(palette[k], strength) for k, name in enumerate(colors)}
    draw_ramps(ax, ramps, (f"{100 * least:.0f} %", "its share", "100 %"))


def draw_relevance(
    ax: Axes, scene: xr.Dataset, source: str, *, of: str | None = None, limit: float | None = None
) -> None:
    """Draw the relevance of a source: red speaks for the class, blue against it, white is 0.

    Args:
        ax: the axes to draw on.
        scene: a map.
        source: name of the source, or "bias".
        of: the class whose relevance it is; by default the predicted one.
        limit: the relevance that has the full color; by default the 99th percentile of all
            sources, so that their maps can be compared.

    Raises:
        ValueError: there is no such source or class.
    """
    relevance = _of_class(scene, of)
    names = list(map(str, relevance.source.values))
    if source not in names:
        raise ValueError(f"no source {source!r}: the map has {names}")
    values = relevance.to_numpy()
    if limit is None:
        known = np.abs(values[np.isfinite(values)])
        limit = float(np.percentile(known, PERCENTILE)) if known.any() else 1.0
    values = values[names.index(source)]
    levels = np.array(opaque(RELEVANCE_COLORS, LEVELS)) / 255
    place = (np.clip(np.nan_to_num(values) / limit, -1, 1) + 1) / 2
    colors = levels[np.round(place * (LEVELS - 1)).astype(int)]
    _draw(ax, scene, np.dstack([colors, np.isfinite(values)]))
    draw_ramps(ax, {source: levels}, (f"{signed(-limit)} against", "0", f"for {signed(limit)}"))


def overview(
    scene: xr.Dataset,
    rgb: ArrayLike | None = None,
    *,
    of: str | None = None,
    title: str = "",
    columns: int = 3,
) -> Figure:
    """Draw all of a map: the ground, the classes, who dominates, and each source.

    Args:
        scene: a map.
        rgb: the picture of the ground, as for `draw_true_color`.
        of: the class whose relevance is drawn; by default the predicted one at each pixel.
        title: title of the figure.
        columns: how many maps stand side by side.

    Returns:
        The figure; a map is about 3 inches wide.

    Raises:
        ValueError: it is not a complete map, there is no such class, `rgb` has another size, or
            there are more sources than colors.

    Examples:
        >>> import xarray as xr, rioxarray
        >>> y, x = [5199995.0, 5199985.0], [600005.0, 600015.0]
        >>> relevance = np.array([[[8.0, 1], [1, 1]], [[2.0, 9], [1, np.nan]], np.ones((2, 2))])
        >>> scene = xr.Dataset(
        ...     {
        ...         "relevance": (("source", "y", "x"), relevance),
        ...         "output": (("y", "x"), relevance.sum(0)),
        ...     },
        ...     {"source": ["optical", "radar", "bias"], "y": y, "x": x},
        ... ).rio.write_crs("EPSG:32633")
        >>> [ax.get_title() for ax in overview(scene).axes if ax.get_title()][:3]
        ['dominating source', 'share of optical', 'share of radar']
    """
    coarse = cells(scene, SIDE)
    _, colors = _shares(coarse, of)
    whose = f" for {of}" if of else ""
    panels: list[tuple[str, Callable[[Axes], None]]] = []
    if rgb is not None:
        panels.append(("image", partial(draw_true_color, scene=scene, rgb=rgb)))
    if "prediction" in scene:
        panels.append(("predicted class", partial(draw_classes, scene=scene)))
    if "prediction" in scene and "label" in scene:
        panels.append(("true class", partial(draw_classes, scene=scene, which="label")))
    panels.append((f"dominating source{whose}", partial(draw_dominance, scene=coarse, of=of)))
    for name in colors:
        draw = partial(draw_share, scene=coarse, source=name, of=of)
        panels.append((f"share of {name}{whose}", draw))
    for name in map(str, scene.source.values):
        draw = partial(draw_relevance, scene=coarse, source=name, of=of)
        panels.append((f"relevance of {name}{whose}", draw))
    rows = -(-len(panels) // columns)
    high = np.clip(scene.sizes["y"] / scene.sizes["x"], 0.4, 2)
    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.08)
    figure = Figure(figsize=(3.2 * columns, (2.8 * high + 1.2) * rows + 0.4), layout=layout)
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (name, draw) in zip(axes.flat, panels, strict=False):
        draw(ax)
        ax.set_title(name, fontsize=SMALL + 1, parse_math=False)
    return figure


def _of_class(scene: xr.Dataset, of: str | None) -> xr.DataArray:
    """The relevance [source, y, x] of a class, or of the predicted one, in cells to draw."""
    scene = cells(scene, SIDE)
    relevance = scene.relevance.transpose(..., "source", "y", "x")
    if "class" not in relevance.dims:
        if of is not None:
            raise ValueError(
                f"of={of!r}, but the map explains the predicted class alone: compute it with "
                f"outputs=[{of!r}] or outputs='all'"
            )
        return relevance
    names = list(map(str, scene["class"].values))
    if of is not None:
        if of not in names:
            raise ValueError(f"no class {of!r}: the map explains {names}")
        return relevance.isel({"class": names.index(of)})
    found = relevance.isel({"class": 0}, drop=True) * np.nan
    for place, number in enumerate(explained(scene) or ()):
        found = found.where(scene.prediction != number, relevance.isel({"class": place}, drop=True))
    return found


def _shares(scene: xr.Dataset, of: str | None) -> tuple[np.ndarray, dict[str, str]]:
    """The shares `|R_s| / sum |R|` [source, y, x], without the bias, and the colors of sources."""
    found = shares(_of_class(scene, of)).transpose("source", "y", "x")
    return found.to_numpy(), source_colors(source_names(found))


def _tinted(color: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """From white, 0, to a color, 1; transparent where nothing is known."""
    amount = np.nan_to_num(strength)[..., None]
    return np.concatenate([1 + (color - 1) * amount, np.isfinite(strength)[..., None]], -1)


def _draw(ax: Axes, scene: xr.Dataset, colors: np.ndarray) -> None:
    """Draw colors of cells on the ground of a map."""
    ground = ground_of(scene, placed=False)
    draw_ground(ax, ground)
    draw_cells(ax, colors, ground.coarser(-(-max(ground.shape) // SIDE)))
