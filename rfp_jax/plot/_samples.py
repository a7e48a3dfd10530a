"""Single samples: their sources, and what their outputs are made of."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.colors import BIAS_COLOR, source_colors
from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._colors import OUTPUT_COLOR, TRUE_CLASS_COLOR, WRONG_COLOR
from rfp_jax.plot._parts import SMALL, limits_of, name_ticks, tidy, unmasked
from rfp_jax.plot._tables import class_names, is_table, parts_of

if TYPE_CHECKING:
    import xarray as xr

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle


SHORT = 4
"""Names of classes with more characters do not fit below the bars of a sample."""


def draw_bars(
    ax: Axes,
    relevance: Mapping[str, ArrayLike],
    bias: ArrayLike,
    output: ArrayLike,
    *,
    label: int | None = None,
    names: Sequence[str] = (),
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
        names: names of the classes; their numbers unless given.

    Examples:
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
    name_ticks(ax, class_names(names, len(output)))
    ax.set_xlim(-0.6, len(output) - 0.4)
    ax.use_sticky_edges = False  # else a bar that ends at the lowest value would touch the axis
    tidy(ax)


def draw_sources(ax: Axes, images: Mapping[str, ArrayLike], *, limits: tuple[float, float]) -> None:
    """Draw the images of one sample's sources side by side, each framed in its source's color.

    Args:
        ax: the axes to draw on.
        images: name of the source to its image, [height, width] or [height, width, 1].
        limits: the values shown white and black.

    Examples:
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


def grid(
    images: Mapping[str, ArrayLike],
    names: Sequence[str],
    *,
    title: str = "",
    columns: int = 10,
) -> Figure:
    """Draw the images of many samples, those of one sample side by side under its name.

    Args:
        images: name of the source to its images, [samples, height, width] or [..., 1].
        names: what stands above each sample, for instance its class.
        title: title of the figure.
        columns: how many samples stand side by side.

    Returns:
        The figure, about an inch for each sample; all images have one scale.

    Raises:
        ValueError: if there are no images, or not as many names.

    Examples:
        >>> images = {"left": np.zeros((3, 8, 4)), "right": np.ones((3, 8, 4))}
        >>> figure = grid(images, ["7", "1", "4"], columns=2)
        >>> [ax.get_title() for ax in figure.axes]
        ['7', '1', '4', '']
    """
    colors = source_colors(images)
    stacks = {name: unmasked(images[name]) for name in colors}
    if any(len(stack) != len(names) for stack in stacks.values()):
        counts = {name: len(stack) for name, stack in stacks.items()}
        raise ValueError(f"{len(names)} names, but images: {counts}")
    if not len(names):
        raise ValueError("there are no images: nothing to draw")
    limits = limits_of(stacks.values())
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    wide = sum(stack.shape[2] for stack in stacks.values()) / max(
        stack.shape[1] for stack in stacks.values()
    )
    figure = Figure(figsize=(0.9 * wide * columns + 0.4, 1.1 * rows + 0.9), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for sample, (ax, name) in enumerate(zip(axes.flat, names, strict=False)):
        draw_sources(ax, {key: stack[sample] for key, stack in stacks.items()}, limits=limits)
        ax.set_title(name, fontsize=SMALL + 1, pad=3)
    figure.legend(
        handles=[Patch(color=color, label=name) for name, color in colors.items()],
        loc="outside lower center",
        ncols=len(colors),
        frameon=False,
    )
    return figure


def examples(
    images: Mapping[str, ArrayLike],
    relevance: Mapping[str, ArrayLike] | xr.Dataset,
    bias: ArrayLike | None = None,
    output: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    names: Sequence[str] = (),
    title: str = "",
    columns: int = 2,
) -> Figure:
    """Draw samples: the images of each one's sources, beside what its outputs are made of.

    Args:
        images: name of the source to its images, [samples, height, width] or [..., 1].
        relevance: a relevance table of these samples, or name of the source to its relevance,
            [samples, classes]. Samples that failed, or whose class is not known, are left out.
        bias: what came from no source, [samples, classes]; a table knows it.
        output: the network's outputs, [samples, classes]; a table knows them.
        labels: the true class of each sample, int [samples]; a table knows it.
        names: names of the classes; those of the table, or their numbers, unless given.
        title: title of the figure.
        columns: how many samples stand side by side.

    Returns:
        The figure, 4 inches wide for each column; all samples have one scale.

    Raises:
        ValueError: with arrays, `bias`, `output` and `labels` are needed; or no class is known.

    Examples:
        >>> images = {"left": np.zeros((2, 8, 4)), "right": np.ones((2, 8, 4))}
        >>> relevance = {"left": np.eye(2), "right": np.eye(2)}
        >>> figure = examples(images, relevance, np.zeros((2, 2)), 2 * np.eye(2), [0, 1])
        >>> [ax.get_title(loc="left") for ax in figure.axes if ax.has_data() and not ax.images]
        ['true 0, predicted 0', 'true 1, predicted 1']
    """
    images = {name: unmasked(stack) for name, stack in images.items()}
    if is_table(relevance):
        parts, bias, output, labels, known, rows = parts_of(relevance, labels)
        images, names = {name: stack[rows] for name, stack in images.items()}, names or known
    elif bias is None or output is None or labels is None:
        raise ValueError("with arrays, pass bias, output and labels as well")
    else:
        parts = {str(name): np.asarray(values) for name, values in relevance.items()}
        bias, output, labels = np.asarray(bias), np.asarray(output), np.asarray(labels)
        rows = np.flatnonzero(labels >= 0)  # as of a table
        images, parts = ({k: v[rows] for k, v in each.items()} for each in (images, parts))
        bias, output, labels = bias[rows], output[rows], labels[rows]
    if not len(labels):
        raise ValueError("there is no sample whose class is known: nothing to draw")
    names, limits, colors = (
        class_names(names, output.shape[1]),
        limits_of(images.values()),
        source_colors(parts),
    )

    long = max(map(len, names)) > SHORT  # then the bars have numbers, and a key says which
    gap = "\n" if long else " "
    rows = -(-len(labels) // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.08)
    figure = Figure(figsize=(4 * columns, 0.9 + (1.45 if long else 1.25) * rows), layout=layout)
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
            names=() if long else names,
        )
        right.sharey(cells[0, 1])
        predicted = output[sample].argmax()
        right.set_title(
            f"true {names[labels[sample]]},{gap}predicted {names[predicted]}",
            loc="left",
            parse_math=False,
            fontsize=SMALL + 1,
            color="black" if predicted == labels[sample] else WRONG_COLOR,
            fontweight="normal" if predicted == labels[sample] else "bold",
        )
    cells[0, 1].autoscale(axis="y")
    for ax in grid[:, 1]:
        ax.set_ylabel("relevance", fontsize=SMALL)
    for ax in grid[-1, 1::2]:
        ax.set_xlabel("class", fontsize=SMALL)
    key = ", ".join(f"{k} {name}" for k, name in enumerate(names)) if long else ""
    legend = figure.legend(
        handles=[
            Patch(color=BIAS_COLOR, label="bias"),
            *(Patch(color=color, label=name) for name, color in colors.items()),
            Line2D(
                [], [], color=OUTPUT_COLOR, marker="D", markersize=4, linewidth=0, label="output"
            ),
            Patch(color=TRUE_CLASS_COLOR, label="true class"),
        ],
        title=textwrap.fill(key, width=55 * columns),
        title_fontsize=SMALL,
        loc="outside lower center",
        ncols=len(colors) + 3,
        frameon=False,
    )
    legend.get_title().set_parse_math(False)
    return figure
