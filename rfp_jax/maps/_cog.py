"""Cloud-optimized GeoTIFFs of a map, for GDAL, QGIS and everything built on them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

import numpy as np

from rfp_jax._util.classes import classes_of
from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import atomic_files
from rfp_jax._util.ground import transform_of
from rfp_jax._util.parts import source_names
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._file import bounded_cache
from rfp_jax.maps._layout import VOID
from rfp_jax.maps._share import share

if TYPE_CHECKING:
    import xarray as xr
    from affine import Affine

BLOCK = 512
"""Pixels a side of a block of a GeoTIFF."""


@dataclass(frozen=True)
class _File:
    """A GeoTIFF to write.

    Attributes:
        name: its name without suffix.
        bands: descriptions of its bands.
        read: returns some rows of all bands, [band, y, x].
    """

    name: str
    bands: tuple[str, ...]
    read: Callable[[slice], np.ndarray]

    @property
    def has_classes(self) -> bool:
        """Tell whether the values are numbers of classes."""
        return self.name == "prediction"


def to_cog(scene: xr.Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write a map as cloud-optimized GeoTIFFs.

    `prediction.tif` has a palette, class names (beside it, in `prediction.tif.aux.xml` for GDAL and
    `prediction.qml` for QGIS) and overviews of the most frequent class. `output.tif`,
    `relevance.tif` and `share.tif` have a band for each class or source, float32, NaN where there
    is no data, statistics, and overviews of means. Where classes were chosen, each has its own
    `relevance_CLASS.tif` and `share_CLASS.tif`. The map is read block row by block row.

    Args:
        scene: a map, from `relevance` or `open`; or a part of one.
        folder: where to put the files; made if it is not there.

    Returns:
        The GeoTIFFs that were written.

    Raises:
        SceneError: it is not a map with a place.
        ValueError: its coordinates are not evenly spaced.
        FileExistsError: one of the files is there already.
        OSError: the disk is full, for instance; files that are complete stay.
    """
    with needs_extra("Writing GeoTIFFs", extra="maps"):
        import rioxarray  # noqa: F401
    if "relevance" not in scene or scene.rio.crs is None:
        raise SceneError("to_cog() takes a map of relevance with a coordinate system (scene.rio)")
    target, place = Path(folder), transform_of(scene)
    files = list(_files(scene))
    paths = [target / f"{file.name}.tif" for file in files]
    if there := [str(path) for path in paths if path.exists()]:
        raise FileExistsError(f"{', '.join(there)} exist already: choose another folder")
    target.mkdir(parents=True, exist_ok=True)
    with bounded_cache():
        for file, path in zip(files, paths, strict=True):
            _write(scene, file, path, place)
    return paths


def _files(scene: xr.Dataset) -> Iterator[_File]:
    """Everything that is written of a map."""
    if "prediction" in scene:
        yield _File("prediction", ("predicted class",), lambda rows: _rows(scene.prediction, rows))
    explained = "class" in scene.dims
    outputs = tuple(map(str, scene["class"].values)) if explained else ("output",)
    yield _File("output", outputs, lambda rows: _rows(scene.output, rows))
    words = ["_" + re.sub(r"[^\w.-]+", "_", name) for name in outputs] if explained else [""]
    if len(set(words)) < len(words):
        words = [f"_{i}{word}" for i, word in enumerate(words)]
    for i, word in enumerate(words):
        of_class = scene.isel({"class": i}) if explained else scene
        yield from _of_sources(of_class, word)


def _of_sources(scene: xr.Dataset, suffix: str) -> Iterator[_File]:
    names = tuple(map(str, scene.source.values))
    yield _File(f"relevance{suffix}", names, lambda rows: _rows(scene.relevance, rows))
    sources = tuple(source_names(scene))
    yield _File(f"share{suffix}", sources, lambda rows: _rows(share(scene.isel(y=rows)), None))


def _rows(array: xr.DataArray, rows: slice | None) -> np.ndarray:
    values = (array if rows is None else array.isel(y=rows)).to_numpy()
    return values.reshape(-1, *values.shape[-2:])


def _write(scene: xr.Dataset, file: _File, path: Path, place: Affine) -> None:
    """Write blocks to a plain GeoTIFF beside, and that as a cloud-optimized one with its words."""
    import rasterio
    from rasterio.shutil import copy
    from rasterio.windows import Window

    height, width = scene.sizes["y"], scene.sizes["x"]
    plain = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(file.bands),
        "dtype": "uint8" if file.has_classes else "float32",
        "crs": scene.rio.crs,
        "transform": place,
        "nodata": VOID if file.has_classes else float("nan"),
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "band",
        "bigtiff": "if_safer",
        "num_threads": "all_cpus",
    }
    with atomic_files(path.parent) as folder, tempfile.TemporaryDirectory(dir=folder) as scratch:
        draft, ready = Path(scratch) / "draft.tif", folder / path.name
        with rasterio.open(draft, "w", **plain) as raster:
            raster.descriptions = file.bands
            if file.has_classes:
                raster.write_colormap(1, _palette(scene))
            for start in range(0, height, BLOCK):
                rows = slice(start, min(start + BLOCK, height))
                window = Window.from_slices(rows, slice(0, width))
                raster.write(file.read(rows).astype(plain["dtype"]), window=window)
        copy(draft, ready, driver="COG", **_options(file))
        if file.has_classes:
            _name_classes(scene, ready)


def _options(file: _File) -> dict[str, str]:
    """Options of GDAL's driver of cloud-optimized GeoTIFFs."""
    return {
        "compress": "deflate",
        "predictor": "standard" if file.has_classes else "floating_point",
        "blocksize": str(BLOCK),
        "overview_resampling": "mode" if file.has_classes else "average",
        "overview_compress": "deflate",
        "overview_predictor": "standard" if file.has_classes else "floating_point",
        "statistics": "no" if file.has_classes else "yes",
        "bigtiff": "if_safer",
        "num_threads": "all_cpus",
    }


def _classes(scene: xr.Dataset) -> list[tuple[int, str, str]]:
    """Number, name and color of each class."""
    return [(each.number, each.name, each.color) for each in classes_of(scene)]


def _palette(scene: xr.Dataset) -> dict[int, tuple[int, int, int, int]]:
    found = {VOID: (0, 0, 0, 0)}
    for value, _, color in _classes(scene):
        red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
        found[value] = red, green, blue, 255
    return found


def _name_classes(scene: xr.Dataset, path: Path) -> None:
    """Write class names where GDAL and QGIS look for them; a GeoTIFF has no place for them."""
    classes = _classes(scene)
    root = Xml.Element("PAMDataset")
    names = Xml.SubElement(Xml.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for _, name, _ in classes:
        Xml.SubElement(names, "Category").text = name
    Xml.indent(root)
    Xml.ElementTree(root).write(f"{path}.aux.xml", encoding="unicode")
    style = Xml.Element("qgis", version="3.28")
    renderer = Xml.SubElement(
        Xml.SubElement(style, "pipe"), "rasterrenderer", type="paletted", band="1", opacity="1"
    )
    palette = Xml.SubElement(renderer, "colorPalette")
    for value, name, color in classes:
        entry = {"value": str(value), "label": name, "color": color, "alpha": "255"}
        Xml.SubElement(palette, "paletteEntry", entry)
    Xml.indent(style)
    text = Xml.tostring(style, encoding="unicode")
    path.with_suffix(".qml").write_text(f"<!DOCTYPE qgis>\n{text}\n")
