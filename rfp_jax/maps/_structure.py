"""Lay a network over a scene: its field, its windows, its tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Literal

import jax
import numpy as np

from rfp_jax._core.linearize import peak_bytes
from rfp_jax._util.trees import Given, Tree
from rfp_jax.maps import _tiles as tiles
from rfp_jax.maps._errors import GlobalNetworkError, SceneError
from rfp_jax.maps._explain import Network, Shapes
from rfp_jax.maps._field import Field, field
from rfp_jax.maps._scene import Scene
from rfp_jax.maps._tiles import Plan

PROBE = 128
"""About so many pixels are taken to find the field."""

UNIT = 64
"""Automatic tiles are multiples of about so many pixels."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The caller's options for windows; see `relevance`."""

    tile: int | Literal["auto"] = "auto"
    margin: int | Literal["auto"] = "auto"
    window: Pair | None = None
    blend: float | None = None
    stride: Pair | None = None
    max_bytes: int = 2**30

    def __post_init__(self) -> None:
        if self.stride is not None and (self.window is None or self.blend is not None):
            raise SceneError("stride= goes with window=, the size that the network classifies")
        if self.blend is not None and self.window is None:
            raise SceneError("blend= goes with window=, the size of the windows that overlap")


@dataclass(frozen=True)
class Structure:
    """The layout of a network over a scene.

    Attributes:
        plan: the tiles.
        field: the network's field; None for a classifier of whole windows.
        words: how, in words.
    """

    plan: Plan
    field: Field | None
    words: str


def lay(
    scene: Scene,
    network: Network,
    bands: tuple[int, ...],
    windows: Windows,
    cost: Callable[..., Tree],
) -> Structure:
    """Choose the tiles of a map.

    Args:
        scene: the sources.
        network: what explains them.
        bands: bands of each source, as the network sees it.
        windows: what the caller asks for.
        cost: the function of (params, inputs, constants) whose memory counts.

    Raises:
        SceneError, GlobalNetworkError: the network cannot be laid over the scene so.
    """
    size = scene.grid.shape
    ratios = [layer.source.ratio for layer in scene.layers]
    ratio = lcm(*ratios)

    def shapes(height: int, width: int, batch: int = 1) -> Shapes:
        return input_shapes(scene, bands, (height, width), batch)

    if windows.stride is not None and windows.window is not None:
        tile = 256 if windows.tile == "auto" else windows.tile
        axes = [
            tiles.patches(n, w, s, tile)
            for n, w, s in zip(size, windows.window, windows.stride, strict=True)
        ]
        return Structure(Plan(*axes), None, "patches")
    if windows.window is not None:
        for w, n in zip(windows.window, size, strict=True):
            tiles.check_fits(n, w)
            if w % ratio:
                raise SceneError(f"window={windows.window} must be a multiple of the ratio {ratio}")
        found = _field_of(network, shapes(*windows.window), ratios)
        if windows.blend is not None:
            tile = 512 if windows.tile == "auto" else windows.tile
            axes = [
                tiles.blended(n, w, windows.blend, min(tile, n))
                for n, w in zip(size, windows.window, strict=True)
            ]
            return Structure(Plan(*axes), found, f"blended, overlap {windows.blend}")
        if found.is_global:
            if windows.margin == "auto":
                raise SceneError(
                    "the network depends on its whole window, so its tiles do not equal the whole "
                    "scene: say how much is left out of each window at its edges (margin=, in "
                    "pixels, 0 for nothing), or that windows overlap and are averaged (blend=)"
                )
            axes = [
                tiles.fixed(n, w, windows.margin) for n, w in zip(size, windows.window, strict=True)
            ]
            return Structure(Plan(*axes), found, "trimmed, windows of the network's own size")
    else:
        found = _local_field(network, shapes, size, ratios)
    stride = lcm(found.stride[0], ratio), lcm(found.stride[1], ratio)
    margins = _margins(found, windows.margin)
    if windows.window is not None:
        side = [
            _largest(n, w, m, s)
            for n, w, m, s in zip(size, windows.window, margins, stride, strict=True)
        ]
    elif windows.tile == "auto":
        side = _fitting(
            network, shapes, size, margins, stride, max_bytes=windows.max_bytes, cost=cost
        )
    else:
        side = [windows.tile] * 2
        for s in stride:
            if windows.tile % s and windows.tile < max(size):
                raise SceneError(
                    f"tile={windows.tile} must be a multiple of the network's stride {s}"
                )
    axes = [
        tiles.trimmed(n, t, *m, s) for n, t, m, s in zip(size, side, margins, stride, strict=True)
    ]
    return Structure(Plan(*axes), found, "trimmed, equal to the whole scene")


