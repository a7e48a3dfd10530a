"""Maps of relevance: which class, which source, how clearly, and where nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._colors import FAINTEST, RELEVANCE_COLORS, opaque, source_colors
from rfp_jax.plot._ground import HATCHED, draw_cells, draw_ground, draw_ramps
from rfp_jax.plot._parts import SMALL, signed

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

if TYPE_CHECKING:
    import xarray as xr

SIDE = 750
"""So many cells a side are drawn at most; of more pixels, block means."""

PERCENTILE = 99
"""So many percent of the relevance are within the scale of colours."""

LEVELS = 255
"""Colours of a ramp."""


def draw_true_color(ax: Axes, scene: xr.Dataset, rgb: Any) -> None:
    """Draw the ground in the colours that the eye sees.

    Args:
        ax: the axes to draw on.
        scene: the map whose ground it is.
        rgb: red, green and blue, as sources of a map are given: a path, a DataArray, or a
            `rfp_jax.maps.Source` whose `bands` names them.

    Raises:
        rfp_jax.maps.SceneError: there are not three bands, or they are elsewhere.
    """
    from rfp_jax.maps._ground import ground_of
    from rfp_jax.maps._true_color import true_color

    ground = ground_of(scene)
    factor = -(-max(ground.grid.shape) // SIDE)
    draw_ground(ax, ground)
    draw_cells(ax, true_color(rgb, ground.grid, factor), ground.coarser(factor))


def draw_classes(ax: Axes, scene: xr.Dataset) -> None:
    """Draw the predicted classes in their own colours, of cells the most frequent one.

    Args:
        ax: the axes to draw on.
        scene: a map with `prediction`.

    Raises:
        ValueError: no class is predicted.
    """
    from rfp_jax.maps._cells import frequent
    from rfp_jax.maps._cog import classes_of
    from rfp_jax.maps._ground import ground_of

    ground = ground_of(scene)
    if "prediction" not in scene:
        raise ValueError("no class is predicted, as the network has one output: draw its relevance")
    factor = -(-max(ground.grid.shape) // SIDE)
    best, _ = frequent(scene.prediction, factor)
    colors = np.zeros((*best.shape, 4))
    classes = classes_of(scene)
    for number, _, color in classes:
        colors[best == number] = (*to_rgb(color), 1)
    draw_ground(ax, ground)
    draw_cells(ax, colors, ground.coarser(factor))
    handles = [Patch(facecolor=color, label=name) for _, name, color in classes]
    legend = ax.legend(
        handles=[*handles, Patch(label="no data", **HATCHED)],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.1),
        ncols=3,
        fontsize=SMALL,
        frameon=False,
        handlelength=1.2,
        columnspacing=1,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def draw_share(ax: Axes, scene: xr.Dataset, source: str, *, of: str | None = None) -> None:
    """Draw the share of a source, `|R_s| / sum |R|`, from white, none, to its colour, all.

    Args:
        ax: the axes to draw on.
        scene: a map.
        source: name of the source.
        of: the class whose relevance it is; by default the predicted one.

    Raises:
        ValueError: there is no such source or class, or there are more sources than colours.
    """
    shares, colors = _shares(scene, of)
    if source not in colors:
        raise ValueError(f"no source {source!r}: the map has {list(colors)}")
    color = np.array(to_rgb(colors[source]))
    _draw(ax, scene, _tinted(color, shares.sel(source=source).to_numpy()))
    ramp = _tinted(color, np.linspace(0, 1, LEVELS))
    draw_ramps(ax, {source: ramp}, ("0 %", "share", "100 %"))


def draw_dominance(ax: Axes, scene: xr.Dataset, *, of: str | None = None) -> None:
    """Draw which source dominates (its colour), and how clearly (how much of it).

    The colour is full where the share of the source is 1, and faint where all have the same.

    Args:
        ax: the axes to draw on.
        scene: a map.
        of: the class whose relevance it is; by default the predicted one.

    Raises:
        ValueError: there is no such class, or there are more sources than colours.
    """
    shares, colors = _shares(scene, of)
    values, least = shares.to_numpy(), 1 / len(colors)
    palette = np.array([to_rgb(color) for color in colors.values()])
    first, most = np.nan_to_num(values).argmax(0), values.max(0)
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
        limit: the relevance that has the full colour; by default the 99th percentile of all
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


def maps(
    scene: xr.Dataset, rgb: Any = None, *, of: str | None = None, title: str = "", columns: int = 3
) -> Figure:
    """Draw a map of relevance: the ground, the classes, who dominates, and each source.

    It is hatched where there are no data. The colour-blind tell the colours of sources apart; how
    much is lightness, which print keeps.

    Args:
        scene: a map, from `rfp_jax.maps.relevance` or `rfp_jax.maps.open`, or a part of one. Of
            more than 750 pixels a side, block means are drawn.
        rgb: red, green and blue of the ground, as for `draw_true_color`.
        of: the class whose relevance is drawn; by default the predicted one at each pixel.
        title: title of the figure.
        columns: how many maps stand side by side.

    Returns:
        The figure; a map is about 3 inches wide.

    Raises:
        ValueError: there is no such class, or there are more sources than colours.
        rfp_jax.maps.SceneError: it is no complete map, or `rgb` does not fit it.

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
        >>> [ax.get_title() for ax in maps(scene).axes if ax.get_title()][:3]
        ['dominating source', 'share of optical', 'share of radar']
    """
    from rfp_jax.maps._cells import cells

    whole, scene = scene, cells(scene, SIDE)
    _, colors = _shares(scene, of)
    whose = f" for {of}" if of else ""
    panels: list[tuple[str, Any]] = []
    if rgb is not None:
        panels.append(("image", lambda ax: draw_true_color(ax, whole, rgb)))
    if "prediction" in scene:
        panels.append(("predicted class", lambda ax: draw_classes(ax, scene)))
    panels.append((f"dominating source{whose}", lambda ax: draw_dominance(ax, scene, of=of)))
    for name in colors:
        share = f"share of {name}{whose}", lambda ax, n=name: draw_share(ax, scene, n, of=of)
        panels.append(share)
    for name in map(str, scene.source.values):
        signs = lambda ax, n=name: draw_relevance(ax, scene, n, of=of)  # noqa: E731
        panels.append((f"relevance of {name}{whose}", signs))
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
    from rfp_jax.maps._cells import cells, explained

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
    if "prediction" not in scene:
        return relevance.isel({"class": 0})
    found = relevance.isel({"class": 0}, drop=True) * np.nan
    for place, number in enumerate(explained(scene)):
        found = found.where(scene.prediction != number, relevance.isel({"class": place}, drop=True))
    return found


def _shares(scene: xr.Dataset, of: str | None) -> tuple[xr.DataArray, dict[str, str]]:
    """The shares [source, y, x] of a class, and the colours of sources."""
    from rfp_jax.maps import share

    shares = share(_of_class(scene, of).to_dataset(name="relevance"))
    return shares, source_colors(map(str, shares.source.values))


def _tinted(color: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """From white, 0, to a colour, 1; transparent where nothing is known."""
    amount = np.nan_to_num(strength)[..., None]
    return np.concatenate([1 + (color - 1) * amount, np.isfinite(strength)[..., None]], -1)


def _draw(ax: Axes, scene: xr.Dataset, colors: np.ndarray) -> None:
    """Draw colours of cells on the ground of a map."""
    from rfp_jax.maps._ground import ground_of

    ground = ground_of(scene)
    draw_ground(ax, ground)
    draw_cells(ax, colors, ground.coarser(-(-max(ground.grid.shape) // SIDE)))
