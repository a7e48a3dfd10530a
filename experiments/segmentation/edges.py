"""Measure the distance of each pixel from the edge of a cloud, and sum over bins of it."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

EDGES = (-320, -160, -80, -40, -20, 0, 20, 40, 80, 160, 320)
"""Edges of the bins in meters; pixels beyond the first and the last are in a bin of their own."""

PIXEL = 10
"""Meters of a pixel."""


def distance_to_edge(mask: np.ndarray) -> np.ndarray:
    """Distance of every pixel's center from the edge of a cloud, as far as the patch shows it.

    Args:
        mask: whether each pixel is under a cloud, bool [y, x].

    Returns:
        Meters, float64 [y, x]: below 0 under clouds, above 0 beside them; infinite if the patch
        shows no edge.

    Examples:
        >>> distance_to_edge(np.array([[True, True, False, False]])).tolist()
        [[-15.0, -5.0, 5.0, 15.0]]
        >>> distance_to_edge(np.array([[True, True]])).tolist()
        [[-inf, -inf]]
    """
    if mask.all() or not mask.any():
        return np.where(mask, -np.inf, np.inf)
    inside, outside = (
        np.asarray(ndimage.distance_transform_edt(each), float) for each in (mask, ~mask)
    )
    return PIXEL * np.where(mask, 0.5 - inside, outside - 0.5)


def bins(distance: np.ndarray) -> np.ndarray:
    """The bin of every distance: 0 before the first of `EDGES`, `len(EDGES)` from the last on.

    A lower edge belongs to its bin, as in `rfp_jax.tables.bin_members`.

    Args:
        distance: meters, [...].

    Returns:
        Int, [...].

    Examples:
        >>> bins(np.array([-np.inf, -20.0, -5.0, 5.0, 1000.0])).tolist()
        [0, 5, 5, 6, 11]
    """
    return np.digitize(distance, EDGES)


def binned(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Sum values over bins.

    Args:
        values: numbers or truth values, [...].
        places: the bin of each, likewise.

    Returns:
        Sums, float64 [len(EDGES) + 1].

    Examples:
        >>> binned(np.array([1.0, 2.0, 4.0]), np.array([0, 5, 5]))[[0, 5]].tolist()
        [1.0, 6.0]
    """
    return np.bincount(places.ravel(), values.ravel().astype(float), len(EDGES) + 1)


def centers() -> np.ndarray:
    """The middle of every bin between two of `EDGES`, in meters, [len(EDGES) - 1]."""
    edges: Sequence[float] = EDGES
    return (np.array(edges[:-1]) + np.array(edges[1:])) / 2


UNDER = np.arange(len(EDGES) + 1) <= EDGES.index(0)
"""Bins under clouds."""
