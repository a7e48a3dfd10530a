"""The JSON file beside the bands of a patch: labels, place, time, partner."""

import datetime
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from rfp_jax.datasets._geotiff import MissingFileError, PatchError

S1_NAME = re.compile(
    r"S1[AB]_IW_GRDH_1SDV_\d{8}T\d{5,6}_(?P<tile>\w{5})_(?P<column>\d{1,2})_(?P<row>\d{1,2})"
)
S2_NAME = re.compile(r"S2[AB]_MSIL2A_\d{8}T\d{5,6}_(?P<column>\d{1,2})_(?P<row>\d{1,2})")
"""Names of patches. Hours have one digit in some."""

_TILE = re.compile(r"_T(?P<tile>[0-9]{2}[A-Z]{3})_")

BYTES = 2**16
"""The JSON files have some 2,000 bytes; at most so many are read."""


class Metadata(NamedTuple):
    """The contents of the file.

    Attributes:
        labels: names of the 43 classes that the patch shows.
        acquired: when the image was taken (UTC).
        tile: the tile of Sentinel-2, such as `"33UUP"`.
        corner: x and y of the upper left corner.
        partner: name of the Sentinel-2 patch, if this one is of Sentinel-1.
    """

    labels: tuple[str, ...]
    acquired: datetime.datetime
    tile: str
    corner: tuple[float, float]
    partner: str


def read_metadata(folder: Path) -> Metadata:
    """Read the JSON file of a patch.

    Args:
        folder: of the patch, named after it.

    Returns:
        What it says.

    Raises:
        MissingFileError: there is none.
        PatchError: it is damaged, or lacks something; names it.
    """
    path = folder / f"{folder.name}_labels_metadata.json"
    if not path.is_file():
        raise MissingFileError(f"{path} is missing: a half download, or another folder is meant")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(BYTES + 1)
        if len(text) > BYTES:
            raise ValueError(f"it has more than {BYTES} characters")
        return _parse(folder.name, json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise PatchError(f"{path} cannot be used: {why}; unpack the archive again") from error


def _parse(name: str, found: Any) -> Metadata:  # JSON: anything
    """Read what the file holds; whatever does not fit is an error."""
    if not isinstance(found, dict):
        raise TypeError(f"expected an object, got {type(found).__name__}")
    labels, corner = found["labels"], found["coordinates"]
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise TypeError("'labels' are not a list of names")
    place = corner["ulx"], corner["uly"]
    if not all(isinstance(number, int | float) for number in place):
        raise TypeError("'ulx' and 'uly' are not numbers")
    if radar := S1_NAME.fullmatch(name):
        tile, when, partner = (
            radar["tile"],
            found["acquisition_time"],
            found["corresponding_s2_patch"],
        )
        if not isinstance(partner, str) or not S2_NAME.fullmatch(partner):  # it becomes a path
            raise ValueError(f"{partner!r} is not the name of a Sentinel-2 patch")
    else:
        source = _TILE.search(found["tile_source"])
        if source is None:
            raise ValueError(f"'tile_source' names no tile: {found['tile_source']!r}")
        tile, when, partner = source["tile"], found["acquisition_date"], ""
    acquired = datetime.datetime.fromisoformat(when)
    return Metadata(tuple(labels), acquired, tile, (float(place[0]), float(place[1])), partner)
