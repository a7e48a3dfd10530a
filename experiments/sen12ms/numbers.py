"""Numbers that both the summary and the figures need."""

import numpy as np


def bin_members(values: np.ndarray, edges: np.ndarray) -> list[np.ndarray]:
    """Indices of the samples in each bin; the last bin includes its upper edge."""
    place = np.clip(np.digitize(values, edges) - 1, 0, len(edges) - 2)
    return [np.flatnonzero(place == k) for k in range(len(edges) - 1)]
