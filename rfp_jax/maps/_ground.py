"""Where the pixels of a map lie: in its coordinate system, in metres, in degrees."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, radians
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._grid import Grid

with needs_extra("Maps of relevance", extra="maps"):
    import rioxarray  # noqa: F401
    from affine import Affine
    from pyproj import Transformer

if TYPE_CHECKING:
    import xarray as xr

DEGREE = 6_371_008.8 * pi / 180
"""Metres of a degree on a sphere of the earth's mean radius."""


@dataclass(frozen=True)
class Ground:
    """The ground below a map.

    Attributes:
        grid: its pixels.
    """

    grid: Grid

    @property
    def name(self) -> str:
        """The coordinate system, such as "EPSG:32633"."""
        return self.grid.crs.to_string()

    @property
    def metres(self) -> float:
        """How many metres a unit of x is, at the middle of the map."""
        if not self.grid.crs.is_geographic:
            return float(self.grid.crs.linear_units_factor[1])
        _, bottom, _, top = self.grid.bounds
        return DEGREE * max(cos(radians((bottom + top) / 2)), 0.01)

    def degrees(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude (WGS 84) of points of the coordinate system."""
        way = Transformer.from_crs(self.grid.crs.to_wkt(), "EPSG:4326", always_xy=True)
        longitude, latitude = way.transform(x, y)
        return np.asarray(longitude), np.asarray(latitude)

    def nodes(self, count: int = 33) -> np.ndarray:
        """Longitude and latitude at count x count nodes from the top left, [2, y, x].

        Between nodes both are bilinear, to less than a metre for scenes of 100 km.
        """
        left, bottom, right, top = self.grid.bounds
        x, y = np.meshgrid(np.linspace(left, right, count), np.linspace(top, bottom, count))
        return np.stack(self.degrees(x, y))

    def coarser(self, factor: int) -> Ground:
        """The ground in cells of `factor` x `factor` pixels; the last ones may reach beyond."""
        grid = self.grid
        height, width = (-(-n // factor) for n in grid.shape)
        return Ground(Grid(grid.crs, grid.transform * Affine.scale(factor), height, width))


def ground_of(scene: xr.Dataset) -> Ground:
    """Return where a map lies.

    Raises:
        SceneError: it is no map of relevance, or has no coordinate system.
    """
    if "relevance" not in scene or not {"source", "y", "x"} <= {*scene.relevance.dims}:
        raise SceneError(
            "this takes a map of relevance with the dimensions source, y and x, as "
            f"rfp_jax.maps.relevance and rfp_jax.maps.open return; got {list(scene.variables)}"
        )
    if not scene.attrs.get("complete", True):
        raise SceneError(
            "the map is not complete: call rfp_jax.maps.relevance again with the same arguments, "
            "it goes on where it was"
        )
    if scene.rio.crs is None:
        raise SceneError("the map has no coordinate system: scene.rio.write_crs('EPSG:...')")
    height, width = scene.sizes["y"], scene.sizes["x"]
    return Ground(Grid(scene.rio.crs, scene.rio.transform(recalc=True), height, width))
