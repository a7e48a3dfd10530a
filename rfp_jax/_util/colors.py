"""The colors of sources and of classes, the same in figures and in reports.

Those of sources are from Okabe & Ito, "Color universal design", 2008: color-blind eyes tell them
apart.
"""

from collections.abc import Iterable

SOURCE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
BIAS_COLOR = "#999999"

_CLASS_COLORS = (
    "#1b7837 #a6d96a #d9ef8b #fdae61 #762a83 #e7298a #d73027 #e0f3f8 #bf812d #4575b4 #666666 "
    "#ffff99 #8dd3c7 #fb8072 #80b1d3 #bc80bd #ccebc5 #ffed6f #01665e #542788"
).split()


def class_color(number: int) -> str:
    """Return the color of a class that has none of its own; after twenty they start again.

    Examples:
        >>> class_color(0), class_color(20)
        ('#1b7837', '#1b7837')
    """
    return _CLASS_COLORS[number % len(_CLASS_COLORS)]


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
