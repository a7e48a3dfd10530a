"""Parts of pictures of several kinds: axes, images and the scale of relevance."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.extras import needs_extra
from rfp_jax.plot._colors import RELEVANCE_COLORS

with needs_extra("Drawing pictures", "plot"):
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

SMALL = 8
"""Size of small text, in points."""


def tidy(ax: Axes) -> None:
    """Take away what does not carry information.

    Args:
        ax: the axes to tidy.
    """
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=SMALL, length=2)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def name_ticks(ax: Axes, names: Sequence[str]) -> None:
    """Name the ticks 0, 1, ... of the x axis, tilted where names are long.

    Args:
        ax: the axes to name the ticks of.
        names: what stands at each tick.
    """
    long = max(map(len, names)) > 4 and sum(map(len, names)) > 50
    tilt = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
    ax.set_xticks(range(len(names)), names, parse_math=False, **tilt)


def draw_image(
    ax: Axes, image: ArrayLike, limits: tuple[float, float], *, alpha: float = 1
) -> None:
    """Draw one image, in color if it has three channels, each pixel 1 wide.

    Args:
        ax: the axes to draw on.
        image: [height, width], [height, width, 1], or colors [height, width, 3] from 0 to 1.
        limits: the values shown white and black where there are no colors.
        alpha: from 0, invisible, to 1.
    """
    image = unmasked(image)
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    if image.ndim == 3 and image.shape[-1] == 3:
        ax.imshow(np.clip(image, 0, 1), extent=extent, alpha=alpha)
    else:
        gray = image.reshape(height, width)
        ax.imshow(gray, cmap="gray_r", vmin=limits[0], vmax=limits[1], extent=extent, alpha=alpha)


def draw_scale(figure: Figure, limit: float, *, exceeded: bool) -> None:
    """Draw the bar that says which color is which relevance.

    Args:
        figure: the figure to draw below.
        limit: the relevance that has the full color.
        exceeded: whether some values are beyond it; then the bar is pointed.
    """
    bar = figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), RELEVANCE_COLORS),
        ax=figure.axes,
        location="bottom",
        fraction=0.05,
        shrink=0.5,
        aspect=40,
        extend="both" if exceeded else "neither",
    )
    bar.set_ticks([-limit, 0, limit], labels=[signed(v) for v in (-limit, 0, limit)])
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.set_label("relevance: red speaks for the output, blue against it", fontsize=SMALL)


def greatest(arrays: Iterable[np.ndarray]) -> float:
    """Find the greatest magnitude of what is finite, 1 if there is nothing but zeros.

    Examples:
        >>> greatest([np.array([1.0, -3.0]), np.array([np.nan])])
        3.0
    """
    finite = (np.abs(array[np.isfinite(array)]).max(initial=0) for array in arrays)
    return float(max(finite, default=0)) or 1.0


def limits_of(arrays: Iterable[np.ndarray]) -> tuple[float, float]:
    """Find the smallest and the largest finite value, 0 and 1 if there is none.

    Examples:
        >>> limits_of([np.array([1.0, np.nan]), np.array([3.0])])
        (1.0, 3.0)
    """
    finite = [array[np.isfinite(array)] for array in arrays]
    if not any(each.size for each in finite):
        return 0.0, 1.0
    ends = [(each.min(), each.max()) for each in finite if each.size]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def unmasked(image: ArrayLike) -> np.ndarray:
    """Return an image with NaN where it is masked."""
    if not isinstance(image, np.ma.MaskedArray):
        return np.asarray(image)
    return np.ma.filled(image.astype(float), np.nan)


def signed(value: float) -> str:
    """Write a number with its sign, three digits.

    Examples:
        >>> signed(-12.345)
        '−12.3'
    """
    return f"{value:+.3g}".replace("-", "−") if value else "0"
