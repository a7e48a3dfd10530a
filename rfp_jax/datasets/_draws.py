"""Random numbers that depend on their name alone, not on what was drawn before.

Every draw has a name: the seed, a purpose and numbers such as the source and the image. The name
keys a counter-based generator (Philox; Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", SC 2011). So a draw is the same in any order, in any process and on any machine. Only the raw
64-bit stream is used, because NumPy promises that stream for all time and its distributions not
(NEP 19).
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """The purpose of a draw; a number once given is never used for anything else."""

    SPLIT = 0
    DATA_NOISE = 1
    NOISE_PIXELS = 2
    LABEL_NOISE = 3
    SHUFFLE = 4
    PARTNER = 5
    CLOUDY = 6
    ORDER = 7


def draw(seed: int, purpose: Purpose, *name: int, size: int) -> np.ndarray:
    """Draw uniform 64-bit integers.

    Args:
        seed: The seed of the data set, not negative.
        purpose: What the numbers are for.
        *name: More numbers that tell this draw from others of the same purpose, not negative.
        size: How many numbers.

    Returns:
        Array of shape [size], uint64.

    Examples:
        >>> draw(42, Purpose.SHUFFLE, 0, 7, size=2)
        array([...], dtype=uint64)
    """
    key = np.random.SeedSequence(seed, spawn_key=(int(purpose), *name))
    return np.random.Philox(key).random_raw(size)


def draw_order(seed: int, purpose: Purpose, *name: int, size: int) -> np.ndarray:
    """Draw a uniform permutation of `range(size)`.

    Args:
        seed: The seed of the data set, not negative.
        purpose: What the permutation is for.
        *name: More numbers that tell this draw from others of the same purpose, not negative.
        size: How many elements.

    Returns:
        Array of shape [size], int64.

    Examples:
        >>> sorted(draw_order(42, Purpose.SHUFFLE, 0, 7, size=4).tolist())
        [0, 1, 2, 3]
    """
    return np.argsort(draw(seed, purpose, *name, size=size), kind="stable")