def input_shapes(scene: Scene, bands: tuple[int, ...], window: Pair, batch: int) -> Shapes:
    """The shapes of a batch of windows of all sources."""
    found = []
    for layer, count in zip(scene.layers, bands, strict=True):
        height, width = (n // layer.source.ratio for n in window)
        each = {"b": batch, "y": height, "x": width, "c": count}
        found.append(tuple(each[dim] for dim in layer.dims))
    return tuple(jax.ShapeDtypeStruct(shape, np.float32) for shape in found)


def count_outputs(scene: Scene, network: Network, bands: tuple[int, ...], windows: Windows) -> int:
    """Return how many outputs the network has at a pixel.

    Raises:
        SceneError: it does not take such sources, or its output does not lie on their pixels.
    """
    ratios = [layer.source.ratio for layer in scene.layers]
    window = windows.window or _probe(scene.grid.shape, ratios)
    try:
        return network.outputs(input_shapes(scene, bands, window, 1))
    except (TypeError, ValueError) as error:
        if isinstance(error, SceneError):
            raise
        given = [list(s.shape) for s in input_shapes(scene, bands, window, 1)]
        raise SceneError(
            f"the network does not take sources of shape {given} ({error}): check their bands "
            "(rfp_jax.maps.Source(bands=)). If it takes multiples of some size alone, pad inside "
            "the network and cut its output; if it takes one size alone, say so with window="
        ) from error


def _field_of(network: Network, shapes: Shapes, ratios: Sequence[int]) -> Field:
    def fun(params: Tree, *inputs: Given) -> Given:
        return network.fun(params, *inputs, *network.constants)

    return field(fun, network.params, shapes, dims=network.dims, ratios=ratios)


def _probe(size: Pair, ratios: Sequence[int]) -> Pair:
    """A small part of the scene, mostly at the scene's phase of every stride."""
    unit = lcm(UNIT, *ratios)
    height, width = (n if n <= PROBE + unit else n % unit + PROBE + unit for n in size)
    return height, width


def _local_field(
    network: Network, shapes: Callable[..., Shapes], size: Pair, ratios: Sequence[int]
) -> Field:
    """The field of a network without windows of its own."""
    small = _probe(size, ratios)
    while True:
        found = _field_of(network, shapes(*small), ratios)
        if found.is_global:
            raise GlobalNetworkError(found.operations)
        phase = tuple((n - s) % k for n, s, k in zip(size, small, found.stride, strict=True))
        if phase == (0, 0):
            return found
        small = small[0] + phase[0], small[1] + phase[1]


def _margins(found: Field, margin: int | str) -> tuple[Pair, Pair]:
    top, bottom, left, right = found.margins
    if isinstance(margin, int):
        if margin < max(found.margins):
            raise SceneError(
                f"margin={margin} is less than the network looks: {found.margins} pixels at top, "
                "bottom, left and right; leave margin= out"
            )
        return (margin, margin), (margin, margin)
    return (top, bottom), (left, right)


def _largest(size: int, window: int, margins: Pair, stride: int) -> int:
    """The largest tile of windows of a given size.

    Raises:
        SceneError: the size does not go with the scene's, or nothing of a window is left.
    """
    if (size - window) % stride:
        raise SceneError(
            f"windows of {window} pixels do not go with a scene of {size}: the network's stride is "
            f"{stride}, so the sizes must differ by a multiple of it. Choose "
            f"{window + (size - window) % stride}, or a region= of "
            f"{size - (size - window) % stride} pixels"
        )
    if window == size:
        return size
    lead = -(-margins[0] // stride) * stride
    if (tile := (window - lead - margins[1]) // stride * stride) < 1:
        raise SceneError(
            f"margins of {margins[0]} and {margins[1]} pixels leave nothing of a window of "
            f"{window}: choose a larger window="
        )
    return tile


def _fitting(
    network: Network,
    shapes: Callable[..., Shapes],
    size: Pair,
    margins: tuple[Pair, Pair],
    stride: Pair,
    *,
    max_bytes: int,
    cost: Callable[..., Tree],
) -> list[int]:
    """The largest square tiles whose windows fit in memory, by the program's own values."""
    unit = [s * -(-UNIT // s) for s in stride]

    def plan(count: int) -> tuple[list[int], Pair]:
        side = [count * u for u in unit]
        window = tuple(
            tiles.trimmed(n, t, *m, s).window
            for n, t, m, s in zip(size, side, margins, stride, strict=True)
        )
        return side, (window[0], window[1])

    def fits(count: int) -> bool:
        given = shapes(*plan(count)[1])
        closed = jax.make_jaxpr(cost)(network.params, list(given), network.constants)
        return peak_bytes(closed.jaxpr) <= max_bytes

    least, most = 1, max(-(-n // u) for n, u in zip(size, unit, strict=True))
    if not fits(least):
        raise SceneError(
            f"a window of {plan(1)[1]} pixels does not fit max_bytes={max_bytes:,}: give more"
        )
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return plan(least)[0]
