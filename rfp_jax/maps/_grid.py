"""The grid of a scene: where its pixels are on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.trees import Json
from rfp_jax.maps._errors import SceneError

with needs_extra("Maps of relevance", extra="maps"):
    from affine import Affine
    from rasterio.crs import CRS
    from rioxarray.rioxarray import affine_to_coords

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top, in the units of a coordinate system."""


@dataclass(frozen=True)
class Grid:
    """North-up pixels of one size.

    Attributes:
        crs: the coordinate system.
        transform: from (column, row) to (x, y) of pixel corners.
        height, width: pixels.
    """

    crs: CRS
    transform: Affine
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def resolution(self) -> tuple[float, float]:
        """Width and height of a pixel."""
        return self.transform.a, -self.transform.e

    @property
    def bounds(self) -> Bounds:
        """The outer edges of the pixels."""
        left, top = self.transform * (0, 0)
        right, bottom = self.transform * (self.width, self.height)
        return left, bottom, right, top

    @property
    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates y and x of pixel centers, those that rioxarray gives."""
        coords = affine_to_coords(self.transform, self.width, self.height)
        return coords["y"], coords["x"]

    def same_as(self, other: Grid) -> bool:
        """Tell whether pixels coincide, to a thousandth of a pixel over the whole scene."""
        if self.crs != other.crs or self.shape != other.shape:
            return False
        near = 1e-3 * min(self.resolution)
        return bool(np.allclose(self.bounds, other.bounds, rtol=0, atol=near))

    def coarser(self, ratio: int) -> Grid:
        """The grid whose pixels are `ratio` times as wide.

        Raises:
            SceneError: the grid has no whole number of such pixels.
        """
        if self.height % ratio or self.width % ratio:
            raise SceneError(
                f"a scene of {self.height} x {self.width} pixels has no whole number of pixels "
                f"{ratio} times as wide: choose region= so that {ratio} divides its size"
            )
        wider = self.transform * Affine.scale(ratio)
        return Grid(self.crs, wider, self.height // ratio, self.width // ratio)

    def strided(self, window: tuple[int, int], stride: tuple[int, int]) -> Grid:
        """The grid of windows, each a pixel as wide as the stride around the window's center."""
        each = zip(self.shape, window, stride, strict=True)
        rows, columns = ((n - w) // s + 1 for n, w, s in each)
        corner = Affine.translation((window[1] - stride[1]) / 2, (window[0] - stride[0]) / 2)
        transform = self.transform * corner * Affine.scale(stride[1], stride[0])
        return Grid(self.crs, transform, rows, columns)

    def part(self, rows: slice, columns: slice) -> Grid:
        """Some rows and columns of the grid."""
        moved = self.transform * Affine.translation(columns.start, rows.start)
        return Grid(self.crs, moved, rows.stop - rows.start, columns.stop - columns.start)

    def pixels(self, region: Bounds) -> tuple[slice, slice]:
        """The rows and columns that a region touches.

        Raises:
            SceneError: the region is not (left, bottom, right, top), or lies outside.
        """
        try:
            left, bottom, right, top = map(float, region)
        except (TypeError, ValueError):
            raise SceneError(
                f"region must be (left, bottom, right, top) in the reference's coordinate system, "
                f"got {region}"
            ) from None
        near = 1e-6  # of a pixel: a bound on an edge touches one side alone
        x0, y0 = ~self.transform * (left, top)
        x1, y1 = ~self.transform * (right, bottom)
        rows = slice(max(floor(y0 + near), 0), min(ceil(y1 - near), self.height))
        columns = slice(max(floor(x0 + near), 0), min(ceil(x1 - near), self.width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise SceneError(
                f"region={region} holds no pixel of the reference, which covers {self.bounds} "
                "(left, bottom, right, top) in its coordinate system; give the region likewise"
            )
        return rows, columns

    def spatial_ref(self) -> dict[str, Json]:
        """The attributes of `spatial_ref`, as rioxarray and GDAL read them."""
        import xarray as xr

        empty = xr.Dataset().rio.write_crs(self.crs).rio.write_transform(self.transform)
        return dict(empty.spatial_ref.attrs)


def grid_of(name: str, crs: CRS | None, transform: Affine, height: int, width: int) -> Grid:
    """Return the grid of a raster.

    Args:
        name: the source, for messages.
        crs: its coordinate system.
        transform: its transform.
        height: its rows.
        width: its columns.

    Raises:
        SceneError: it has none, or is rotated; says what to do.
    """
    if crs is None:
        raise SceneError(
            f"source {name!r} has no coordinate system: write one to it (rioxarray's "
            "data.rio.write_crs('EPSG:32633')), or convert it with gdal_translate -a_srs"
        )
    if transform.b or transform.d:
        raise SceneError(
            f"source {name!r} lies on a rotated grid {tuple(transform)[:6]}: warp it to a north-up "
            "grid first (gdalwarp)"
        )
    if transform.a <= 0 or transform.e >= 0:
        raise SceneError(
            f"source {name!r} has pixels of {transform.a} x {transform.e}; x must ascend and y "
            "descend: sort it by its coordinates, or warp it (gdalwarp)"
        )
    return Grid(CRS.from_user_input(crs), transform, height, width)
