"""Samples in bins of a metadata value."""

import numpy as np


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
