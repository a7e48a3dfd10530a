"""Sequences: which tokens spoke for an output."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._colors import RELEVANCE_COLORS
from rfp_jax.plot._parts import SMALL, draw_scale, greatest

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.figure import Figure


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
        limit: the relevance that has the full color; by default the greatest magnitude.

    Returns:
        The figure, as wide as its sequences are long.

    Raises:
        ValueError: if `relevance` has not a row for each sequence, or too few columns.

    Examples:
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
    limit = limit or greatest(shown)
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
                fontsize=SMALL + 2,
                color="white" if dark else "black",
            )
    ax.set(xlim=(0, longest), ylim=(len(words), 0), xticks=[])
    ax.set_yticks(np.arange(len(words)) + 0.5, names or [""] * len(words), fontsize=SMALL + 1)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    draw_scale(figure, limit, exceeded=limit < greatest(shown))
    return figure
