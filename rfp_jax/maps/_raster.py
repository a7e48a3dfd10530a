"""Rasters, opened: a file or an array, read window by window, also on another grid."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._grid import Grid, grid_of
from rfp_jax.maps._source import Source

with needs_extra("Maps of relevance", extra="maps"):
    import rasterio
    import rioxarray  # noqa: F401
    import xarray as xr
    from pyproj import Transformer
    from pyproj.exceptions import ProjError
    from rasterio.enums import Resampling
    from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
    from rasterio.io import MemoryFile
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import calculate_default_transform
    from rasterio.windows import Window

CACHE = 2**28
"""Bytes of blocks that GDAL keeps; by itself it takes a twentieth of the machine's memory."""

BLOCK, ROWS = 1 << 22, 512
"""Bytes and rows that are read at once."""


class Raster(Protocol):
    """A raster that can be read."""

    @property
    def grid(self) -> Grid: ...
    @property
    def tags(self) -> Tags: ...
    @property
    def centres(self) -> tuple[np.ndarray, np.ndarray]: ...
    def read(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]: ...
    def onto(self, grid: Grid, resampling: str) -> Raster: ...
    def digest(self) -> str: ...


@dataclass(frozen=True)
class Tags:
    """What a raster says of itself.

    Attributes:
        bands: descriptions of the bands, "" where there is none.
        dtype: the dtype of its values.
        nodata: what stands for "missing", or None.
        scales, offsets: per band.
    """

    bands: tuple[str, ...]
    dtype: np.dtype[Any]
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]

    @property
    def has_scale(self) -> bool:
        """Whether a scale or an offset is not trivial."""
        return any(s != 1 for s in self.scales) or any(o != 0 for o in self.offsets)


def open_raster(name: str, source: Source) -> Raster:
    """Open a source's data.

    Raises:
        SceneError: they cannot be used; says why and what to do.
    """
    if isinstance(source.data, str | os.PathLike):
        return _open_file(name, os.fspath(source.data), source)
    if isinstance(source.data, xr.DataArray | xr.Dataset):
        return _open_array(name, source.data, source)
    raise SceneError(
        f"source {name!r} must be a path, an xarray DataArray or Dataset, or rfp_jax.maps.Source, "
        f"got {type(source.data).__name__}"
    )


@contextlib.contextmanager
def bounded_cache() -> Iterator[None]:
    """Let GDAL keep no more than `CACHE` bytes of blocks."""
    with rasterio.Env(GDAL_CACHEMAX=CACHE):
        yield


