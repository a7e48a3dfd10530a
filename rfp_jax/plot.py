"""Pictures of relevance: arrays in, matplotlib figures out.

Functions `draw_*` draw on axes they are given; the others return a new figure. None uses pyplot's
state, so none needs a display or leaves a figure open: write one with `figure.savefig(path)`.

Relevance comes as a mapping, name of the source to an array [samples, classes]. The order of the
names is the order of the colours, so the same sources have the same colours in every picture. The
colours are those of Okabe & Ito, "Color universal design", 2008: colour-blind eyes tell them apart.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._extras import needs_extra

with needs_extra("Drawing pictures"):
    import seaborn
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, ListedColormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle
    from matplotlib.ticker import MaxNLocator

SOURCE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
BIAS_COLOR = "#999999"
OUTPUT_COLOR = "#000000"
DIFFERENCE_COLOR = "#FFFFFF"
TRUE_CLASS_COLOR = "#E8E8E8"
WRONG_COLOR = "#B03A00"

_SMALL = 8  # points


def _fading(name: str, levels: int = 256) -> Colormap:
    """A diverging colour map that is transparent in the middle, so that what lies below shows."""
    colors = colormaps[name](np.linspace(0, 1, levels))
    colors[:, 3] = np.abs(np.linspace(-1, 1, levels)) ** 0.6
    return ListedColormap(colors, name=f"{name}_fading").with_extremes(bad="#999999")


RELEVANCE_COLORS = _fading("RdBu_r")
"""Red speaks for the output, blue against it, and what is 0 is transparent."""


def source_colors(names: Iterable[str]) -> dict[str, str]:
    """Give each source its colour.

    Args:
        names: names of the sources, in their order.

    Returns:
        Name to colour, as "#rrggbb".

    Raises:
        ValueError: if there are more sources than colours that can be told apart.

    Example:
        >>> source_colors(["left", "right"])
        {'left': '#0072B2', 'right': '#E69F00'}
    """
    names = list(names)
    if len(names) > len(SOURCE_COLORS):
        raise ValueError(
            f"got {len(names)} sources, and {len(SOURCE_COLORS)} colours that can be told apart: "
            "draw fewer sources, or sum some"
        )
    return dict(zip(names, SOURCE_COLORS, strict=False))


def of_class(relevance: ArrayLike, classes: ArrayLike) -> np.ndarray:
    """Pick one class for each sample, for instance the true one.

    Args:
        relevance: array [samples, classes].
        classes: the class to pick for each sample, int [samples].

    Returns:
        Array [samples].

    Example:
        >>> of_class([[1.0, 2.0], [3.0, 4.0]], [1, 0]).tolist()
        [2.0, 3.0]
    """
    return np.take_along_axis(np.asarray(relevance), np.asarray(classes)[:, None], axis=1)[:, 0]


def draw_violins(
    ax: Axes, values: ArrayLike, labels: ArrayLike, *, classes: int, color: str
) -> None:
    """Draw how one number a sample is distributed: a violin for each class, and one for all.

    The violin ends at the smallest and the largest value; the bar inside goes from the lower to the
    upper quartile, the white line is the median.

    Args:
        ax: the axes to draw on.
        values: array [samples]; values that are not finite are left out.
        labels: the class of each sample, int [samples].
        classes: how many classes there are.
        color: colour of the violins.

    Example:
        >>> ax = Figure().subplots()
        >>> draw_violins(ax, np.arange(8.0), np.arange(8) % 2, classes=2, color="#0072B2")
        >>> [tick.get_text() for tick in ax.get_xticklabels()]
        ['0', '1', 'all']
    """
    values, labels = np.asarray(values, float), np.asarray(labels)
    groups = [values[labels == label] for label in range(classes)] + [values]
    ax.axhline(0, color="black", linewidth=0.6, zorder=0.5)
    ax.axvline(classes - 0.5, color="black", linewidth=0.6, linestyle=":", zorder=0.5)
    seaborn.violinplot(
        x=np.repeat(np.arange(classes + 1), [len(group) for group in groups]),
        y=np.concatenate(groups),
        order=range(classes + 1),
        ax=ax,
        color=color,
        saturation=1,
        cut=0,
        density_norm="width",
        width=0.85,
        linewidth=0.7,
        linecolor="black",
        inner="box",
        inner_kws={"box_width": 4, "whis_width": 0},
    )
    ax.set_xticks(range(classes + 1), [*map(str, range(classes)), "all"])
    ax.set(xlabel="", ylabel="", xlim=(-0.6, classes + 0.6))
    _tidy(ax)


def draw_bars(
    ax: Axes,
    relevance: Mapping[str, ArrayLike],
    bias: ArrayLike,
    output: ArrayLike,
    *,
    label: int | None = None,
) -> None:
    """Draw what one sample's outputs are made of: stacked bars of bias and sources for each class.

    What is positive is stacked upwards from zero, what is negative downwards; a mark shows the
    output, which is the sum of both.

    Args:
        ax: the axes to draw on.
        relevance: name of the source to its relevance, [classes].
        bias: what came from no source, [classes].
        output: the network's output, [classes].
        label: the true class, whose background is shaded.

    Example:
        >>> ax = Figure().subplots()
        >>> draw_bars(ax, {"left": [1, 2], "right": [3, -1]}, [0.5, 0.5], [4.5, 1.5], label=0)
        >>> len(ax.patches)  # 2 classes of 3 parts, and the shade
        7
    """
    output = np.asarray(output)
    classes = np.arange(len(output))
    if label is not None:
        ax.axvspan(label - 0.5, label + 0.5, color=TRUE_CLASS_COLOR, linewidth=0, zorder=0)
    parts = [(BIAS_COLOR, bias)]
    parts += [(color, relevance[name]) for name, color in source_colors(relevance).items()]
    above = below = np.zeros(len(output))
    for color, part in parts:
        height = np.asarray(part, float)
        ax.bar(classes, height, bottom=np.where(height > 0, above, below), width=0.78, color=color)
        above, below = above + height.clip(min=0), below + height.clip(max=0)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.plot(
        classes,
        output,
        "D",
        color=OUTPUT_COLOR,
        markersize=3.6,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )
    ax.set_xticks(classes, [str(k) for k in classes])
    ax.set_xlim(-0.6, len(output) - 0.4)
    ax.use_sticky_edges = False  # else a bar that ends at the lowest value would touch the axis
    _tidy(ax)


def draw_sources(ax: Axes, images: Mapping[str, ArrayLike], *, limits: tuple[float, float]) -> None:
    """Draw the images of one sample's sources side by side, each framed in its source's colour.

    Args:
        ax: the axes to draw on.
        images: name of the source to its image, [height, width] or [height, width, 1].
        limits: the values shown white and black.

    Example:
        >>> ax = Figure().subplots()
        >>> draw_sources(ax, {"left": np.zeros((8, 4)), "right": np.ones((8, 4))}, limits=(0, 1))
        >>> len(ax.images)
        2
    """
    colors = source_colors(images)
    arrays = {name: np.squeeze(images[name]) for name in colors}
    tallest = max(len(image) for image in arrays.values())
    gap, end = 0.06 * tallest, 0.0
    for name, image in arrays.items():
        height, width = image.shape
        start, end = end + gap, end + gap + width
        extent = (start, end, height, 0)
        ax.imshow(image, cmap="gray_r", vmin=limits[0], vmax=limits[1], extent=extent)
        frame = {"edgecolor": colors[name], "linewidth": 2, "fill": False, "clip_on": False}
        ax.add_patch(Rectangle((start, 0), width, height, **frame))
    ax.set(xlim=(gap, end), ylim=(tallest, 0))
    ax.set_axis_off()


def violins(relevance: Mapping[str, ArrayLike], labels: ArrayLike, *, title: str = "") -> Figure:
    """Draw each source's relevance for the true class: a violin for each class, and one for all.

    One row a source, all on one scale. Two sources have a third row, the first minus the second.

    Args:
        relevance: name of the source to its relevance, [samples, classes].
        labels: the true class of each sample, int [samples].
        title: title of the figure.

    Returns:
        The figure, 8 inches wide.

    Example:
        >>> relevance = {"left": np.eye(3)[[0, 1, 2, 0]], "right": np.ones((4, 3))}
        >>> figure = violins(relevance, [0, 1, 2, 0])
        >>> [ax.get_ylabel() for ax in figure.axes]
        ['left', 'right', 'left − right']
    """
    colors = source_colors(relevance)
    classes = np.shape(relevance[next(iter(colors))])[1]
    true = {name: of_class(relevance[name], labels) for name in colors}
    rows = len(true) + (len(true) == 2)
    figure = Figure(figsize=(8, 0.9 + 1.9 * rows), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, sharex=True, squeeze=False)[:, 0]
    for ax, (name, values) in zip(axes, true.items(), strict=False):
        draw_violins(ax, values, labels, classes=classes, color=colors[name])
        ax.set_ylabel(name, fontweight="bold", color=colors[name])
        ax.sharey(axes[0])
    axes[0].autoscale(axis="y")
    if len(true) == 2:
        ax, (first, second) = axes[-1], true
        difference = true[first] - true[second]
        draw_violins(ax, difference, labels, classes=classes, color=DIFFERENCE_COLOR)
        ax.set_ylabel(f"{first} − {second}", fontweight="bold")
        _shade_halves(ax, above=(first, colors[first]), below=(second, colors[second]))
    axes[-1].set_xlabel("true class")
    figure.supylabel("relevance for the true class", fontsize="medium")
    return figure


def examples(
    images: Mapping[str, ArrayLike],
    relevance: Mapping[str, ArrayLike],
    bias: ArrayLike,
    output: ArrayLike,
    labels: ArrayLike,
    *,
    title: str = "",
    columns: int = 2,
) -> Figure:
    """Draw samples: the images of each one's sources, beside what its outputs are made of.

    Args:
        images: name of the source to its images, [samples, height, width] or [..., 1].
        relevance: name of the source to its relevance, [samples, classes].
        bias: what came from no source, [samples, classes].
        output: the network's outputs, [samples, classes].
        labels: the true class of each sample, int [samples].
        title: title of the figure.
        columns: how many samples stand side by side.

    Returns:
        The figure, 4 inches wide for each column; all samples have one scale.

    Example:
        >>> images = {"left": np.zeros((2, 8, 4)), "right": np.ones((2, 8, 4))}
        >>> relevance = {"left": np.eye(2), "right": np.eye(2)}
        >>> figure = examples(images, relevance, np.zeros((2, 2)), 2 * np.eye(2), [0, 1])
        >>> [ax.get_title(loc="left") for ax in figure.axes if ax.has_data() and not ax.images]
        ['true 0, predicted 0', 'true 1, predicted 1']
    """
    colors = source_colors(relevance)
    images = {name: np.asarray(stack) for name, stack in images.items()}
    limits = min(map(np.min, images.values())), max(map(np.max, images.values()))
    parts = {name: np.asarray(values) for name, values in relevance.items()}
    bias, output, labels = np.asarray(bias), np.asarray(output), np.asarray(labels)

    rows = -(-len(labels) // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.08)
    figure = Figure(figsize=(4 * columns, 0.9 + 1.25 * rows), layout=layout)
    figure.suptitle(title)
    grid = figure.subplots(rows, 2 * columns, width_ratios=[1, 3] * columns, squeeze=False)
    cells = grid.reshape(rows * columns, 2)
    for ax in cells[len(labels) :].flat:
        ax.set_axis_off()
    for sample, (left, right) in enumerate(cells[: len(labels)]):
        draw_sources(left, {name: stack[sample] for name, stack in images.items()}, limits=limits)
        draw_bars(
            right,
            {name: values[sample] for name, values in parts.items()},
            bias[sample],
            output[sample],
            label=labels[sample],
        )
        right.sharey(cells[0, 1])
        predicted = output[sample].argmax()
        right.set_title(
            f"true {labels[sample]}, predicted {predicted}",
            loc="left",
            fontsize=_SMALL + 1,
            color="black" if predicted == labels[sample] else WRONG_COLOR,
            fontweight="normal" if predicted == labels[sample] else "bold",
        )
    cells[0, 1].autoscale(axis="y")
    for ax in grid[:, 1]:
        ax.set_ylabel("relevance", fontsize=_SMALL)
    for ax in grid[-1, 1::2]:
        ax.set_xlabel("class", fontsize=_SMALL)
    figure.legend(
        handles=[
            Patch(color=BIAS_COLOR, label="bias"),
            *(Patch(color=color, label=name) for name, color in colors.items()),
            Line2D(
                [], [], color=OUTPUT_COLOR, marker="D", markersize=4, linewidth=0, label="output"
            ),
            Patch(color=TRUE_CLASS_COLOR, label="true class"),
        ],
        loc="outside lower center",
        ncols=len(colors) + 3,
        frameon=False,
    )
    return figure


def draw_heatmap(
    ax: Axes, image: ArrayLike, relevance: ArrayLike, *, limit: float, limits: tuple[float, float]
) -> None:
    """Draw the relevance of an image's pixels over the image, which is shown pale and grey.

    Args:
        ax: the axes to draw on.
        image: [height, width], [height, width, 1], or colours [height, width, 3] from 0 to 1.
        relevance: [height, width], or [height, width, channels], which is summed over channels;
            grey where it is no number.
        limit: the relevance that has the full colour, red; minus this is blue.
        limits: the values of the image shown white and black.

    Example:
        >>> ax = Figure().subplots()
        >>> draw_heatmap(ax, np.eye(4), np.eye(4) - 0.5, limit=0.5, limits=(0, 1))
        >>> len(ax.images)
        2
    """
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[-1] == 3:  # its colours would mix with those of relevance
        image, limits = -image.mean(-1), (-1, 0)
    _draw_image(ax, image, limits, alpha=0.35)
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

    The colours are centred at 0 and have one scale for all sources and samples, so that they can be
    compared. Below each heatmap stands its sum, the relevance of the source.

    Args:
        images: name of the source to its images, [samples, height, width], [..., 1], or colours
            [..., 3] from 0 to 1. Sources may differ in size. Each has its own limits of grey.
        relevance: name of the source to its heatmaps, [samples, height, width] or [..., channels],
            for instance from `rfp_jax.heatmap`.
        names: what stands beside each sample, for instance its class.
        title: title of the figure.
        limit: the relevance that has the full colour; by default the greatest magnitude.
        columns: how many samples stand side by side.

    Returns:
        The figure; an image is about 1.2 inches high.

    Raises:
        ValueError: if the sources of `images` and `relevance` differ, or a heatmap has not the size
            of its image.

    Example:
        >>> images = {"optical": np.ones((2, 8, 8, 3)), "SAR": np.ones((2, 4, 4))}
        >>> relevance = {"optical": np.ones((2, 8, 8, 10)), "SAR": -np.ones((2, 4, 4, 2))}
        >>> figure = heatmap(images, relevance, names=["forest", "water"])
        >>> [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
        ['+640', '−32', '+640', '−32', 'relevance: red speaks for the output, blue against it']
    """
    colors = source_colors(relevance)
    if set(images) != set(colors):
        raise ValueError(f"images of {sorted(images)}, but relevance of {sorted(colors)}")
    stacks = {name: np.asarray(images[name]) for name in colors}
    maps = {name: _per_pixel(relevance[name], samples=True) for name in colors}
    for name, stack in stacks.items():
        if stack.shape[:3] != maps[name].shape:
            raise ValueError(
                f"{name}: images [samples, height, width] of {stack.shape[:3]}, heatmaps of "
                f"{maps[name].shape}; relevance has the shape of its images, channels aside"
            )
    limit = limit or _greatest(maps.values())
    samples = len(next(iter(maps.values())))
    columns = min(columns, samples)
    rows = -(-samples // columns)
    ratios = [
        side for m in maps.values() for side in 2 * [np.clip(m.shape[2] / m.shape[1], 0.4, 2)]
    ]
    width, height = columns * (0.4 + 1.3 * sum(ratios)), 1.4 + 1.35 * rows
    figure = Figure(figsize=(max(width, 4), height), layout="constrained")
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
        cell[0, 0].set_ylabel(names[sample] if names else "", fontsize=_SMALL + 1)
        for (plain, overlaid), (name, color) in zip(cell, colors.items(), strict=True):
            image, heat = stacks[name], maps[name][sample]
            limits = float(image.min()), float(image.max())
            _draw_image(plain, image[sample], limits)
            draw_heatmap(overlaid, image[sample], heat, limit=limit, limits=limits)
            plain.set_title(name, fontsize=_SMALL + 1, fontweight="bold", color=color)
            overlaid.set_xlabel(_signed(heat.sum()), fontsize=_SMALL + 1)
    _draw_scale(figure, limit, exceeded=limit < _greatest(maps.values()))
    return figure


def tokens(
    words: Sequence[Sequence[str]],
    relevance: ArrayLike,
    *,
    names: Sequence[str] = (),
    title: str = "",
    limit: float | None = None,
) -> Figure:
    """Draw which tokens of a sequence spoke for an output: a row a sequence, a cell a token.

    Args:
        words: what stands in each cell; the sequences may differ in length.
        relevance: [sequences, tokens], as long as the longest sequence; what is beyond a sequence's
            end is not drawn.
        names: what stands before each row, for instance the explained output.
        title: title of the figure.
        limit: the relevance that has the full colour; by default the greatest magnitude.

    Returns:
        The figure, as wide as its sequences are long.

    Raises:
        ValueError: if `relevance` has not a row for each sequence, or too few columns.

    Example:
        >>> figure = tokens([["a", "good", "film"]], [[0.1, 1.9, 0.4]], names=["positive"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['a', 'good', 'film']
    """
    relevance = np.array(relevance, float)
    longest = max(map(len, words))
    if relevance.ndim != 2 or len(relevance) != len(words) or relevance.shape[1] < longest:
        raise ValueError(
            f"relevance must be [sequences, tokens], here [{len(words)}, {longest}]; got "
            f"{list(relevance.shape)}"
        )
    shown = [row[: len(sequence)] for row, sequence in zip(relevance, words, strict=True)]
    limit = limit or _greatest(shown)
    width = 0.22 + 0.09 * max(len(word) for sequence in words for word in sequence)
    figure = Figure(
        figsize=(1.6 + max(4.0, width * longest), 1.5 + 0.34 * len(words)), layout="constrained"
    )
    figure.suptitle(title)
    ax = figure.subplots()
    for row, (sequence, values) in enumerate(zip(words, shown, strict=True)):
        extent = (0, len(sequence), row + 0.92, row + 0.08)
        ax.imshow(
            values[None],
            cmap=RELEVANCE_COLORS,
            vmin=-limit,
            vmax=limit,
            extent=extent,
            aspect="auto",
        )
        for place, (word, value) in enumerate(zip(sequence, values, strict=True)):
            dark = abs(value) > 0.7 * limit
            ax.text(
                place + 0.5,
                row + 0.5,
                word,
                ha="center",
                va="center_baseline",
                fontsize=_SMALL + 2,
                color="white" if dark else "black",
            )
    ax.set(xlim=(0, longest), ylim=(len(words), 0), xticks=[])
    ax.set_yticks(np.arange(len(words)) + 0.5, names or [""] * len(words), fontsize=_SMALL + 1)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _draw_scale(figure, limit, exceeded=limit < _greatest(shown))
    return figure


def _per_pixel(relevance: ArrayLike, *, samples: bool = False) -> np.ndarray:
    """Relevance [..., height, width], summed over channels where there are any."""
    relevance = np.asarray(relevance, float)
    return relevance.sum(-1) if relevance.ndim == 3 + samples else relevance


def _greatest(arrays: Iterable[np.ndarray]) -> float:
    """The greatest magnitude of what is finite, 1 if there is nothing but zeros."""
    finite = (np.abs(array[np.isfinite(array)]).max(initial=0) for array in arrays)
    return float(max(finite, default=0)) or 1.0


def _draw_image(
    ax: Axes, image: ArrayLike, limits: tuple[float, float], *, alpha: float = 1
) -> None:
    """One image, in colour if it has three channels, each pixel 1 wide."""
    image = np.asarray(image)
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    if image.ndim == 3 and image.shape[-1] == 3:
        ax.imshow(np.clip(image, 0, 1), extent=extent, alpha=alpha)
    else:
        grey = image.reshape(height, width)
        ax.imshow(grey, cmap="gray_r", vmin=limits[0], vmax=limits[1], extent=extent, alpha=alpha)


def _draw_scale(figure: Figure, limit: float, *, exceeded: bool) -> None:
    """The bar that says which colour is which relevance; pointed if some values are beyond it."""
    bar = figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), RELEVANCE_COLORS),
        ax=figure.axes,
        location="bottom",
        fraction=0.05,
        shrink=0.5,
        aspect=40,
        extend="both" if exceeded else "neither",
    )
    bar.set_ticks([-limit, 0, limit], labels=[_signed(v) for v in (-limit, 0, limit)])
    bar.ax.tick_params(labelsize=_SMALL, length=2)
    bar.set_label("relevance: red speaks for the output, blue against it", fontsize=_SMALL)


def _signed(value: float) -> str:
    """A number with its sign, three digits."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _shade_halves(ax: Axes, above: tuple[str, str], below: tuple[str, str]) -> None:
    """Colour what lies above and below zero, and say at the right edge which source won there."""
    bottom, top = ax.get_ylim()
    for (name, color), end, place in ((above, top, "top"), (below, bottom, "bottom")):
        ax.axhspan(0, end, color=color, alpha=0.15, linewidth=0, zorder=0)
        ax.text(
            1.005,
            float(place == "top"),
            f"{name} more",
            transform=ax.transAxes,
            rotation=270,
            va=place,
            fontsize=_SMALL,
        )
    ax.set_ylim(bottom, top)


def _tidy(ax: Axes) -> None:
    """Take away what does not carry information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=_SMALL, length=2)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
