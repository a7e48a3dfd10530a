"""Rasters in files that GDAL reads, window by window, also on another grid."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.rasters import alpha_of
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._grid import Bounds, Grid, grid_of
from rfp_jax.maps._source import Source
from rfp_jax.maps._tags import ROWS, Raster, Tags, missing, places_of

with needs_extra("Maps of relevance", extra="maps"):
    import rasterio
    from pyproj import Transformer
    from pyproj.exceptions import ProjError
    from rasterio.enums import ColorInterp, MaskFlags, Resampling
    from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import calculate_default_transform
    from rasterio.windows import Window

CACHE = 2**28
"""Bytes of blocks that GDAL keeps; by itself it takes a twentieth of the machine's memory."""

BLOCK = 1 << 22
"""Bytes of a file that are hashed at once."""


@contextlib.contextmanager
def bounded_cache() -> Iterator[None]:
    """Let GDAL keep no more than `CACHE` bytes of blocks."""
    with rasterio.Env(GDAL_CACHEMAX=CACHE):
        yield


@dataclass
class FileRaster:
    """A file that GDAL reads; each thread has a handle of its own.

    Attributes:
        name: the source, for messages.
        path: the file.
        grid: its pixels, or those it is warped to.
        tags: what it says of itself.
        bands: which of its bands are read.
        warp: options of `WarpedVRT`; None to read the file as it is.
        is_masked: whether it has a mask beside its bands.
        alpha: its alpha band, if it has one.
    """

    name: str
    path: str
    grid: Grid
    tags: Tags
    bands: tuple[int, ...]
    warp: dict[str, object] | None = None
    keep: object = None
    is_masked: bool = False
    alpha: int | None = None
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def read(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Read rows and columns of all bands; returns [band, y, x], and where data are valid."""
        window = Window.from_slices(rows, columns)
        try:
            opened = self._opened()
            values = opened.read(self.bands, window=window)
            valid = ~missing(values, self.tags.nodata)
            if self._mask_band is not None:
                valid &= opened.read(self._mask_band, window=window) != 0
            if self.is_masked and self.warp is None:
                valid &= (opened.read_masks(self.bands, window=window) != 0).all(0)
            if self.warp and (self.is_masked or self.warp.get("add_alpha")):
                covered = opened if self.warp.get("add_alpha") else self._covered()
                valid &= covered.read(covered.count, window=window) == 255
        except RasterioError as error:
            raise SceneError(
                f"source {self.name!r} cannot be read at rows {rows.start} to {rows.stop}, columns "
                f"{columns.start} to {columns.stop} ({error}): the file {self.path} may be cut off "
                "or damaged; get it again"
            ) from error
        return values, valid

    @property
    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates y and x of pixel centers."""
        return self.grid.centers

    def onto(self, grid: Grid, resampling: str) -> Raster:
        """Warp to a grid, all of it, so that a window is a part of the whole to the last bit.

        The scales are fixed: GDAL else takes them from the window that is read.
        """
        source = self.grid
        _check_overlap(self.name, source, grid)
        transform, _, _ = calculate_default_transform(
            source.crs, grid.crs, source.width, source.height, *source.bounds
        )
        natural = Grid(grid.crs, transform, 1, 1).resolution
        if source.crs == grid.crs:
            natural = source.resolution
        (across, down), own = grid.resolution, self.tags
        wide = own.dtype.kind == "f" or own.dtype.itemsize > 2
        options: dict[str, object] = {
            "crs": grid.crs,
            "transform": grid.transform,
            "width": grid.width,
            "height": grid.height,
            "resampling": _method(resampling),
            "dtype": "float64" if wide and own.dtype != np.float32 else "float32",
            "XSCALE": repr(natural[0] / across),
            "YSCALE": repr(natural[1] / down),
        }
        nodata = float("nan") if own.nodata is None and own.dtype.kind == "f" else own.nodata
        given = {} if nodata is None else {"src_nodata": nodata, "nodata": nodata}
        if nodata is None and self._mask_band is None:
            given["add_alpha"] = True
        return replace(self, grid=grid, warp={**options, **given}, _local=threading.local())

    def digest(self) -> str:
        """SHA-256 of the file."""
        digest = hashlib.sha256()
        if not Path(self.path).is_file():  # in memory, or remote
            for start in range(0, self.grid.height, ROWS):
                rows = slice(start, min(start + ROWS, self.grid.height))
                for part in self.read(rows, slice(0, self.grid.width)):
                    digest.update(np.ascontiguousarray(part).tobytes())
            return digest.hexdigest()
        with open(self.path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def _opened(self) -> rasterio.DatasetReader | WarpedVRT:
        if not hasattr(self._local, "opened"):
            opened = rasterio.open(self.path)
            if self.warp is not None and self.alpha in self.bands:  # GDAL would weigh by it
                self._local.memory = MemoryFile(ext=".vrt")
                copy(opened, self._local.memory.name, driver="VRT")
                with rasterio.open(self._local.memory.name, "r+") as file:
                    file.colorinterp = [ColorInterp.undefined] * file.count
                opened = rasterio.open(self._local.memory.name)
            self._local.opened = opened if self.warp is None else WarpedVRT(opened, **self.warp)
        return self._local.opened

    def _covered(self) -> WarpedVRT:
        """The warped file with a last band that is 255 where all that a pixel is made of is there.

        GDAL has no such band beside a value for missing data, and from 3.12 on no mask either.
        """
        if not hasattr(self._local, "covered"):
            assert self.warp is not None
            options = {k: v for k, v in self.warp.items() if k not in ("nodata", "src_nodata")}
            self._local.covered = WarpedVRT(
                rasterio.open(self.path), **{**options, "add_alpha": True}
            )
        return self._local.covered

    @property
    def _mask_band(self) -> int | None:
        """The alpha band, where it is not read itself."""
        return None if self.alpha in self.bands else self.alpha


def open_file(name: str, path: str, source: Source) -> FileRaster:
    remote = "://" in path or path.startswith("/vsi")
    if not source.trusted and (remote or path.lower().endswith(".vrt")):
        raise SceneError(
            f"source {name!r} is a remote path or a VRT, which may read any other file: {path}; "
            f"if you trust it, pass rfp_jax.maps.Source({path!r}, trusted=True)"
        )
    try:
        with warnings.catch_warnings():  # an error says so below
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            opened = rasterio.open(path)
        with opened as file:
            if file.driver == "VRT" and not source.trusted:
                raise SceneError(
                    f"source {name!r} is a VRT, which may read any other file: {path}; if you "
                    f"trust it, pass rfp_jax.maps.Source({path!r}, trusted=True)"
                )
            if file.gcps[0] or file.rpcs:
                raise SceneError(
                    f"source {name!r} is placed by ground control points, not by a grid: warp it "
                    "first (gdalwarp)"
                )
            grid = grid_of(name, file.crs, file.transform, file.height, file.width)
            words = [file.descriptions[i] or "" for i in range(file.count)]
            bands = places_of(name, source.bands, words)
            nodata = file.nodata if source.nodata is None else source.nodata
            tags = Tags(
                tuple(words[b] for b in bands),
                np.result_type(*(file.dtypes[b] for b in bands)),
                nodata,
                tuple(file.scales[b] for b in bands),
                tuple(file.offsets[b] for b in bands),
                source.times or 1,
            )
            alpha = alpha_of(file)
            is_masked = alpha is None and MaskFlags.per_dataset in chain(*file.mask_flag_enums)
    except RasterioIOError as error:
        raise SceneError(f"source {name!r} cannot be opened: {error}") from error
    read = tuple(b + 1 for b in bands)
    return FileRaster(name, path, grid, tags, read, is_masked=is_masked, alpha=alpha)


def _check_overlap(name: str, source: Grid, grid: Grid) -> None:
    """Refuse a source that is not where the reference is, or has no way there."""
    there, here = source.crs.to_wkt(), grid.crs.to_wkt()
    try:
        left, bottom, right, top = _bounds(there, here, source)
        west, _, east, _ = _bounds(here, there, grid)
    except ProjError as error:
        raise SceneError(
            f"there is no way from source {name!r} in {source.crs.to_string()} to the reference in "
            f"{grid.crs.to_string()} ({error}): give it its true coordinate system"
        ) from error
    if not np.isfinite([left, bottom, right, top]).all() or left > right:
        raise SceneError(
            f"source {name!r} wraps around the edge of {grid.crs}: cut it at the meridian first"
        )
    if west > east:
        raise SceneError(
            f"the reference wraps around the edge of {source.crs}, the system of source {name!r}: "
            "warp it to the system of the reference first (gdalwarp), or cut the reference at the "
            "meridian"
        )
    covered = grid.bounds
    if right <= covered[0] or left >= covered[2] or top <= covered[1] or bottom >= covered[3]:
        raise SceneError(
            f"source {name!r} does not overlap the reference: it covers "
            f"{tuple(round(v, 6) for v in (left, bottom, right, top))} (left, bottom, right, top) "
            f"in {grid.crs}, the reference {covered}: check that both show the same place"
        )


def _bounds(crs: str, other: str, grid: Grid) -> Bounds:
    """The bounds of a grid in another coordinate system; the left one is greater where it wraps."""
    return Transformer.from_crs(crs, other, always_xy=True).transform_bounds(*grid.bounds)


def _method(name: str) -> Resampling:
    try:
        return Resampling[name]
    except KeyError:
        known = ", ".join(each.name for each in Resampling)
        raise SceneError(f"resampling={name!r} is not known; GDAL knows {known}") from None
