"""Places of the pixels of a map: in its coordinate system, in meters, in degrees."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, radians
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra

if TYPE_CHECKING:
    import xarray as xr
    from affine import Affine
    from rasterio.crs import CRS

NEAR = 0.05
"""Part of a pixel by which coordinates may be rounded: those in float32 are."""

DEGREE = 6_371_008.8 * pi / 180
"""Meters of a degree on a sphere of the earth's mean radius."""


@dataclass(frozen=True)
class Ground:
    """The ground below a map: north-up cells of one size, or pixels that lie nowhere.

    Attributes:
        crs: the coordinate system, of rasterio; None if the map lies nowhere: then x and y count
            pixels from the upper left, y downwards, and the height of a cell is negative.
        corner: x and y of the outer corner at the upper left.
        resolution: width and height of a cell.
        shape: rows and columns.
    """

    crs: CRS | None
    corner: tuple[float, float]
    resolution: tuple[float, float]
    shape: tuple[int, int]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of all cells."""
        (left, top), (across, down), (rows, columns) = self.corner, self.resolution, self.shape
        return left, top - rows * down, left + columns * across, top

    @property
    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates y and x of the cells' centers."""
        (left, top), (across, down), (rows, columns) = self.corner, self.resolution, self.shape
        return top - down * (np.arange(rows) + 0.5), left + across * (np.arange(columns) + 0.5)

    @property
    def transform(self) -> Affine:
        """The transform from column and row to x and y of a cell's upper left corner."""
        from affine import Affine

        (left, top), (across, down) = self.corner, self.resolution
        return Affine(across, 0, left, 0, -down, top)

    @property
    def meters(self) -> float:
        """Meters per unit of x, at the middle of the map; 1 if it lies nowhere."""
        if self.crs is None:
            return 1.0
        if not self.crs.is_geographic:
            return float(self.crs.linear_units_factor[1]) if self.crs.is_projected else 1.0
        _, bottom, _, top = self.bounds
        return DEGREE * max(cos(radians((bottom + top) / 2)), 0.01)

    @property
    def aspect(self) -> float:
        """Length of a unit of y, in units of x."""
        is_geographic = self.crs is not None and self.crs.is_geographic
        return DEGREE / self.meters if is_geographic else 1.0

    def nodes(self, count: int = 33) -> np.ndarray:
        """Longitude and latitude (WGS 84) at count x count nodes from the upper left, [2, y, x].

        Between nodes both are bilinear, to less than a meter for scenes of 100 km.
        """
        from pyproj import Transformer

        assert self.crs is not None  # else there are no degrees
        left, bottom, right, top = self.bounds
        x, y = np.meshgrid(np.linspace(left, right, count), np.linspace(top, bottom, count))
        way = Transformer.from_crs(self.crs.to_wkt(), "EPSG:4326", always_xy=True)
        return np.stack([np.asarray(each) for each in way.transform(x, y)])

    def coarser(self, factor: int) -> Ground:
        """The ground in cells of `factor` x `factor` of these; the last ones may reach beyond."""
        (across, down), (rows, columns) = self.resolution, self.shape
        wider, fewer = (across * factor, down * factor), (-(-rows // factor), -(-columns // factor))
        return Ground(self.crs, self.corner, wider, fewer)


def ground_of(scene: xr.Dataset, *, placed: bool = True) -> Ground:
    """Return where a map lies.

    Args:
        scene: a map of a scene, or of one sample of a table.
        placed: whether it must lie somewhere; if not, maps without the coordinates y and x, such as
            those of tables, lie on a ground of pixels.

    Raises:
        ValueError: it is not a map of relevance, not complete, or has no coordinate system.
    """
    if "relevance" not in scene or not {"source", "y", "x"} <= {*scene.relevance.dims}:
        raise ValueError(
            "this takes a map of relevance with the dimensions source, y and x, as "
            f"rfp_jax.maps.relevance and rfp_jax.maps.open return; got {list(scene.variables)}"
        )
    if "sample" in scene.relevance.dims:
        raise ValueError(
            f"there are maps of {scene.sizes['sample']} samples: choose one, maps.isel(sample=0)"
        )
    if not scene.attrs.get("complete", True):
        raise ValueError(
            "the map is not complete: call rfp_jax.maps.relevance again with the same arguments, "
            "it goes on where it was"
        )
    shape = scene.sizes["y"], scene.sizes["x"]
    if not placed and not {"y", "x"} & {*scene.coords}:
        side = float(scene.attrs.get("cell", 1))
        return Ground(None, (0.0, 0.0), (side, -side), shape)
    with needs_extra("A map", extra="maps"):
        import rioxarray  # noqa: F401
    if scene.rio.crs is None:
        raise ValueError("the map has no coordinate system: scene.rio.write_crs('EPSG:...')")
    place = transform_of(scene)
    return Ground(scene.rio.crs, (place.c, place.f), (place.a, -place.e), shape)


def transform_of(data: xr.DataArray | xr.Dataset) -> Affine:
    """Return the transform that the coordinates y and x say.

    rioxarray keeps that of the file, which is another one where data were thinned or turned.

    Raises:
        ValueError: the coordinates are not evenly spaced.
    """
    kept, dims = data.rio.transform(), (data.rio.x_dim, data.rio.y_dim)
    if kept.b or kept.d or not {*dims} <= {*data.coords}:
        return kept
    x, y = (data[dim].to_numpy() for dim in dims)
    for place in (kept, data.rio.transform(recalc=True)):  # what is kept has all its bits
        across = np.abs(place.c + place.a * (np.arange(len(x)) + 0.5) - x).max()
        down = np.abs(place.f + place.e * (np.arange(len(y)) + 0.5) - y).max()
        if across <= NEAR * abs(place.a) and down <= NEAR * abs(place.e):
            return place
    raise ValueError(
        f"the coordinates {dims[1]} and {dims[0]} are not evenly spaced, or are those of one pixel "
        "and no transform says how wide it is (data.rio.write_transform)"
    )
