"""The variables of a map: dimensions, dtypes, and words for people and programs that read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.colors import class_color
from rfp_jax._util.parts import BIAS
from rfp_jax._util.trees import Json
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._explain import Chosen
from rfp_jax.maps._grid import Grid

if TYPE_CHECKING:
    import xarray as xr

VOID = 255
"""The prediction where there is none."""


Coordinate = tuple[tuple[str, ...], np.ndarray, dict[str, Json]]
"""The dimensions, values and attributes of a coordinate."""


@dataclass(frozen=True)
class Variable:
    """A variable of a map.

    Attributes:
        dims: names of its dimensions.
        dtype: dtype of its values.
        fill: its value where nothing was computed.
        attributes: what it is.
    """

    dims: tuple[str, ...]
    dtype: np.dtype
    fill: float
    attributes: Mapping[str, Json]


@dataclass(frozen=True)
class Layout:
    """The layout of a map.

    Attributes:
        grid: its pixels.
        centers: coordinates y and x of pixel centers.
        sources: names of the sources.
        classes: names of all outputs.
        colors: their colors.
        chosen: which outputs are explained.
        chunk: rows and columns of a chunk.
    """

    grid: Grid
    centers: tuple[np.ndarray, np.ndarray]
    sources: tuple[str, ...]
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    chosen: Chosen
    chunk: tuple[int, int]

    @property
    def explained(self) -> list[str]:
        """Names of the classes that were chosen."""
        return [self.classes[i] for i in self.chosen or ()]

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the dimensions."""
        explained = 1 if self.chosen is None else len(self.chosen)
        sizes = {"source": len(self.sources) + 1, "class": explained}
        return {**sizes, "y": self.grid.height, "x": self.grid.width}

    @property
    def variables(self) -> dict[str, Variable]:
        """The variables that have a value at every pixel."""
        per_class = () if self.chosen is None else ("class",)
        mapped = {"grid_mapping": "spatial_ref"}
        number, nan = np.dtype(np.float32), float("nan")
        what = "of the predicted class" if self.chosen is None else "of each class"
        if len(self.classes) == 1:
            what = "of the output"
        bits = {f"{name}": 1 << i for i, name in enumerate(self.sources)}
        width = np.uint8 if len(bits) <= 8 else np.uint32
        found = {
            "relevance": Variable(
                (*per_class, "source", "y", "x"),
                number,
                nan,
                {
                    "long_name": f"relevance {what}",
                    "description": "output = sum over source, bias included",
                    "units": "1",
                    **mapped,
                },
            ),
            "output": Variable(
                (*per_class, "y", "x"),
                number,
                nan,
                {"long_name": f"network output {what}", "units": "1", **mapped},
            ),
            "valid": Variable(
                ("y", "x"),
                np.dtype(width),
                0,
                {
                    "long_name": "sources with data",
                    "flag_masks": list(bits.values()),
                    "flag_meanings": " ".join(map(_word, bits)),
                    **mapped,
                },
            ),
        }
        if len(self.classes) > 1:
            found["prediction"] = Variable(
                ("y", "x"),
                np.dtype(np.uint8),
                VOID,
                {
                    "long_name": "predicted class",
                    "flag_values": list(range(len(self.classes))),
                    "flag_meanings": " ".join(map(_word, self.classes)),
                    "flag_colors": " ".join(self.colors),
                    **mapped,
                },
            )
        return found

    @property
    def coordinates(self) -> dict[str, Coordinate]:
        """The coordinates: dimensions, values, attributes."""
        y, x = self.centers
        text = np.dtypes.StringDType()
        crs, names = self.grid.crs, ("latitude", "longitude")
        unit = "degree" if crs.is_geographic else "metre"
        if unit == "metre":
            names = "projection_y_coordinate", "projection_x_coordinate"
            unit = _word(crs.linear_units) if crs.is_projected else unit  # feet, in places
        north = {"axis": "Y", "standard_name": names[0], "units": _unit(unit, "north")}
        east = {"axis": "X", "standard_name": names[1], "units": _unit(unit, "east")}
        words = {"long_name": "source of relevance"}
        found: dict[str, Coordinate] = {
            "y": (("y",), y, north),
            "x": (("x",), x, east),
            "source": (("source",), np.array([*self.sources, BIAS], text), words),
            "spatial_ref": ((), np.array(0), self.grid.spatial_ref()),
        }
        if self.chosen is not None:
            found["class"] = (("class",), np.array(self.explained, text), {"long_name": "class"})
        return found

    def shape(self, name: str, tile: tuple[slice, slice] | None = None) -> tuple[int, ...]:
        """The shape of a variable, or of a tile of it."""
        sizes = self.sizes
        if tile is not None:
            sizes |= {d: s.stop - s.start for d, s in zip(("y", "x"), tile, strict=True)}
        return tuple(sizes[dim] for dim in self.variables[name].dims)

    def chunks(self, name: str) -> tuple[int, ...]:
        """The chunk of a variable: one source, one class."""
        extent = {"y": self.chunk[0], "x": self.chunk[1]}
        return tuple(extent.get(dim, 1) for dim in self.variables[name].dims)

    def bytes(self, name: str | None = None) -> int:
        """Bytes of a variable, before compression, or of all."""
        names = self.variables if name is None else (name,)
        return sum(prod(self.shape(n)) * self.variables[n].dtype.itemsize for n in names)

    def announcement(self) -> str:
        """Say in words what will be written."""
        parts = [f"{n} {list(self.shape(n))} {self.bytes(n):,} bytes" for n in self.variables]
        return f"{'; '.join(parts)}; {self.bytes():,} bytes before compression"

    def finish(
        self, relevance: np.ndarray, output: np.ndarray, bits: np.ndarray, void: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Turn what was computed for a tile into its variables.

        Args:
            relevance: [class, source, y, x], of the chosen classes; of all, or of the greatest
                alone, where that is explained.
            output: [class, y, x], of all classes.
            bits: [y, x], a bit for each valid source.
            void: [y, x], whether a pixel has no result.
        """
        best = output.argmax(0)
        if self.chosen is None:
            parts = (
                relevance[0]
                if len(relevance) == 1
                else np.take_along_axis(relevance, best[None, None], 0)[0]
            )
            explained = np.take_along_axis(output, best[None], 0)[0]
        else:
            parts, explained = relevance, output[list(self.chosen)]
        unknown = void | ~np.isfinite(output).all(0)
        found = {
            "relevance": np.where(void, np.nan, parts),
            "output": np.where(void, np.nan, explained),
            "valid": bits,
            "prediction": np.where(unknown, VOID, best),
        }
        return {name: found[name].astype(each.dtype) for name, each in self.variables.items()}


def chunk_of(tile: int, largest: int = 512) -> int:
    """The largest chunk, up to a limit, of which a tile is a multiple.

    Examples:
        >>> chunk_of(1024), chunk_of(300), chunk_of(1000)
        (512, 300, 500)
    """
    count = ceil(tile / largest)
    while tile % count:
        count += 1
    return tile // count


def class_names(
    classes: Sequence[str] | Mapping[str, str] | None, count: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names and colors of the outputs.

    Args:
        classes: their names, or a mapping of names to colors "#rrggbb"; None for numbers.
        count: how many outputs there are.

    Raises:
        SceneError: they do not fit the network.
    """
    if classes is None:
        names, colors = tuple(map(str, range(count))), None
    else:
        names = tuple(classes)
        colors = tuple(classes.values()) if isinstance(classes, Mapping) else None
    if isinstance(classes, str) or not all(isinstance(name, str) and name for name in names):
        raise SceneError(f"classes must be a sequence of names, got {classes!r}")
    if len(names) != count or len(set(names)) < count:
        raise SceneError(
            f"the network has {count} outputs at a pixel, and these classes are named: "
            f"{list(names)}; name each output once"
        )
    if count > VOID:
        raise SceneError(f"{count} classes; a map holds {VOID}, and {VOID} stands for no data")
    colors = tuple(map(class_color, range(count))) if colors is None else colors
    for color in colors:
        if (
            len(color) != 7
            or color[0] != "#"
            or not set(color[1:].lower()) <= set("0123456789abcdef")
        ):
            raise SceneError(f"a color of a class must be '#rrggbb', got {color!r}")
    return names, colors


def names_in(scene: xr.Dataset) -> list[str]:
    """The names of all classes of a map, with their spaces where it still knows them."""
    if "classes" in scene.attrs:
        return json.loads(scene.attrs["classes"])
    return scene.prediction.attrs["flag_meanings"].split()


def flat(attributes: Mapping[str, Json]) -> dict[str, Json]:
    """Attributes that every format keeps: nested ones as JSON."""
    return {
        key: value
        if isinstance(value, str | int | float)
        else json.dumps(value, ensure_ascii=False)
        for key, value in attributes.items()
    }


def nested(attributes: Mapping[str, Json]) -> dict[str, Json]:
    """The attributes of which `flat` made JSON, decoded.

    Examples:
        >>> nested(flat({"rules": "lrp0", "tile": [64, 64]}))
        {'rules': 'lrp0', 'tile': [64, 64]}
    """
    return {
        key: json.loads(each) if isinstance(each, str) and each[:1] in ("{", "[") else each
        for key, each in attributes.items()
    }


def _word(name: str) -> str:
    return "_".join(name.split())


def _unit(unit: str, direction: str) -> str:
    return f"degrees_{direction}" if unit == "degree" else unit
