"""The classes of a map, as it says them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.colors import class_color

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
    numbers = [int(number) for number in np.atleast_1d(said["flag_values"])]
    words = dict(zip(numbers, said["flag_meanings"].split(), strict=True))
    numbers = [number for number in numbers if number >= 0]  # of tables, -1 is unknown
    known = scene.attrs.get("classes")  # names with their spaces
    names = [words[number] for number in numbers] if known is None else json.loads(known)
    own = said.get("flag_colors")
    colors = map(class_color, numbers) if own is None else own.split()
    return [Class(*each) for each in zip(numbers, names, colors, strict=True)]


def explained(scene: xr.Dataset) -> list[int] | None:
    """Return the numbers of the classes along the dimension `class`, None where there is none."""
    if "class" not in scene.dims:
        return None
    numbers = {each.name: each.number for each in classes_of(scene)}
    given = [str(name) for name in scene["class"].values]
    return [numbers[name if name in numbers else "_".join(name.split())] for name in given]
