"""The classes: 43 of CORINE Land Cover 2018 (level 3), and the 19 that were made of them.

Both are in the order of the archive's `label_indices.json`. Eleven of the 43 are part of none of
the 19.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

ClassCount = Literal[19, 43]

_AGRICULTURE = (
    "Land principally occupied by agriculture, with significant areas of natural vegetation"
)

MERGED: Mapping[str, str | None] = {
    "Continuous urban fabric": "Urban fabric",
    "Discontinuous urban fabric": "Urban fabric",
    "Industrial or commercial units": "Industrial or commercial units",
    "Road and rail networks and associated land": None,
    "Port areas": None,
    "Airports": None,
    "Mineral extraction sites": None,
    "Dump sites": None,
    "Construction sites": None,
    "Green urban areas": None,
    "Sport and leisure facilities": None,
    "Non-irrigated arable land": "Arable land",
    "Permanently irrigated land": "Arable land",
    "Rice fields": "Arable land",
    "Vineyards": "Permanent crops",
    "Fruit trees and berry plantations": "Permanent crops",
    "Olive groves": "Permanent crops",
    "Pastures": "Pastures",
    "Annual crops associated with permanent crops": "Permanent crops",
    "Complex cultivation patterns": "Complex cultivation patterns",
    _AGRICULTURE: _AGRICULTURE,
    "Agro-forestry areas": "Agro-forestry areas",
    "Broad-leaved forest": "Broad-leaved forest",
    "Coniferous forest": "Coniferous forest",
    "Mixed forest": "Mixed forest",
    "Natural grassland": "Natural grassland and sparsely vegetated areas",
    "Moors and heathland": "Moors, heathland and sclerophyllous vegetation",
    "Sclerophyllous vegetation": "Moors, heathland and sclerophyllous vegetation",
    "Transitional woodland/shrub": "Transitional woodland, shrub",
    "Beaches, dunes, sands": "Beaches, dunes, sands",
    "Bare rock": None,
    "Sparsely vegetated areas": "Natural grassland and sparsely vegetated areas",
    "Burnt areas": None,
    "Inland marshes": "Inland wetlands",
    "Peatbogs": "Inland wetlands",
    "Salt marshes": "Coastal wetlands",
    "Salines": "Coastal wetlands",
    "Intertidal flats": None,
    "Water courses": "Inland waters",
    "Water bodies": "Inland waters",
    "Coastal lagoons": "Marine waters",
    "Estuaries": "Marine waters",
    "Sea and ocean": "Marine waters",
}
"""Each of the 43 classes to that of the 19 it is part of."""

CLASSES: Mapping[ClassCount, tuple[str, ...]] = {
    43: tuple(MERGED),
    19: (
        "Urban fabric",
        "Industrial or commercial units",
        "Arable land",
        "Permanent crops",
        "Pastures",
        "Complex cultivation patterns",
        _AGRICULTURE,
        "Agro-forestry areas",
        "Broad-leaved forest",
        "Coniferous forest",
        "Mixed forest",
        "Natural grassland and sparsely vegetated areas",
        "Moors, heathland and sclerophyllous vegetation",
        "Transitional woodland, shrub",
        "Beaches, dunes, sands",
        "Inland wetlands",
        "Coastal wetlands",
        "Inland waters",
        "Marine waters",
    ),
}
"""Names of the classes."""


def multi_label(names: Iterable[str], classes: ClassCount) -> np.ndarray:
    """Return which classes a patch shows.

    Args:
        names: of the 43 classes, as the files say them.
        classes: 19 or 43.

    Returns:
        Bool, [classes]; with 19 all False where the patch shows only what is in none of them.

    Raises:
        ValueError: a name is none of the 43.

    Examples:
        >>> np.flatnonzero(multi_label(["Pastures", "Peatbogs", "Airports"], 19)).tolist()
        [4, 15]
    """
    names = list(names)
    if other := [name for name in names if name not in MERGED]:
        raise ValueError(f"{other[0]!r} is none of the 43 classes of BigEarthNet")
    shown = set(names) if classes == 43 else {MERGED[name] for name in names}
    return np.array([name in shown for name in CLASSES[classes]])
