"""Folders of co-registered rasters as samples for `rfp_jax.tables.evaluate`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, SupportsIndex

from rfp_jax.datasets._geotiff import Grid, PatchError
from rfp_jax.datasets.rasters._layers import Classes, Raster
from rfp_jax.datasets.rasters._pairing import pair
from rfp_jax.datasets.rasters._pattern import Pattern
from rfp_jax.datasets.rasters._table import read_table

PLACE = ("crs", "center_x", "center_y")
OWN = ("id", "label", *PLACE)
"""Names in a sample beside its sources, fields and columns."""

SHOWN = 5
"""So many files without a partner are named in an error."""


class UnpairedError(ValueError):
    """Files or rows without a partner; the message names the first of them."""


class Rasters:
    """Co-registered GeoTIFFs in folders, paired by the fields of their paths.

    A sample is a dict of

    - each source: float32 [rows, columns, bands], masked where there are no data;
    - `label`: what the field or column says; with `Classes` the class of every pixel, int32
      [rows, columns], -1 where none is known;
    - `id`: the texts of the fields, joined by a slash;
    - `crs`: the coordinate system, such as `"EPSG:32633"`, "" if the files have none; `center_x`
      and `center_y`: the middle of the patch in it;
    - every field of the pattern and every column of the table.

    All files of a sample must show the same ground in the same coordinate system; that is looked
    at whenever one is read, and the error names both files. No file is held open.

    Args:
        root: the folder.
        sources: name of each source to its files: a pattern such as `"{site}_s1.tif"`, or a
            `Raster` that says more. The first one's pattern has all fields.
        label: the name of a field (`"{class}/{site}.tif"`: the folder's name) or of a column of the
            table, or `Classes`, files with the class of every pixel; None for none.
        table: a CSV file that says more of each sample. Its columns that are named as fields say
            of which.
        convert: by the name of a field or column, what its text becomes: a number, a date, a list
            of classes.
        unpaired: whether files and rows without a partner are an error (`"refuse"`) or left out
            (`"drop"`, see `unpaired`).

    Attributes:
        ids: names of all samples, for `rfp_jax.tables.Columns(ids=...)`.
        unpaired: what was left out, in words.

    Raises:
        FileNotFoundError: there is no such folder or table, or no file fits the first pattern.
        UnpairedError: a file or a row has no partner.
        ValueError: a pattern, the table or a name cannot be used; says why.

    Examples:
        >>> Rasters("no/such/folder", {"s1": "{site}_s1.tif"})
        Traceback (most recent call last):
        ...
        FileNotFoundError: no/such/folder is not a folder
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        sources: Mapping[str, str | Raster],
        *,
        label: str | Classes | None = None,
        table: str | os.PathLike[str] | None = None,
        convert: Mapping[str, Callable[[str], object]] = {},
        unpaired: Literal["refuse", "drop"] = "refuse",
    ) -> None:
        if not sources:
            raise ValueError("sources is empty: name at least one, such as {'s1': '{site}_s1.tif'}")
        if unpaired not in ("refuse", "drop"):
            raise ValueError(f"unpaired must be 'refuse' or 'drop', got {unpaired!r}")
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(f"{root} is not a folder")
        self.sources = {
            name: given if isinstance(given, Raster) else Raster(given)
            for name, given in sources.items()
        }
        self.label, self.convert = label, dict(convert)
        self._patterns = {name: Pattern(each.pattern) for name, each in self.sources.items()}
        if isinstance(label, Classes):
            self._patterns["label"] = Pattern(label.pattern)
        first = next(iter(self._patterns.values()))
        rows = None if table is None else read_table(table, first.fields)
        columns = () if rows is None else rows.columns
        self._check_names(first, columns)
        found = pair(self.root, tuple(self._patterns.values()), rows)
        self.members, self.unpaired = found.members, found.unpaired
        if self.unpaired and unpaired == "refuse":
            shown = "\n  ".join(self.unpaired[:SHOWN])
            raise UnpairedError(
                f"{len(self.unpaired)} files or rows in {root} have no partner:\n  {shown}\n"
                "Bring them in, or leave them out with unpaired='drop'"
            )
        if not self.members:
            raise FileNotFoundError(
                f"no file in {root} fits {first.text!r} and has all its partners"
            )

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"Rasters({str(self.root)!r}: {len(self)} of {', '.join(self.sources)})"

    @property
    def ids(self) -> list[str]:
        """Names of all samples."""
        return ["/".join(member.fields.values()) for member in self.members]

    def file(self, index: SupportsIndex, name: str) -> Path:
        """Return the path of a file.

        Args:
            index: of the sample.
            name: of the source, or `"label"` where the label is a raster.
        """
        return self.root / self._patterns[name].path(self.members[index].fields)

    # arrays, text, and whatever `convert` makes of it
    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        fields, row = self.members[index]
        sample: dict[str, object] = {"id": "/".join(fields.values())}
        for name, text in {**row, **fields}.items():
            sample[name] = self._converted(name, text)
        grids = {}
        for name, source in self.sources.items():
            sample[name], grids[name] = source.read(self.file(index, name))
        if isinstance(self.label, Classes):
            sample["label"], grids["label"] = self.label.read(self.file(index, "label"))
        elif self.label is not None:
            sample["label"] = sample[self.label]
        place = self._common_place(index, grids)
        return sample | dict(zip(PLACE, (place.system, *place.center), strict=True))

    def _converted(self, name: str, text: str) -> object:
        try:
            return self.convert[name](text) if name in self.convert else text
        except Exception as error:  # a function of the caller's
            raise ValueError(f"convert[{name!r}] cannot take {text!r}: {error}") from error

    def _check_names(self, first: Pattern, columns: tuple[str, ...]) -> None:
        """Refuse names that nothing has, or that two things have."""
        known = dict.fromkeys((*first.fields, *columns))
        for name, pattern in self._patterns.items():
            if other := [field for field in pattern.fields if field not in first.fields]:
                raise ValueError(
                    f"{name!r}: the field {other[0]!r} of {pattern.text!r} is not in the first "
                    f"source's {first.text!r}, which must have all"
                )
        named = [self.label] if isinstance(self.label, str) else []
        if other := [name for name in (*named, *self.convert) if name not in known]:
            raise ValueError(
                f"there is no field or column {other[0]!r}; there are {', '.join(known)}"
            )
        taken = [name for name in OWN if name != self.label]
        if twice := [n for n in known if n in taken or n in self.sources]:
            raise ValueError(f"{twice[0]!r} is taken: give the field or column another name")
        if twice := [n for n in self.sources if n in OWN]:
            raise ValueError(f"{twice[0]!r} is taken: give the source another name")

    def _common_place(self, index: SupportsIndex, grids: Mapping[str, Grid]) -> Grid:
        """Return the grid of the first source, after a look whether all others fit it."""
        first, *others = grids
        expected = grids[first]
        for name in others:
            found = grids[name]
            ratio = self.sources[name].ratio if name in self.sources else 1
            shape = (found.shape[0] * ratio, found.shape[1] * ratio)
            if expected.same_ground(found) and expected.shape == shape:
                continue
            raise PatchError(
                f"{self.file(index, name)} and {self.file(index, first)} are not on one grid: "
                f"{found} (ratio={ratio}) and {expected}. Warp one to the other (gdalwarp), or say "
                "how many times as wide the pixels are with Raster(ratio=...)"
            )
        return expected
