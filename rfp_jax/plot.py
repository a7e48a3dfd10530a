"""Pictures of relevance: arrays in, matplotlib figures out.

Functions `draw_*` draw on axes they are given; the others return a new figure. None uses pyplot's
state, so none needs a display or leaves a figure open: write one with `figure.savefig(path)`.

Relevance comes as a mapping, name of the source to an array [samples, classes]. The order of the
names is the order of the colours, so the same sources have the same colours in every picture. The
colours are those of Okabe & Ito, "Color universal design", 2008: colour-blind eyes tell them apart.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax.data._extras import needs_extra

with needs_extra("Drawing pictures"):
    import seaborn
    from matplotlib.axes import Axes
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
