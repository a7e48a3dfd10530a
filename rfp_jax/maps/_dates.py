"""Sources of several dates: one axis of bands outside the network, two inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rfp_jax._util.trees import Given

PLAIN = ("byxc", "bcyx")
"""The layout in which a network takes a source of one date: channels last, or first."""


def plain(dims: str) -> str:
    """Return the dimensions without that of the dates.

    Examples:
        >>> plain("btcyx")
        'bcyx'
    """
    return dims.replace("t", "")


def check_dims(dims: str) -> None:
    """Refuse dimensions that no source has.

    Raises:
        ValueError: says what to pass.
    """
    if plain(dims) not in PLAIN or dims.count("t") > 1 or not dims.startswith("b"):
        raise ValueError(
            f"dims={dims!r} is not known; pass 'byxc' or 'bcyx', with a 't' behind the b where the "
            "network takes an axis of dates, as in 'btcyx'"
        )


def by_dates(values: np.ndarray, dates: int) -> np.ndarray:
    """Give each date of [y, x, date * band] its own image: [date, y, x, band]."""
    return np.moveaxis(values.reshape(*values.shape[:2], dates, -1), 2, 0)


def side_by_side(values: np.ndarray) -> np.ndarray:
    """Put the dates of [date, y, x, band] side by side as bands: [y, x, date * band]."""
    return np.moveaxis(values, 0, 2).reshape(*values.shape[1:3], -1)


def with_dates(
    fun: Callable[..., Given], dims: Sequence[str], dates: Sequence[int]
) -> Callable[..., Given]:
    """Make a network with axes of dates one whose sources have their dates side by side as bands.

    So reading, windows and the field know nothing of dates; a reshape tells the network.

    Args:
        fun: `fun(params, *sources, *constants)`.
        dims: how it takes each source.
        dates: how many dates each source has.

    Returns:
        The same function of sources [b, y, x, date * band] or [b, date * band, y, x].
    """
    if not any("t" in each for each in dims):
        return fun

    def split(value: Given, order: str, count: int) -> Given:
        if "t" not in order:
            return value
        place = plain(order).index("c")
        shape = (*value.shape[:place], count, -1, *value.shape[place + 1 :])
        has = plain(order).replace("c", "tc")
        return value.reshape(shape).transpose([has.index(dim) for dim in order])

    def dated(params: Given, *inputs: Given) -> Given:
        sources, constants = inputs[: len(dims)], inputs[len(dims) :]
        return fun(params, *map(split, sources, dims, dates), *constants)

    return dated
