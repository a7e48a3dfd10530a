"""Rasters in xarray, in memory or read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.ground import transform_of
from rfp_jax._util.trees import Given
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._file import FileRaster
from rfp_jax.maps._grid import Grid, grid_of
from rfp_jax.maps._source import Source
from rfp_jax.maps._tags import ROWS, Raster, Tags, missing, places_of

with needs_extra("Maps of relevance", extra="maps"):
    import rioxarray  # noqa: F401
    import xarray as xr
    from rasterio.io import MemoryFile
    from rioxarray.exceptions import MissingSpatialDimensionError


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
    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates y and x of pixel centers, those of the array itself."""
        y, x = (self.data[dim] if dim in self.data.coords else None for dim in ("y", "x"))
        return self.grid.centers if y is None or x is None else (y.to_numpy(), x.to_numpy())

    def onto(self, grid: Grid, resampling: str) -> Raster:
        """Warp to a grid; the array is copied to memory for that."""
        memory, bands = MemoryFile(), range(1, len(self.data) + 1)
        known = {"bool": "uint8", "float16": "float32"}  # GDAL has neither
        dtype = known.get(self.tags.dtype.name, self.tags.dtype.name)
        with memory.open(
            driver="GTiff",
            photometric="minisblack",  # else the last of four bands of bytes is one of alpha
            height=self.grid.height,
            width=self.grid.width,
            count=len(bands),
            dtype=dtype,
            crs=self.grid.crs,
            transform=self.grid.transform,
        ) as file:
            for band in bands:
                file.write(self.data[band - 1].to_numpy().astype(dtype), band)
        raster = FileRaster(self.name, memory.name, self.grid, self.tags, tuple(bands), keep=memory)
        return raster.onto(grid, resampling)

    def digest(self) -> str:
        """SHA-256 of the values, row of blocks by row of blocks."""
        digest = hashlib.sha256()
        for start in range(0, self.grid.height, ROWS):
            part = self.data.isel(y=slice(start, start + ROWS)).to_numpy()
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def open_array(name: str, data: xr.DataArray | xr.Dataset, source: Source) -> ArrayRaster:
    if isinstance(data, xr.Dataset):
        found = data.rio.vars if source.bands is None else [str(band) for band in source.bands]
        if unknown := [band for band in found if band not in data]:
            raise SceneError(f"source {name!r} has no variable {unknown}; it has {list(data)}")
        array = xr.concat([data[band].drop_attrs() for band in found], "band")
        array = array.assign_coords(band=list(found)).assign_attrs(_first_attrs(data, found))
        source = replace(source, bands=None)
        array = array.rio.write_crs(data.rio.crs)
    else:
        array = data
    has_dates = "t" in source.dims
    if "time" in array.dims and array.sizes["time"] == 1 and not has_dates:
        array = array.squeeze("time", drop=True)
    try:
        y, x = array.rio.y_dim, array.rio.x_dim
    except MissingSpatialDimensionError:
        raise SceneError(
            f"source {name!r} has the dimensions {list(array.dims)}, and none is known as y and x: "
            "rename them (data.rename(lat='y', lon='x'))"
        ) from None
    others = [str(dim) for dim in array.dims if dim not in (x, y, "time")]
    if len(others) > 1 or ("time" in array.dims and not has_dates):
        raise SceneError(
            f"source {name!r} has the dimensions {list(array.dims)}; one of bands beside y and x "
            "is understood, and one named 'time' if the network takes dates and it is declared "
            "(rfp_jax.maps.Source(data, dims='btcyx')): else choose one time, or stack times as "
            "bands (data.stack(band=[...]))"
        )
    if array.sizes[y] > 1 and y in array.coords and array[y][0] < array[y][-1]:
        array = array.isel({y: slice(None, None, -1)})  # north is up
    array = array.expand_dims("band") if not others else array.rename({others[0]: "band"})
    array = array.rename({y: "y", x: "x"}).transpose(..., "band", "y", "x")
    words = [str(word) for word in array.band.values] if "band" in array.coords else []
    long = array.attrs.get("long_name")  # as rioxarray reads the descriptions of a file
    words = list(map(str, long)) if isinstance(long, tuple | list) else words
    words = words if len(words) == array.sizes["band"] else [""] * array.sizes["band"]
    bands = places_of(name, source.bands, words)
    array, words = array.isel(band=list(bands)), [words[band] for band in bands]
    times = source.times or array.sizes.get("time", 1)
    if "time" in array.dims:
        words = [f"{word} {date}".strip() for date in _dates(array) for word in words]
        dates = range(array.sizes["time"])
        array = xr.concat([array.isel(time=i, drop=True) for i in dates], "band")
    nodata = array.rio.nodata if source.nodata is None else source.nodata
    try:
        transform = transform_of(array)
    except ValueError as error:
        raise SceneError(f"source {name!r}: {error}") from None
    grid = grid_of(name, array.rio.crs, transform, array.sizes["y"], array.sizes["x"])
    scale = float(array.attrs.get("scale_factor", 1))
    offset = float(array.attrs.get("add_offset", 0))
    tags = Tags(
        tuple(words),
        array.dtype,
        None if nodata is None else float(nodata),
        (scale,) * len(words),
        (offset,) * len(words),
        times,
    )
    return ArrayRaster(name, array, grid, tags)


def _dates(array: xr.DataArray) -> list[str]:
    """Names of the dates: days where the axis of time says them, else numbers from 1."""
    if "time" not in array.coords:
        return [str(i + 1) for i in range(array.sizes["time"])]
    values = array["time"].to_numpy()
    is_day = values.dtype.kind == "M"
    return [str(v) for v in (values.astype("datetime64[D]") if is_day else values)]


def _first_attrs(data: xr.Dataset, names: Sequence[Hashable]) -> dict[str, Given]:
    """Return the attributes for scale and nodata on which all variables agree.

    Raises:
        SceneError: they do not say the same.
    """
    found: dict[str, Given] = {}
    for key in ("scale_factor", "add_offset", "_FillValue"):
        said = {data[name].attrs.get(key) for name in names}
        if len(said) > 1:
            raise SceneError(f"the variables {list(names)} have different {key}: {said}")
        if (value := said.pop()) is not None:
            found[key] = value
    return found
