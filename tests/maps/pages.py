"""Maps for tests of pictures and pages, and what a page holds, decoded."""

import base64
import gzip
import json
import re

import numpy as np
import rioxarray  # noqa: F401
import xarray as xr
from rasters import CRS, ORIGIN

MARKUP = "<script>document.title='taken'</script>"
CLASSES = ("water", MARKUP, "built up & sealed")


def make(height=61, width=83, sources=("optical", "radar"), classes=(), seed=0, crs=CRS):
    """A map of random relevance whose parts add up; a corner and a pixel have no data."""
    draw = np.random.default_rng(seed)
    shape = (len(classes),) * bool(classes) + (len(sources) + 1, height, width)
    relevance = (draw.normal(size=shape) * np.exp(draw.normal(size=shape) * 2)).astype(np.float32)
    relevance[..., :7, :9] = np.nan
    relevance[..., 40, 50] = np.nan
    void = np.isnan(relevance).reshape(-1, height, width).any(0)
    dims = ("class",) * bool(classes)
    step = 10.0 if crs == CRS else 1e-3
    origin = ORIGIN if crs == CRS else (11.0, 48.0)
    prediction = np.where(void, 255, draw.integers(0, len(CLASSES), (height, width)))
    words = " ".join("_".join(name.split()) for name in CLASSES)
    said = {
        "flag_values": list(range(len(CLASSES))),
        "flag_meanings": words,
        "flag_colors": "#0000ff #00aa00 #ff0000",
    }
    coords = {
        "source": [*sources, "bias"],
        "y": origin[1] - step * (np.arange(height) + 0.5),
        "x": origin[0] + step * (np.arange(width) + 0.5),
    }
    coords |= {"class": list(classes)} if classes else {}
    output = relevance.astype(np.float64).sum(-3).astype(np.float32)
    variables = {
        "relevance": ((*dims, "source", "y", "x"), relevance),
        "output": ((*dims, "y", "x"), output),
        "prediction": (("y", "x"), prediction.astype(np.uint8), said),
    }
    return xr.Dataset(
        variables, coords, {"complete": 1, "classes": json.dumps(CLASSES)}
    ).rio.write_crs(crs)


def blocks(values, factor):
    """Means of blocks over what is known: the slow definition."""
    height, width = (-(-n // factor) for n in values.shape[-2:])
    found = np.full((*values.shape[:-2], height, width), np.nan)
    for i in range(height):
        for j in range(width):
            block = values[..., i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            block = block.reshape(*values.shape[:-2], -1).astype(np.float64)
            known = np.isfinite(block)
            if known.any():
                found[..., i, j] = np.nansum(block, -1) / known.sum(-1)
    return found


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def array_of(stored):
    raw = gzip.decompress(base64.b64decode(stored["bytes"]))
    return np.frombuffer(raw, np.dtype(stored["dtype"]).newbyteorder("<")).reshape(stored["shape"])


def parts_of(view):
    """Parts [class, source, y, x] of a view."""
    return array_of(view["parts"]).astype(np.float64) / view["scale"]
