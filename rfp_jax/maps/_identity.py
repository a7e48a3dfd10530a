"""The identity of a map: program, parameters, data, grid, and the layout of its windows."""

from __future__ import annotations

import hashlib

import numpy as np

from rfp_jax._runs import fingerprint
from rfp_jax._util.trees import Json
from rfp_jax.maps._explain import Compiled, Network
from rfp_jax.maps._layout import Layout, flat
from rfp_jax.maps._scene import SAMPLE, Layer, Scene
from rfp_jax.maps._structure import Structure


def identity(
    scene: Scene,
    network: Network,
    layout: Layout,
    structure: Structure,
    compiled: Compiled,
    *,
    resampling: str,
) -> dict[str, Json]:
    """Return what must be the same for a run to go on with a map; flat attributes.

    Args:
        scene: the sources.
        network: the network.
        layout: the variables.
        structure: the tiles.
        compiled: the program.
        resampling: how sources are warped, where they do not say themselves.
    """
    explained = network.explain(layout.chosen)
    field, plan = structure.field, structure.plan
    seen = None
    if field is not None:
        margins = "none" if field.is_global else list(field.margins)
        seen = {"margins": margins, "stride": list(field.stride)}
        seen |= {"operations": list(map(str, field.operations))}
    words = {
        "title": "Relevance of every pixel",
        "versions": fingerprint.versions(),
        "program": fingerprint.hash_program(
            explained, network.params, list(compiled.shapes), network.constants
        ),
        "parameters": fingerprint.hash_parameters(network.params),
        "constants": fingerprint.hash_parameters(network.constants),
        "rules": fingerprint.describe(network.rules),
        "bias": network.bias,
        "explained": "argmax" if layout.chosen is None else layout.explained,
        "classes": list(layout.classes),
        "colors": list(layout.colors),
        "data": {layer.name: _digest(layer) for layer in scene.layers},
        "sources": {layer.name: _source(layer, resampling) for layer in scene.layers},
        "prepared": _prepared(scene),
        "reference": scene.reference,
        "crs": scene.grid.crs.to_string(),
        "transform": list(scene.grid.transform)[:6],
        "size": list(scene.grid.shape),
        "nodata": scene.nodata if isinstance(scene.nodata, str) else list(scene.nodata),
        "zero_reference": "a missing pixel, which the network sees as `fill` after `prepare`",
        "field": seen or "windows are classified as a whole",
        "windows": structure.words,
        "window": list(plan.window),
        "tile": list(plan.tile),
        "chunk": list(layout.chunk),
    }
    return flat(words)


def _digest(layer: Layer) -> str:
    """A digest of a source's data, and of its mask."""
    mask = "" if layer.mask is None else f"+{layer.mask.digest()}"
    return f"{layer.raster.digest()}{mask}"


def _source(layer: Layer, resampling: str) -> dict[str, Json]:
    scale = layer.scale
    return {
        "bands": list(layer.raster.tags.bands),
        "nodata": str(layer.raster.tags.nodata),
        "scale": "raw" if scale is None else [np.ravel(part).tolist() for part in scale],
        "fill": layer.fill,
        "ratio": layer.source.ratio,
        "masked": layer.mask is not None,
        "warped": (layer.source.resampling or resampling) if layer.is_warped else "copied",
    }


def _prepared(scene: Scene) -> str:
    """A digest of what the network sees in the middle of the scene: `prepare` has no other name."""
    digest = hashlib.sha256()
    ratios = [layer.source.ratio for layer in scene.layers]
    unit = int(np.lcm.reduce(ratios))
    spans = []
    for n in scene.grid.shape:
        start = (n - min(n, SAMPLE)) // 2 // unit * unit
        spans.append(slice(start, start + max(min(n - start, SAMPLE) // unit, 1) * unit))
    inputs, _ = scene.read(*spans)
    for values in inputs:
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
