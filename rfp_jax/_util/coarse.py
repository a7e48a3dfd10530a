"""A map in fewer, larger cells: block means, which keep sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util import shapes
from rfp_jax._util.ground import ground_of

if TYPE_CHECKING:
    import xarray as xr

VOID = 255
"""The prediction of a scene where there is none; of a sample of a table it is -1."""

ROWS = 1024
"""About so many rows of a map are read at once."""


def cells(scene: xr.Dataset, side: int) -> xr.Dataset:
    """Return a map in cells of equal size, at most `side` of them a side.

    A cell is the mean over its pixels that have data: sum over pixels R_s / pixels. The mean is
    linear, so the parts of a cell still add up to its output. Where the map explains the predicted
    class, pixels of one cell may speak of different classes; `purity` says how many speak of
    `prediction`.

    Args:
        scene: a map, of a scene or of one sample of a table; it is read some rows at a time.
        side: the most cells from left to right, and from top to bottom.

    Returns:
        `relevance` and `output` with the dimensions of the map, float32; `count`, pixels with data;
        `prediction` (y, x), the most frequent class, and `purity`, the part of the cell's pixels
        that it has. The attribute `cell` is the number of pixels that a cell is wide.

    Raises:
        ValueError: it is not a map, or not complete.
    """
    import xarray as xr

    ground = ground_of(scene, placed=False)
    factor = -(-max(ground.shape) // side)
    coarse = ground.coarser(factor)
    relevance = scene.relevance.transpose(..., "source", "y", "x")
    output = scene.output.transpose(..., "y", "x")
    parts = np.zeros((*relevance.shape[:-2], *coarse.shape))
    sums = np.zeros((*output.shape[:-2], *coarse.shape))
    counts = np.zeros_like(sums)
    for rows, into in _strips(ground.shape[0], factor):
        for place in np.ndindex(output.shape[:-2]):  # a class at a time: little memory
            values = relevance[place].isel(y=rows).to_numpy()
            outputs = output[place].isel(y=rows).to_numpy()
            known = np.isfinite(values).all(0) & np.isfinite(outputs)
            parts[(*place, slice(None), into)] = block_sums(np.where(known, values, 0), factor)
            sums[(*place, into)] = block_sums(np.where(known, outputs, 0), factor)
            counts[(*place, into)] = block_sums(known, factor)
    with np.errstate(invalid="ignore"):
        parts, sums = parts / counts[..., None, :, :], sums / counts
    found = xr.Dataset(
        {
            "relevance": (relevance.dims, parts.astype(np.float32), scene.relevance.attrs),
            "output": (output.dims, sums.astype(np.float32), scene.output.attrs),
            "count": (output.dims, counts.astype(np.int64)),
        },
        {name: scene[name] for name in ("source", "class") if name in scene.coords},
        {**scene.attrs, "cell": factor * scene.attrs.get("cell", 1)},
    )
    if "prediction" in scene:
        best, purity = frequent(scene.prediction, factor)
        found["prediction"] = ("y", "x"), best, scene.prediction.attrs
        found["purity"] = ("y", "x"), purity
    if coarse.crs is None:
        return found
    y, x = coarse.centers
    placed = found.assign_coords(y=("y", y), x=("x", x)).rio.write_crs(coarse.crs)
    return placed.rio.write_transform(coarse.transform)  # of one cell nothing else says the size


def frequent(prediction: xr.DataArray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the most frequent class of each block, and its part of the pixels that have one.

    Args:
        prediction: classes [y, x], uint8, or int16 from -1.
        factor: pixels that a block is wide.

    Returns:
        Classes, 255 or -1 where no pixel has one; and parts from 0 to 1, float32.
    """
    height, width = (-(-n // factor) for n in prediction.shape)
    void = VOID if prediction.dtype.kind == "u" else -1
    best = np.full((height, width), void, prediction.dtype)
    purity = np.zeros((height, width), np.float32)
    for rows, into in _strips(prediction.shape[0], factor):
        values = prediction.isel(y=rows).to_numpy()
        known = block_sums(values != void, factor)
        most = np.zeros(known.shape)
        for value in np.unique(values[values != void]):
            count = block_sums(values == value, factor)
            best[into][count > most] = value
            most = np.maximum(most, count)
        purity[into] = most / np.maximum(known, 1)
    return best, purity


def block_sums(
    values: shapes.Shaped[np.ndarray, "*parts y x"], factor: int
) -> shapes.Float[np.ndarray, "*parts -(-y//{factor}) -(-x//{factor})"]:
    """Sum blocks of `factor` x `factor` pixels, float64; the last ones have what there is.

    Examples:
        >>> block_sums(np.ones((3, 5)), 2)
        array([[4., 4., 2.],
               [2., 2., 1.]])
    """
    for axis in (-1, -2):
        edges = np.arange(0, values.shape[axis], factor)
        values = np.add.reduceat(values, edges, axis=axis, dtype=np.float64)
    return values


def _strips(height: int, factor: int) -> Iterator[tuple[slice, slice]]:
    """Rows of pixels to read, whole blocks, and the rows of cells that they become."""
    many = max(ROWS // factor, 1)
    for first in range(0, -(-height // factor), many):
        yield (
            slice(first * factor, min((first + many) * factor, height)),
            slice(first, first + many),
        )
