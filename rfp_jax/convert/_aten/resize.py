"""Resizing of maps: each output pixel is a weighted sum of a few input pixels, per axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax.convert._aten.broadcast import Operation, along


class Taps(NamedTuple):
    """`y[i] = sum_k weights[i, k] x[places[i, k]]`, both [output, taps]."""

    places: np.ndarray
    weights: np.ndarray


Kernel = Callable[[int, int, float | None, bool], Taps]
"""(input size, output size, scale factor, align_corners) to taps."""


def _ratio(size: int, wanted: int, factor: float | None) -> float:
    """Return how many input pixels an output pixel measures."""
    return size / wanted if not factor else 1 / factor


def _coordinates(size: int, wanted: int, factor: float | None, corners: bool) -> np.ndarray:
    """Return the coordinates of the output pixels' centers among those of the input."""
    if corners:
        return np.arange(wanted) * ((size - 1) / max(wanted - 1, 1))
    return (np.arange(wanted) + 0.5) * _ratio(size, wanted, factor) - 0.5


def nearest(size: int, wanted: int, factor: float | None, _: bool) -> Taps:
    """The pixel to the left; in single precision, as PyTorch finds it."""
    at = np.arange(wanted, dtype=np.float32) * np.float32(_ratio(size, wanted, factor))
    return Taps(np.floor(at).astype(int).clip(0, size - 1)[:, None], np.ones((wanted, 1)))


def nearest_exact(size: int, wanted: int, factor: float | None, _: bool) -> Taps:
    """The pixel whose center is nearest."""
    center = np.arange(wanted, dtype=np.float32) + np.float32(0.5)
    at = np.floor(center * np.float32(_ratio(size, wanted, factor))).astype(int)
    return Taps(at.clip(0, size - 1)[:, None], np.ones((wanted, 1)))


def linear(size: int, wanted: int, factor: float | None, corners: bool) -> Taps:
    """Two neighbors."""
    at = np.maximum(_coordinates(size, wanted, factor, corners), 0)
    left = np.floor(at).astype(int).clip(0, size - 1)
    right = np.minimum(left + 1, size - 1)
    share = (at - left).clip(0, 1)
    return Taps(np.stack([left, right], -1), np.stack([1 - share, share], -1))


def cubic(size: int, wanted: int, factor: float | None, corners: bool) -> Taps:
    """Four neighbors, by the cubic convolution of Keys with a = -0.75."""
    at = _coordinates(size, wanted, factor, corners)
    places = np.floor(at).astype(int)[:, None] + np.arange(-1, 3)
    return Taps(places.clip(0, size - 1), _keys(np.abs(at[:, None] - places), -0.75))


def _keys(distance: np.ndarray, a: float) -> np.ndarray:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def antialiased(filter_: Callable[[np.ndarray], np.ndarray], radius: int) -> Kernel:
    """All pixels under a filter that is as wide as an output pixel."""

    def kernel(size: int, wanted: int, factor: float | None, corners: bool) -> Taps:
        ratio = (size - 1) / max(wanted - 1, 1) if corners else _ratio(size, wanted, factor)
        width = max(ratio, 1.0)
        support = radius * width
        taps = 2 * math.ceil(support) + 1
        center = (np.arange(wanted) + 0.5) * ratio
        first = np.maximum((center - support + 0.5).astype(int), 0)
        end = np.minimum((center + support + 0.5).astype(int), size)
        places = first[:, None] + np.arange(taps)
        weights = filter_(np.abs(places - center[:, None] + 0.5) / width)
        weights = np.where(places < end[:, None], weights, 0)
        return Taps(places.clip(0, size - 1), weights / weights.sum(-1, keepdims=True))

    return kernel


def resize(kernel: Kernel, count: int, corners: bool = True) -> Operation:
    """An operation on the last `count` axes; `corners` says whether it takes `align_corners`."""

    def operation(x: jax.Array, output_size: Sequence[int] | None, *rest: object) -> jax.Array:
        align = bool(rest[0]) if corners else False
        factors = _factors(rest[1:] if corners else rest, count)
        for place in range(count):
            axis = x.ndim - count + place
            size, factor = x.shape[axis], factors[place]
            if output_size is None and factor is None:
                raise ValueError("resizing needs an output size or a scale factor")
            wanted = output_size[place] if output_size else math.floor(size * (factor or 1))
            if (wanted, align) != (size, True) and (wanted != size or factor not in (None, 1)):
                x = _apply(x, axis, kernel(size, wanted, factor, align))
        return x

    return operation


def _factors(rest: Sequence[object], count: int) -> list[float | None]:
    """Scale factors, given as one list or one by one, or not at all."""
    if len(rest) == 1 and isinstance(rest[0], (list, tuple)):
        rest = rest[0]
    given = [float(value) if isinstance(value, (int, float)) else None for value in rest]
    return given + [None] * (count - len(given))


def _apply(x: jax.Array, axis: int, taps: Taps) -> jax.Array:
    parts = [
        jnp.take(x, places, axis=axis)
        if np.all(weights == 1)
        else jnp.take(x, places, axis=axis) * along(axis, jnp.asarray(weights, x.dtype), x.ndim)
        for places, weights in zip(taps.places.T, taps.weights.T, strict=True)
    ]
    return sum(parts[1:], parts[0])


def _triangle(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - distance, 0)


TABLE: dict[str, Operation] = {
    **{f"upsample_nearest{n}d": resize(nearest, n, corners=False) for n in (1, 2, 3)},
    **{f"_upsample_nearest_exact{n}d": resize(nearest_exact, n, corners=False) for n in (1, 2, 3)},
    "upsample_linear1d": resize(linear, 1),
    "upsample_bilinear2d": resize(linear, 2),
    "upsample_trilinear3d": resize(linear, 3),
    "upsample_bicubic2d": resize(cubic, 2),
    "_upsample_bilinear2d_aa": resize(antialiased(_triangle, 1), 2),
    "_upsample_bicubic2d_aa": resize(antialiased(lambda d: _keys(d, -0.5), 2), 2),
}