def missing(values: np.ndarray, nodata: float | None) -> np.ndarray:
    """Which pixels of [band, y, x] have a band that is missing."""
    found = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if nodata is not None and not np.isnan(nodata):
        found |= values == nodata
    return np.asarray(found.any(0))


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
    """

    name: str
    path: str
    grid: Grid
    tags: Tags
    bands: tuple[int, ...]
    warp: dict[str, Any] | None = None
    keep: Any = None
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def read(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Read rows and columns of all bands; returns [band, y, x], and where data are valid."""
        window = Window.from_slices(rows, columns)
        try:
            opened = self._opened()
            values = opened.read(self.bands, window=window)
            valid = ~missing(values, self.tags.nodata)
            if self.warp and self.warp.get("add_alpha"):
                valid &= opened.read(opened.count, window=window) == 255
        except RasterioError as error:
            raise SceneError(
                f"source {self.name!r} cannot be read at rows {rows.start} to {rows.stop}, columns "
                f"{columns.start} to {columns.stop} ({error}): the file {self.path} may be cut off "
                "or damaged; get it again"
            ) from error
        return values, valid

    @property
    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates y and x of pixel centres."""
        return self.grid.centres

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
        options: dict[str, Any] = {
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
        given = {"add_alpha": True} if nodata is None else {"src_nodata": nodata, "nodata": nodata}
        return FileRaster(
            self.name, self.path, grid, self.tags, self.bands, {**options, **given}, self.keep
        )

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

    def _opened(self) -> Any:
        if not hasattr(self._local, "opened"):
            opened = rasterio.open(self.path)
            self._local.opened = opened if self.warp is None else WarpedVRT(opened, **self.warp)
        return self._local.opened


@dataclass
class ArrayRaster:
    """An xarray DataArray [band, y, x], in memory or read when it is asked for.

    Attributes:
        name: the source, for messages.
        data: the array.
        grid: its pixels.
        tags: what it says of itself.
    """

    name: str
    data: xr.DataArray
    grid: Grid
    tags: Tags

    def read(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Read rows and columns of all bands; returns [band, y, x], and where data are valid."""
        values = self.data.isel(y=rows, x=columns).to_numpy()
        return values, ~missing(values, self.tags.nodata)

    @property
    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates y and x of pixel centres, those of the array itself."""
        y, x = (self.data[dim] if dim in self.data.coords else None for dim in ("y", "x"))
        return self.grid.centres if y is None or x is None else (y.to_numpy(), x.to_numpy())

    def onto(self, grid: Grid, resampling: str) -> Raster:
        """Warp to a grid; the array is copied to memory for that."""
        memory, bands = MemoryFile(), range(1, len(self.data) + 1)
        with memory.open(
            driver="GTiff",
            height=self.grid.height,
            width=self.grid.width,
            count=len(bands),
            dtype=self.tags.dtype,
            crs=self.grid.crs,
            transform=self.grid.transform,
            nodata=self.tags.nodata,
        ) as file:
            for band in bands:
                file.write(self.data[band - 1].to_numpy(), band)
        raster = FileRaster(self.name, memory.name, self.grid, self.tags, tuple(bands), keep=memory)
        return raster.onto(grid, resampling)

    def digest(self) -> str:
        """SHA-256 of the values, row of blocks by row of blocks."""
        digest = hashlib.sha256()
        for start in range(0, self.grid.height, ROWS):
            part = self.data.isel(y=slice(start, start + ROWS)).to_numpy()
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def _open_file(name: str, path: str, source: Source) -> FileRaster:
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
            bands = _chosen(name, source.bands, words)
            nodata = file.nodata if source.nodata is None else source.nodata
            tags = Tags(
                tuple(words[b] for b in bands),
                np.result_type(*(file.dtypes[b] for b in bands)),
                nodata,
                tuple(file.scales[b] for b in bands),
                tuple(file.offsets[b] for b in bands),
            )
    except RasterioIOError as error:
        raise SceneError(f"source {name!r} cannot be opened: {error}") from error
    return FileRaster(name, path, grid, tags, tuple(b + 1 for b in bands))


def _open_array(name: str, data: xr.DataArray | xr.Dataset, source: Source) -> ArrayRaster:
    if isinstance(data, xr.Dataset):
        found = data.rio.vars if source.bands is None else [str(band) for band in source.bands]
        if unknown := [band for band in found if band not in data]:
            raise SceneError(f"source {name!r} has no variable {unknown}; it has {list(data)}")
        array = xr.concat([data[band].drop_attrs() for band in found], "band")
        array = array.assign_coords(band=list(found)).assign_attrs(_first_attrs(data, found))
        source = Source(data, None, nodata=source.nodata)
        array = array.rio.write_crs(data.rio.crs)
    else:
        array = data
    if "time" in array.dims and array.sizes["time"] == 1:
        array = array.squeeze("time", drop=True)
    y, x = array.rio.y_dim, array.rio.x_dim
    others = [str(dim) for dim in array.dims if dim not in (x, y)]
    if len(others) > 1 or (others and others[0] in ("time", "date")):
        raise SceneError(
            f"source {name!r} has the dimensions {list(array.dims)}; one of bands beside y and x "
            "is understood: choose one time, or stack times as bands (data.stack(band=[...]))"
        )
    if array.sizes[y] > 1 and y in array.coords and array[y][0] < array[y][-1]:
        array = array.isel({y: slice(None, None, -1)})  # north is up
    array = array.expand_dims("band") if not others else array.rename({others[0]: "band"})
    array = array.rename({y: "y", x: "x"}).transpose("band", "y", "x")
    words = [str(word) for word in array.band.values] if "band" in array.coords else []
    long = array.attrs.get("long_name", ())
    words = list(map(str, long)) if isinstance(long, tuple | list) else words
    words = words if len(words) == len(array) else [""] * len(array)
    bands = _chosen(name, source.bands, words)
    nodata = array.rio.nodata if source.nodata is None else source.nodata
    transform = array.rio.transform()
    grid = grid_of(name, array.rio.crs, transform, array.sizes["y"], array.sizes["x"])
    scale = float(array.attrs.get("scale_factor", 1))
    offset = float(array.attrs.get("add_offset", 0))
    tags = Tags(
        tuple(words[b] for b in bands),
        array.dtype,
        None if nodata is None else float(nodata),
        (scale,) * len(bands),
        (offset,) * len(bands),
    )
    return ArrayRaster(name, array.isel(band=list(bands)), grid, tags)


def _first_attrs(data: xr.Dataset, names: Sequence[Any]) -> dict[str, Any]:
    """What all variables say alike of scale and nodata.

    Raises:
        SceneError: they do not say the same.
    """
    found: dict[str, Any] = {}
    for key in ("scale_factor", "add_offset", "_FillValue"):
        said = {data[name].attrs.get(key) for name in names}
        if len(said) > 1:
            raise SceneError(f"the variables {list(names)} have different {key}: {said}")
        if (value := said.pop()) is not None:
            found[key] = value
    return found


def _chosen(name: str, wanted: Sequence[int | str] | None, words: Sequence[str]) -> tuple[int, ...]:
    """Positions of the bands that were asked for."""
    if wanted is None:
        return tuple(range(len(words)))
    found = []
    for band in wanted:
        place = (
            band - 1
            if isinstance(band, int)
            else next((i for i, word in enumerate(words) if word == band), -1)
        )
        if not 0 <= place < len(words):
            raise SceneError(
                f"source {name!r} has no band {band!r}; it has 1 to {len(words)}, called "
                f"{list(words)}"
            )
        found.append(place)
    return tuple(found)


def _check_overlap(name: str, source: Grid, grid: Grid) -> None:
    """Refuse a source that is not where the reference is, or has no way there."""
    try:
        way = Transformer.from_crs(source.crs.to_wkt(), grid.crs.to_wkt(), always_xy=True)
        left, bottom, right, top = way.transform_bounds(*source.bounds)
    except ProjError as error:
        raise SceneError(
            f"there is no way from source {name!r} in {source.crs.to_string()} to the reference in "
            f"{grid.crs.to_string()} ({error}): give it its true coordinate system"
        ) from error
    if not np.isfinite([left, bottom, right, top]).all() or left > right:
        raise SceneError(
            f"source {name!r} wraps around the edge of {grid.crs}: cut it at the meridian first"
        )
    there = grid.bounds
    if right <= there[0] or left >= there[2] or top <= there[1] or bottom >= there[3]:
        raise SceneError(
            f"source {name!r} does not overlap the reference: it covers "
            f"{tuple(round(v, 6) for v in (left, bottom, right, top))} (left, bottom, right, top) "
            f"in {grid.crs}, the reference {there}: check that both show the same place"
        )


def _method(name: str) -> Resampling:
    try:
        return Resampling[name]
    except KeyError:
        known = ", ".join(each.name for each in Resampling)
        raise SceneError(f"resampling={name!r} is not known; GDAL knows {known}") from None
