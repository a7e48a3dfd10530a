"""The sources of a scene on one grid, as the network sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np

from rfp_jax._util.parts import BIAS
from rfp_jax._util.rasters import Scale, check_scale
from rfp_jax._util.trees import Given
from rfp_jax.maps._dates import by_dates, plain, side_by_side
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._grid import Bounds, Grid
from rfp_jax.maps._raster import open_raster
from rfp_jax.maps._source import Source, as_source
from rfp_jax.maps._tags import Raster

T = TypeVar("T")

Prepare = Callable[[np.ndarray], Given]
"""Maps the values [y, x, band] of a source to those that the network was trained on.

Those of a source with an axis of dates are [date, y, x, band].
"""

SAMPLE = 64
"""Pixels a side of the tile on which `prepare` is tested."""


@dataclass(frozen=True)
class Layer:
    """A source, open, on the grid of the scene.

    Attributes:
        name: its name.
        source: what the caller said of it.
        raster: its data on the grid.
        mask: where data are valid, if there is a mask.
        grid: its own pixels, before they are warped.
        is_warped: whether it lies on another grid.
        scale: scales and offsets, per band; None for the values as stored.
        prepare: maps values to those the network sees, or None.
        fill: what the network sees where data are missing.
    """

    name: str
    source: Source
    raster: Raster
    mask: Raster | None
    grid: Grid
    is_warped: bool
    scale: tuple[np.ndarray, np.ndarray] | None
    prepare: Prepare | None
    fill: float

    @property
    def dims(self) -> str:
        """The layout of its windows, `"byxc"` or `"bcyx"`, several dates side by side as bands."""
        return plain(self.source.dims)

    def read(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Read what the network sees of a window of the reference.

        Returns:
            Values [y, x, band], float32, and which pixels are valid [y, x], at the source's ratio.
        """
        ratio = self.source.ratio
        rows, columns = (slice(s.start // ratio, s.stop // ratio) for s in (rows, columns))
        stored, valid = self.raster.read(rows, columns)
        if self.mask is not None:
            valid &= self.mask.read(rows, columns)[0][0] != 0
        values = np.moveaxis(stored, 0, -1).astype(np.float64)
        if self.scale is not None:
            values = values * self.scale[0] + self.scale[1]
        values = values.astype(np.float32)
        if self.prepare is not None:
            with np.errstate(all="ignore"):
                values = self.prepared(np.where(valid[..., None], values, np.float32(np.nan)))
        return np.where(valid[..., None], values, np.float32(self.fill)), valid

    def prepared(self, values: np.ndarray) -> np.ndarray:
        """Apply `prepare`, and check what it returns."""
        assert self.prepare is not None
        has_dates = "t" in self.source.dims
        given = by_dates(values, self.raster.tags.times) if has_dates else values
        found = np.asarray(self.prepare(given))
        if found.ndim != given.ndim or found.shape[:-1] != given.shape[:-1]:
            dims = "date, y, x" if has_dates else "y, x"
            raise SceneError(
                f"prepare of source {self.name!r} returned an array of shape {list(found.shape)} "
                f"for {list(given.shape)}: it must map [{dims}, band] to [{dims}, any bands]"
            )
        return (side_by_side(found) if has_dates else found).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """Sources on one grid.

    Attributes:
        layers: the sources.
        grid: the pixels of the map.
        origin: row and column of its first pixel in the whole reference.
        reference: name of the source whose grid it is.
        nodata: names of the sources of which each must be valid; or `"all"`: one must be.
    """

    layers: tuple[Layer, ...]
    grid: Grid
    origin: tuple[int, int]
    reference: str
    nodata: tuple[str, ...] | str

    @property
    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates y and x of pixel centers: those of the reference, bit for bit."""
        layer = self.layers[self.names.index(self.reference)]
        both = zip(layer.raster.centers, self.origin, self.grid.shape, strict=True)
        y, x = (centers[first : first + size] for centers, first, size in both)
        return y, x

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(layer.name for layer in self.layers)

    def read(self, rows: slice, columns: slice) -> tuple[list[np.ndarray], np.ndarray]:
        """Read a window of all sources.

        Returns:
            What the network takes of each, [1, y, x, band] or [1, band, y, x], and one bit for each
            source where it is valid, [y, x].
        """
        rows, columns = (
            slice(s.start + o, s.stop + o)
            for s, o in zip((rows, columns), self.origin, strict=True)
        )
        bits = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint32)
        inputs = []
        for i, layer in enumerate(self.layers):
            values, valid = layer.read(rows, columns)
            if layer.source.ratio > 1:
                valid = valid.repeat(layer.source.ratio, 0).repeat(layer.source.ratio, 1)
            bits |= valid.astype(np.uint32) << i
            values = values if layer.dims == "byxc" else np.moveaxis(values, -1, 0)
            inputs.append(np.ascontiguousarray(values)[None])
        return inputs, bits

    def is_void(self, bits: np.ndarray) -> np.ndarray:
        """Mark the pixels without a result, given the bits of their valid sources."""
        if self.nodata == "all":
            return bits == 0
        needed = sum(1 << self.names.index(name) for name in self.nodata)
        return bits & needed != needed


def open_scene(
    sources: Mapping[str, Given],
    *,
    reference: str | None = None,
    prepare: Prepare | Mapping[str, Prepare] | None = None,
    fill: float | Mapping[str, float] = 0.0,
    nodata: str | Sequence[str] = "reference",
    resampling: str = "bilinear",
    scale: Scale = None,
    region: Bounds | None = None,
) -> Scene:
    """Open sources and bring them to the grid of the reference; see `relevance` for the arguments.

    Raises:
        SceneError: they do not fit one another; names the source and what to do.
    """
    if not isinstance(sources, Mapping) or not sources:
        raise SceneError(f"sources must map names to data, got {type(sources).__name__}")
    if BIAS in sources:
        raise SceneError(f"{BIAS!r} is what came from no source; call the source something else")
    if len(sources) > 32:
        raise SceneError(f"{len(sources)} sources; `valid` has bits for 32")
    check_scale(scale)
    for what, said in (("prepare", prepare), ("fill", fill)):
        if unknown := sorted(set(said if isinstance(said, Mapping) else ()) - {*sources}):
            raise SceneError(
                f"{what}= names {unknown}, which is not a source; they are {[*sources]}"
            )
    given = {name: as_source(value) for name, value in sources.items()}
    reference = next(iter(given)) if reference is None else reference
    if reference not in given:
        raise SceneError(f"reference={reference!r} is not a source; they are {list(given)}")
    if len({plain(source.dims) for source in given.values()}) > 1:
        said = {name: source.dims for name, source in given.items()}
        raise SceneError(
            f"sources must all have the same dims, but for an axis of dates, got {said}"
        )
    opened = {name: open_raster(name, source) for name, source in given.items()}
    if given[reference].ratio != 1:
        raise SceneError(f"the reference {reference!r} must have ratio=1: name the finest source")
    whole = opened[reference].grid
    rows, columns = slice(0, whole.height), slice(0, whole.width)
    rows, columns = (rows, columns) if region is None else whole.pixels(region)
    for ratio in {source.ratio for source in given.values()}:
        if rows.start % ratio or columns.start % ratio:
            raise SceneError(f"region={region} begins inside a pixel of a source with {ratio=}")
        whole.part(rows, columns).coarser(ratio)
    layers = [
        _layer(
            name,
            source,
            opened[name],
            whole.coarser(source.ratio) if source.ratio > 1 else whole,
            resampling=source.resampling or resampling,
            scale=source.scale if source.scale is not None else scale,
            prepare=_of(prepare, name, None),
            fill=_of(fill, name, 0.0),
        )
        for name, source in given.items()
    ]
    voiding = _voiding(nodata, tuple(given), reference)
    origin = rows.start, columns.start
    return Scene(tuple(layers), whole.part(rows, columns), origin, reference, voiding)


def check_prepare(scene: Scene) -> None:
    """Refuse a `prepare` that is not pointwise: tiles would not equal the whole.

    Raises:
        SceneError: it gives other values for a part of a tile than for the tile.
    """
    h, w = (min(size, SAMPLE) for size in scene.grid.shape)
    for layer in scene.layers:
        if layer.prepare is None:
            continue
        ratio = layer.source.ratio
        y, x = (
            (o + (n - size) // 2) // ratio * ratio
            for o, n, size in zip(scene.origin, scene.grid.shape, (h, w), strict=True)
        )
        half = max(h // 2 // ratio, 1) * ratio, max(w // 2 // ratio, 1) * ratio
        tile, _ = layer.read(slice(y, y + h), slice(x, x + w))
        part, _ = layer.read(slice(y, y + half[0]), slice(x, x + half[1]))
        same = tile[: part.shape[0], : part.shape[1]]
        if same.shape != part.shape or not np.allclose(same, part, rtol=1e-5, equal_nan=True):
            raise SceneError(
                f"prepare of source {layer.name!r} is not pointwise: it gives other values for a "
                "tile than for a part of it, so it reduces over pixels (a mean, a minimum, a "
                "percentile) or looks at neighbors. Compute such numbers once for the whole scene "
                "(rfp_jax.maps.inspect shows means and deviations) and pass them as constants"
            )


def _layer(
    name: str,
    source: Source,
    raster: Raster,
    grid: Grid,
    *,
    resampling: str,
    scale: Scale,
    prepare: Prepare | None,
    fill: float,
) -> Layer:
    tags = raster.tags
    if tags.dtype.kind not in "biuf":
        raise SceneError(
            f"source {name!r} holds {tags.dtype}: bring it to real numbers first, as bands "
            "of their own (its magnitude and phase, or its real and imaginary part)"
        )
    if scale is None and tags.has_scale:
        raise SceneError(
            f"source {name!r} declares scale {list(tags.scales)} and offset {list(tags.offsets)}: "
            "say with scale= (or in rfp_jax.maps.Source) what the network was trained on: 'apply' "
            "(value * scale + offset), 'raw' (values as stored), or two numbers (scale, offset)"
        )
    if scale == "apply":
        chosen = np.array(tags.scales), np.array(tags.offsets)
    elif isinstance(scale, tuple):
        chosen = np.array(float(scale[0])), np.array(float(scale[1]))
    else:
        chosen = None
    mask = (
        None
        if source.mask is None
        else open_raster(f"{name} (mask)", Source(source.mask, trusted=source.trusted))
    )
    if mask is not None and not mask.grid.same_as(raster.grid):
        raise SceneError(
            f"the mask of source {name!r} covers {mask.grid.bounds} with {mask.grid.shape} pixels, "
            f"the source {raster.grid.bounds} with {raster.grid.shape}: bring it to the same grid"
        )
    own = raster.grid
    is_warped = not own.same_as(grid)
    if is_warped:
        raster = raster.onto(grid, resampling)
        mask = None if mask is None else mask.onto(grid, "nearest")
    return Layer(name, source, raster, mask, own, is_warped, chosen, prepare, float(fill))


def _of(given: T | Mapping[str, T], name: str, otherwise: T) -> T:
    """Return the setting for one source: one for all of them, or given by name."""
    return cast("T", given.get(name, otherwise) if isinstance(given, Mapping) else given)


def _voiding(
    nodata: str | Sequence[str], names: Sequence[str], reference: str
) -> str | tuple[str, ...]:
    if nodata == "all":
        return "all"
    if nodata == "reference":
        return (reference,)
    if nodata == "any":
        return tuple(names)
    wanted = (nodata,) if isinstance(nodata, str) else tuple(nodata)
    if unknown := [name for name in wanted if name not in names]:
        raise SceneError(
            f"nodata={nodata!r}: {unknown} is not a source; pass 'reference', 'any', 'all' or "
            f"names among {list(names)}"
        )
    return wanted
