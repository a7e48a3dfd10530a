"""The classes of a map, as it says them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Class:
    """A class that a map predicts.

    Attributes:
        number: what `prediction` holds for it.
        name: its name.
        color: its color, "#rrggbb".
    """

    number: int
    name: str
    color: str


def classes_of(scene: xr.Dataset) -> list[Class]:
    """Return the classes of a map; none where its network has one output."""
    if "prediction" not in scene:
        return []
    said = scene.prediction.attrs
    known = scene.attrs.get("classes")  # names with their spaces
    names = said["flag_meanings"].split() if known is None else json.loads(known)
    each = zip(np.atleast_1d(said["flag_values"]), names, said["flag_colors"].split(), strict=True)
    return [Class(int(number), name, color) for number, name, color in each]


def explained(scene: xr.Dataset) -> list[int] | None:
    """Return the numbers of the classes along the dimension `class`, None where there is none."""
    if "class" not in scene.dims:
        return None
    numbers = {each.name: each.number for each in classes_of(scene)}
    given = [str(name) for name in scene["class"].values]
    return [numbers[name if name in numbers else "_".join(name.split())] for name in given]
