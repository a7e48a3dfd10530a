"""A map as data that a page holds: JSON of facts, and compressed arrays."""

from __future__ import annotations

import base64
import gzip
import io
from math import floor, log2
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.classes import classes_of, explained
from rfp_jax._util.coarse import frequent
from rfp_jax._util.colors import BIAS_COLOR, source_colors
from rfp_jax._util.extras import needs_extra
from rfp_jax._util.ground import Ground
from rfp_jax._util.parts import BIAS, source_names
from rfp_jax._util.trees import Json
from rfp_jax.maps._true_color import true_color

with needs_extra("A page of a map", extra="maps"):
    from rfp_jax.plot import RELEVANCE_COLORS
    from rfp_jax.plot._colors import FAINTEST, opaque

if TYPE_CHECKING:
    import xarray as xr

LARGEST = 2.0**15
"""Values are scaled to below this, by a power of two: float16 ends at 65504."""

PERCENTILE = 99
"""So many percent of a class's relevance are within its scale of colors."""


def packed(values: np.ndarray) -> dict[str, Json]:
    """An array as the page reads it: base64 of gzip of its little-endian bytes.

    Examples:
        >>> packed(np.zeros((2, 3), np.uint8))["shape"]
        [2, 3]
    """
    stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    text = base64.b64encode(gzip.compress(stored.tobytes(), 6, mtime=0)).decode()
    return {"dtype": values.dtype.name, "shape": list(values.shape), "bytes": text}


def facts(scene: xr.Dataset, ground: Ground) -> dict[str, Json]:
    """Return the facts that the page knows of a map beside its cells.

    Raises:
        ValueError: there are more sources than colors.
    """
    names = [str(name) for name in scene.source.values]
    colors = {**source_colors(source_names(scene)), BIAS: BIAS_COLOR}
    nodes = ground.nodes()
    assert ground.crs is not None  # it has nodes
    return {
        "crs": ground.crs.to_string(),
        "bounds": list(ground.bounds),
        "meters": ground.meters,
        "aspect": 1 / ground.aspect,
        "degrees": packed(nodes),
        "nodes": nodes.shape[-1],
        "sources": [{"name": name, "color": colors[name]} for name in names],
        "classes": [{"name": each.name, "color": each.color} for each in classes_of(scene)],
        "explained": explained(scene),
        "diverging": opaque(RELEVANCE_COLORS, 65),
        "faintest": FAINTEST,
    }


def view(cells: xr.Dataset, name: str) -> dict[str, Json]:
    """Cells as the page reads them; `parts` [class, source, y, x] are float16 times `scale`."""
    parts = cells.relevance.to_numpy().astype(np.float64)
    parts = parts.reshape(-1, *parts.shape[-3:])
    largest = np.abs(parts[np.isfinite(parts)]).max(initial=0)
    scale = 2.0 ** floor(log2(LARGEST / largest)) if largest > 0 else 1.0
    found = {
        "name": name,
        "cell": cells.attrs["cell"],
        "shape": list(parts.shape[-2:]),
        "bounds": list(cells.rio.bounds()),
        "scale": scale,
        "parts": packed((parts * scale).astype(np.float16)),
    }
    if "prediction" in cells:
        purity = np.round(cells.purity.to_numpy() * 255).astype(np.uint8)
        found |= {"best": packed(cells.prediction.to_numpy()), "purity": packed(purity)}
    return found


def limits(cells: xr.Dataset) -> list[float]:
    """For each class that is explained, the relevance that has the full color."""
    parts = np.abs(cells.relevance.to_numpy())
    known = [each[np.isfinite(each)] for each in parts.reshape(-1, *parts.shape[-3:])]
    found = [float(np.percentile(each, PERCENTILE)) if each.size else 1.0 for each in known]
    return [each or 1.0 for each in found]


def pictures(scene: xr.Dataset, rgb: Json, ground: Ground, side: int) -> dict[str, Json]:
    """The true colors (WebP) and the predicted classes, at most `side` pixels a side."""
    factor = -(-max(ground.shape) // side)
    found: dict[str, Json] = {}
    if rgb is not None:
        found["picture"] = webp(true_color(scene, rgb, side=side))
    if "prediction" in scene:
        found["prediction"] = packed(frequent(scene.prediction, factor)[0])
    return {**found, "pictureBounds": list(ground.coarser(factor).bounds)}


def webp(image: np.ndarray) -> str:
    """An image [y, x, 4] as a data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
