"""Classes of SEN12MS: the 17 of the IGBP scheme, the 10 that they are simplified to, and labels.

A patch comes with 17 probabilities, the shares of its area that each IGBP class covers.

Source: Schmitt & Wu, "Remote sensing image classification with the SEN12MS dataset", ISPRS Annals
V-2-2021, table 1.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

ClassCount = Literal[10, 17]

CLASSES: Mapping[int, tuple[str, ...]] = {
    10: (
        "Forest",
        "Shrubland",
        "Savanna",
        "Grassland",
        "Wetland",
        "Croplands",
        "Urban",
        "Snow & Ice",
        "Bareland",
        "Water",
    ),
    17: (
        "Evergreen Needleleaf Forest",
        "Evergreen Broadleaf Forest",
        "Deciduous Needleleaf Forest",
        "Deciduous Broadleaf Forest",
        "Mixed Forest",
        "Closed Shrubland",
        "Open Shrubland",
        "Woody Savanna",
        "Savanna",
        "Grassland",
        "Permanent Wetland",
        "Cropland",
        "Urban & Built-Up",
        "Cropland/Natural Mosaic",
        "Snow & Ice",
        "Barren",
        "Water",
    ),
}
"""Names of the classes, by how many there are."""

SIMPLIFIED = (0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 5, 7, 8, 9)
"""The one of the 10 classes to which each of the 17 belongs."""

THRESHOLD = 0.1
"""A patch has every label (of multi-label classification) whose share is at least this."""


def fractions(probabilities: ArrayLike, classes: int = 10) -> np.ndarray:
    """Shares of the classes in a patch.

    Args:
        probabilities: of the 17 IGBP classes, [..., 17].
        classes: 17 for these, 10 for the simplified classes, which add some of them up.

    Returns:
        Shares, float64, [..., classes].

    Raises:
        ValueError: if there are not 17, or another number of classes is asked for.

    Examples:
        >>> fractions(np.eye(17)[13]).argmax()  # a mosaic of croplands counts as croplands
        np.int64(5)
    """
    given = np.asarray(probabilities, np.float64)
    if given.ndim == 0 or given.shape[-1] != 17:
        raise ValueError(f"probabilities must be [..., 17], got shape {given.shape}")
    if classes not in CLASSES:
        raise ValueError(f"classes must be 10 or 17, got {classes}")
    if classes == 17:
        return given
    added = [given[..., np.equal(SIMPLIFIED, k)].sum(-1) for k in range(10)]
    return np.stack(added, axis=-1)


def single_label(probabilities: ArrayLike, classes: int = 10) -> np.ndarray:
    """The class that covers most of a patch.

    Args:
        probabilities: [..., 17].
        classes: 10 or 17.

    Returns:
        Class, int32, [...].

    Raises:
        ValueError: see `fractions`.

    Examples:
        >>> int(single_label(np.eye(17)[16]))
        9
    """
    return np.argmax(fractions(probabilities, classes), axis=-1).astype(np.int32)


def pixel_labels(land_cover: np.ndarray, classes: int = 10) -> np.ndarray:
    """The class of every pixel among the 10 simplified or the 17 IGBP classes.

    Args:
        land_cover: IGBP classes from 0 to 16, or -1 where none is known, int [...].
        classes: 10 or 17.

    Returns:
        Classes, int32, [...]; -1 stays -1.

    Raises:
        ValueError: if another number of classes is asked for.

    Examples:
        >>> pixel_labels(np.array([0, 4, 13, 16, -1])).tolist()
        [0, 0, 5, 9, -1]
    """
    if classes not in CLASSES:
        raise ValueError(f"classes must be 10 or 17, got {classes}")
    known = np.arange(17) if classes == 17 else np.array(SIMPLIFIED)
    return np.append(known, -1)[land_cover].astype(np.int32)


def multi_label(probabilities: ArrayLike, classes: int = 10) -> np.ndarray:
    """The classes that cover at least a tenth of a patch.

    Args:
        probabilities: [..., 17].
        classes: 10 or 17.

    Returns:
        Whether a class does, bool, [..., classes].

    Raises:
        ValueError: see `fractions`.

    Examples:
        >>> multi_label(0.5 * np.eye(17)[16] + 0.5 * np.eye(17)[0]).nonzero()[0].tolist()
        [0, 9]
    """
    return fractions(probabilities, classes) >= THRESHOLD
