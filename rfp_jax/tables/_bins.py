"""Samples in bins of a metadata value: a bin has its lower edge, the last one its upper, too."""

from collections.abc import Sequence

import numpy as np


def bin_edges(values: np.ndarray, bins: int | Sequence[float]) -> np.ndarray:
    """Return the edges of bins, ascending: the given ones, or those of equal width.

    Args:
        values: one value per sample.
        bins: the edges; or how many bins are to reach from the smallest finite value to the
            largest one.

    Raises:
        ValueError: no value is finite.

    Examples:
        >>> bin_edges(np.array([1.0, np.nan, 3.0]), 4).tolist()
        [1.0, 1.5, 2.0, 2.5, 3.0]
    """
    if not isinstance(bins, int | np.integer):
        return np.asarray(bins, np.float64)
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        raise ValueError("no value is finite, so nothing says where bins begin: give their edges")
    return np.histogram_bin_edges(finite, bins)


def bin_members(values: np.ndarray, edges: np.ndarray) -> list[np.ndarray]:
    """Find the samples in each bin; the first and the last bin take what lies beyond the edges.

    Args:
        values: one value per sample, without NaN, [N].
        edges: of the bins, ascending, [bins + 1]. A lower edge belongs to its bin.

    Returns:
        The places of the samples of each bin, in order.

    Examples:
        >>> bin_members(np.array([0.0, 0.5, 0.2, 1.0]), np.array([0.0, 0.5, 1.0]))
        [array([0, 2]), array([1, 3])]
    """
    place = np.clip(np.digitize(values, edges) - 1, 0, len(edges) - 2)
    return [np.flatnonzero(place == k) for k in range(len(edges) - 1)]
