"""Inspect the sources of a scene, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rfp_jax._util.trees import Given
from rfp_jax.maps._scene import Layer, Prepare, Scene, open_scene
from rfp_jax.maps._source import as_source

SIDE, BLOCKS = 256, 4
"""The sample: so many blocks a side, spread over the scene, of so many pixels a side."""


@dataclass(frozen=True)
class SourceFacts:
    """Facts about a source.

    Attributes:
        name: its name.
        bands: descriptions of its bands.
        dtype: dtype of the stored values.
        crs: its coordinate system.
        size: rows and columns.
        resolution: width and height of a pixel, in the units of the coordinate system.
        nodata: what stands for "missing".
        scales, offsets: the tags, per band.
        is_copied: whether it lies on the reference's grid; else it is warped.
        missing: the part of the sampled pixels that is missing.
        mean, std: of each band as the network sees it, after `prepare`, over what is not missing.
    """

    name: str
    bands: tuple[str, ...]
    dtype: str
    crs: str
    size: tuple[int, int]
    resolution: tuple[float, float]
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    is_copied: bool
    missing: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Inspection:
    """Facts about the sources of a scene; printed as a table.

    Attributes:
        reference: the source whose grid the map has.
        sources: the sources.
        sampled: the part of the scene that was read.
    """

    reference: str
    sources: tuple[SourceFacts, ...]
    sampled: float

    def __str__(self) -> str:
        lines = []
        for source in self.sources:
            role = (
                "reference"
                if source.name == self.reference
                else ("same grid" if source.is_copied else "warped")
            )
            tags = [f"nodata {source.nodata}"]
            if set(source.scales) != {1.0} or set(source.offsets) != {0.0}:
                tags.append(f"scale {_short(source.scales)} offset {_short(source.offsets)}")
            height, width = source.size
            lines += [
                f"{source.name} ({role}): {len(source.bands)} x {height} x {width} {source.dtype}, "
                f"{source.crs}, {source.resolution[0]:g} x {source.resolution[1]:g}",
                f"  {', '.join(tags)}; missing {source.missing:.1%}",
            ]
            bands = source.bands
            if len(source.mean) != len(bands):  # `prepare` made other ones
                bands = [f"prepared {i + 1}" for i in range(len(source.mean))]
            each = zip(bands, source.mean, source.std, strict=True)
            lines += [f"  {name or '-'}: mean {m:.6g}, std {d:.6g}" for name, m, d in each]
        return "\n".join(lines)


def inspect(
    sources: Mapping[str, Given],
    *,
    reference: str | None = None,
    prepare: Prepare | Mapping[str, Prepare] | None = None,
) -> Inspection:
    """Look at the sources of a scene: grids, coordinate systems, tags, and what the network sees.

    Means and deviations should be near those that the network was trained on: where they are not,
    a scale, an offset or an order of bands is wrong. A sample of 16 blocks is read; values are as
    they are stored, unless a source says `scale=` itself.

    Args:
        sources: see `relevance`.
        reference: see `relevance`.
        prepare: see `relevance`.

    Returns:
        What is known; `print` shows it.

    Raises:
        SceneError: sources do not fit one another; names the source and what to do.
    """
    given = {name: as_source(value) for name, value in sources.items()}
    scene = open_scene(given, reference=reference, prepare=prepare, scale="raw")
    spans = _blocks(scene)
    facts = tuple(_facts(scene, layer, spans) for layer in scene.layers)
    area = sum((y.stop - y.start) * (x.stop - x.start) for y, x in spans)
    return Inspection(scene.reference, facts, area / (scene.grid.height * scene.grid.width))


def _blocks(scene: Scene) -> list[tuple[slice, slice]]:
    """Blocks spread over the scene, that do not overlap."""
    unit = int(np.lcm.reduce([layer.source.ratio for layer in scene.layers]))
    axes = []
    for n in scene.grid.shape:
        side = max(min(SIDE, n // BLOCKS) // unit, 1) * unit
        starts = np.linspace(0, n - side, BLOCKS).astype(int) // unit * unit
        whole = [slice(0, n)] if n <= SIDE else [slice(s, s + side) for s in sorted({*starts})]
        axes.append([slice(int(s.start), int(s.stop)) for s in whole])
    return [(y, x) for y in axes[0] for x in axes[1]]


def _facts(scene: Scene, layer: Layer, spans: list[tuple[slice, slice]]) -> SourceFacts:
    count = pixels = 0
    total = squares = np.zeros(())
    for rows, columns in spans:
        values, valid = layer.read(rows, columns)
        there = values[valid].astype(np.float64)
        total, squares = total + there.sum(0), squares + (there**2).sum(0)
        count, pixels = count + len(there), pixels + valid.size
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count if count else total * np.nan
        std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    tags, grid = layer.raster.tags, layer.grid
    return SourceFacts(
        layer.name,
        tags.bands,
        str(tags.dtype),
        grid.crs.to_string(),
        grid.shape,
        grid.resolution,
        tags.nodata,
        tags.scales,
        tags.offsets,
        not layer.is_warped,
        1 - count / pixels,
        tuple(np.atleast_1d(mean).tolist()),
        tuple(np.atleast_1d(std).tolist()),
    )


def _short(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else str(list(values))
