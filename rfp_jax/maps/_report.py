"""A map as one HTML file, to look at and to click."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import rfp_jax
from rfp_jax._util.classes import classes_of
from rfp_jax._util.coarse import cells
from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import atomic_file
from rfp_jax._util.ground import Ground, ground_of
from rfp_jax._util.pages import digest, render, resource
from rfp_jax._util.trees import Given, Json
from rfp_jax.maps._errors import SceneError
from rfp_jax.maps._grid import Bounds, Grid
from rfp_jax.maps._summary import summarize

if TYPE_CHECKING:
    import xarray as xr

_PAGE = "rfp_jax.maps._page"
"""The package with the template, its styles and its scripts."""

PICTURE, PARTS, LEAST = 1500, 384, 16
"""Most pixels of pictures, and most and fewest cells of parts, a side."""

SLACK = 2000
"""Bytes for what is not known before: limits of colors, the words for a cell."""


def report(
    scene: xr.Dataset,
    path: str | os.PathLike[str],
    rgb: Given = None,
    max_bytes: int = 15_000_000,
    *,
    title: str = "Relevance",
    windows: Mapping[str, Bounds] | None = None,
) -> None:
    """Write a map as a page: pan, zoom, and click a cell to see what its outputs are made of.

    The page is one file; it shows everything without a network, and asks none for anything. Parts
    are in cells, block means over pixels: at most 384 a side, fewer where `max_bytes` asks for it.
    They are float16, with a relative error below 5e-4, and a cell's output is shown as their sum.

    Args:
        scene: a complete map, from `relevance` or `open`, or a part of one.
        path: the HTML file to write; it appears when it is complete.
        rgb: red, green and blue of the ground, as sources are given: a path, a DataArray, or a
            `maps.Source` whose `bands` names them.
        max_bytes: the most bytes of the file.
        title: title of the page.
        windows: names to (left, bottom, right, top) in the map's coordinate system: there the page
            has every pixel.

    Raises:
        SceneError: `rgb` or a window does not fit the map, or `max_bytes` is too small for what is
            asked for.
        ValueError: it is not a complete map with a coordinate system, or there are more sources
            than colors.
    """
    with needs_extra("A page of a map", extra="maps"):
        import jinja2  # noqa: F401
    from rfp_jax.maps import _embed as embed

    ground = ground_of(scene)
    grid = Grid(ground.crs, ground.transform, *ground.shape)
    shown = embed.facts(scene, ground)
    near = [
        embed.view(_window(scene, grid, name, bounds), name)
        for name, bounds in (windows or {}).items()
    ]
    frame = _Frame.of(scene, title)
    room = max_bytes - len(frame.render({**shown, "views": near}))
    shown |= _pictures(scene, rgb, ground, room // 2)
    room = max_bytes - len(frame.render({**shown, "views": near}))
    whole = cells(scene, _side(scene, room, max_bytes))
    shown |= {"views": [embed.view(whole, ""), *near], "limits": embed.limits(whole)}
    text = frame.render(shown, _meaning(whole, grid))
    with atomic_file(Path(path)) as draft:
        draft.write_bytes(text)


@dataclass(frozen=True)
class _Frame:
    """Parts of a page beside its data.

    Attributes:
        words: what stands in the template.
    """

    words: Mapping[str, Json]

    @classmethod
    def of(cls, scene: xr.Dataset, title: str) -> _Frame:
        """The frame of a map: its table of shares, styles and scripts."""
        from markupsafe import Markup

        summary = summarize(scene)
        colors = {each.name: each.color for each in classes_of(scene)}
        area = summary.area
        rows = [
            {
                "name": name,
                "color": colors.get(name, ""),
                "size": f"{summary.pixels[k]:,}" if area is None else f"{area[k] / 1e6:,.3g}",
                "shares": [f"{s:.1%}" if np.isfinite(s) else "" for s in summary.shares[k]],
            }
            for k, name in enumerate(summary.classes)
        ]
        facts = [f"{scene.sizes['y']:,} × {scene.sizes['x']:,} pixels", scene.rio.crs.to_string()]
        facts += [f"rules {scene.attrs['rules']}"] if "rules" in scene.attrs else []
        facts += [f"{summary.void:,} pixels without data"] if summary.void else []
        scripts = {"leaflet_js": resource(_PAGE, "leaflet.js"), "js": resource(_PAGE, "page.js")}
        styles = {"leaflet_css": resource(_PAGE, "leaflet.css"), "css": resource(_PAGE, "page.css")}
        return cls(
            {
                "title": title,
                "facts": facts,
                "sources": summary.sources,
                "unit": "pixels" if area is None else "km²",
                "shares": rows,
                "version": rfp_jax.__version__,
                "license": resource(_PAGE, "LICENSE"),
                "hashes": [digest(each) for each in scripts.values()],
                **{name: Markup(text) for name, text in {**styles, **scripts}.items()},
            }
        )

    def render(self, data: Mapping[str, Json], meaning: str = "") -> bytes:
        """The page as it is written; `meaning` says what a cell is."""
        words = {**self.words, "data": data, "meaning": meaning}
        return render(_PAGE, "template.html", **words).encode()


def _window(scene: xr.Dataset, grid: Grid, name: str, bounds: Bounds) -> xr.Dataset:
    """Every pixel of a window.

    Raises:
        SceneError: there is none.
    """
    try:
        rows, columns = grid.pixels(bounds)
    except (SceneError, TypeError, ValueError) as error:
        raise SceneError(
            f"window {name!r} is {bounds}: give (left, bottom, right, top) in {grid.crs}, inside "
            f"{grid.bounds}"
        ) from error
    return cells(scene.isel(y=rows, x=columns), max(grid.shape))


def _pictures(scene: xr.Dataset, rgb: Json, ground: Ground, room: int) -> dict[str, Json]:
    """Pictures that fit."""
    from rfp_jax.maps import _embed as embed

    side = PICTURE
    while side >= LEAST:
        found = embed.pictures(scene, rgb, ground, side)
        if sum(len(str(each)) for each in found.values()) <= room:
            return found
        side = side * 2 // 3
    raise SceneError(
        f"max_bytes leaves {max(room, 0):,} bytes for pictures, too few: give more, or name "
        "smaller windows="
    )


def _side(scene: xr.Dataset, room: int, max_bytes: int) -> int:
    """The most cells a side whose bytes fit, even where nothing can be compressed."""
    parts = scene.relevance.size // (scene.sizes["y"] * scene.sizes["x"])
    each = 2 * parts + 2  # float16; class and purity
    for side in range(PARTS, LEAST - 1, -1):
        factor = -(-max(scene.sizes["y"], scene.sizes["x"]) // side)
        count = -(-scene.sizes["y"] // factor) * -(-scene.sizes["x"] // factor)
        if count * each * 4 / 3 * 1.001 + SLACK <= room:
            return side
    raise SceneError(
        f"max_bytes={max_bytes:,} leaves {max(room, 0):,} bytes for cells, too few for {LEAST} x "
        f"{LEAST} of {parts} parts: give more, or name smaller windows="
    )


def _meaning(whole: xr.Dataset, grid: Grid) -> str:
    """Say in words what a cell is."""
    factor = whole.attrs["cell"]
    across, down = grid.resolution
    named = {"metre": "m"}.get(grid.crs.linear_units, grid.crs.linear_units)
    unit = "°" if grid.crs.is_geographic else f" {named}"
    size = f"{across * factor:.6g} × {down * factor:.6g}{unit}"
    if factor == 1:
        return f"A cell is one pixel of the map ({size})."
    whose = (
        "of each class"
        if "class" in whole.dims
        else "of the class that is predicted at each pixel"
        if "prediction" in whole
        else ""
    )
    return (
        f"A cell is {factor} × {factor} pixels ({size}). Its parts are means over those of its "
        f"pixels that have data, of the relevance {whose}, so they add up to the mean output. Its "
        "share of a source is |mean relevance| over the sum of all sources; its class is the most "
        "frequent one."
    )
