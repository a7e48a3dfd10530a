"""A map in a table: the area of each class, and the share of each source there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.ground import ground_of
from rfp_jax._util.parts import shares, source_names
from rfp_jax.maps._layout import VOID, names_in

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

ROWS = 512
"""Rows of a map that are read at once."""


@dataclass(frozen=True)
class Summary:
    """Numbers of a map for each class.

    Attributes:
        classes: their names; one, "output", where no class is predicted.
        sources: names of the sources.
        pixels: of each class.
        area: of each class, in square meters; None where pixels are degrees.
        shares: [class, source], the ratio of sums of |relevance|; NaN where there is no pixel.
        void: pixels without a result.
    """

    classes: tuple[str, ...]
    sources: tuple[str, ...]
    pixels: np.ndarray
    area: np.ndarray | None
    shares: np.ndarray
    void: int

    def table(self) -> Table:
        """The summary for a terminal."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        table.add_column("class")
        table.add_column("pixels" if self.area is None else "km²", justify="right")
        for name in self.sources:
            table.add_column(name, justify="right")
        for i, name in enumerate(self.classes):
            size = f"{self.pixels[i]:,}" if self.area is None else f"{self.area[i] / 1e6:,.2f}"
            shares = [f"{s:.1%}" if np.isfinite(s) else "" for s in self.shares[i]]
            table.add_row(name, size, *shares)
        return table


def summarize(scene: xr.Dataset) -> Summary:
    """Return what a map says of each class, read row of chunks by row of chunks."""
    import xarray as xr

    names = source_names(scene)
    predicted = "prediction" in scene
    classes = names_in(scene) if predicted else ["output"]
    pixels = np.zeros(len(classes), np.int64)
    sums = np.zeros((len(classes), len(names)))
    void, explained = 0, _explained(scene, classes)
    for start in range(0, scene.sizes["y"], ROWS):
        part = scene.isel(y=slice(start, start + ROWS))
        best = part.prediction.to_numpy() if predicted else np.where(part.output.isnull(), VOID, 0)
        void += int((best == VOID).sum())
        pixels += np.bincount(best[best != VOID].ravel(), minlength=len(classes))
        for i, name in enumerate(names):
            for place, classes_of in explained.items():
                relevance = part.relevance.isel(source=i)
                of_class = relevance if place is None else relevance.isel({"class": place})
                sizes = np.nan_to_num(abs(of_class.to_numpy()).astype(np.float64))
                for k in classes_of:
                    sums[k, names.index(name)] += sizes[best == k].sum()
    ground = ground_of(scene)
    width, height = (abs(step) * ground.meters for step in ground.resolution)
    area = None if scene.rio.crs.is_geographic else pixels * width * height
    shared = shares(xr.DataArray(sums, {"source": names}, ("class", "source"))).to_numpy()
    shared[pixels == 0] = np.nan
    return Summary(tuple(classes), tuple(names), pixels, area, shared, void)


def _explained(scene: xr.Dataset, classes: list[str]) -> dict[int | None, list[int]]:
    """For each place along `class`, or None, the classes whose relevance is there."""
    if "class" not in scene.dims:
        return {None: list(range(len(classes)))}
    names = map(str, scene["class"].values)
    return {i: [classes.index(name)] for i, name in enumerate(names) if name in classes}
