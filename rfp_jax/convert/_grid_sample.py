"""Images sampled at given places, as PyTorch and ONNX define it alike."""

from __future__ import annotations

import itertools
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Distances = TypeVar("Distances", jax.Array, np.ndarray)


def cubic(t: Distances, a: float) -> Distances:
    """Keys's kernel of convolution at the distances t >= 0."""
    near = ((a + 2) * t - (a + 3)) * t**2 + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return (t <= 1) * near + ((t > 1) & (t < 2)) * far


def grid_sample(
    x: jax.Array,
    grid: jax.Array,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> jax.Array:
    """Values of images `[sample, channel, ...]` at places from -1 to 1, the last axis first."""
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    sizes = x.shape[2:]
    at = []
    for i, size in enumerate(sizes):
        place = grid[..., len(sizes) - 1 - i]
        place = (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2
        at.append(place if mode == "cubic" else _inside(place, size, padding_mode, align_corners))
    return sample(x, at, align_corners=align_corners, mode=mode, padding_mode=padding_mode)


def sample(
    x: jax.Array,
    at: list[jax.Array],
    *,
    align_corners: int = 1,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> jax.Array:
    """Values of images `[sample, channel, ...]` at places `[sample, ...]`, per axis in pixels."""
    if mode == "nearest":
        return _pixels(x, [jnp.round(place) for place in at], padding_mode, align_corners)
    taps, kernel = {
        "linear": ((0, 1), lambda t: jnp.maximum(1 - jnp.abs(t), 0)),
        "cubic": ((-1, 0, 1, 2), lambda t: cubic(jnp.abs(t), -0.75)),
    }[mode]
    total = jnp.zeros((), x.dtype)
    for offsets in itertools.product(taps, repeat=len(at)):
        pixels = [jnp.floor(place) + o for place, o in zip(at, offsets, strict=True)]
        weight = jnp.ones((), x.dtype)
        for place, pixel in zip(at, pixels, strict=True):
            weight = weight * kernel(pixel - place)
        total = total + weight[:, None] * _pixels(x, pixels, padding_mode, align_corners)
    return total


def _inside(place: jax.Array, size: int, padding_mode: str, align_corners: int) -> jax.Array:
    """A place that lies outside of an axis, put onto it as the padding says."""
    if padding_mode == "border":
        return jnp.clip(place, 0, size - 1)
    if padding_mode == "zeros":
        return place
    low, high = (0, size - 1) if align_corners else (-0.5, size - 0.5)
    if high == low:
        return jnp.zeros_like(place)
    there = jnp.mod(place - low, 2 * (high - low))
    back = jnp.minimum(there, 2 * (high - low) - there) + low
    return jnp.clip(back, 0, size - 1) if not align_corners else back


def _pixels(
    x: jax.Array, pixels: list[jax.Array], padding_mode: str, align_corners: int
) -> jax.Array:
    """Pixels `[sample, channel, ...]` by their coordinates; those outside as the padding says."""
    valid, index = jnp.ones((), bool), []
    for pixel, size in zip(pixels, x.shape[2:], strict=True):
        valid = valid & (pixel >= 0) & (pixel <= size - 1)
        inner = _inside(pixel, size, padding_mode, align_corners)
        index.append(jnp.clip(inner, 0, size - 1).astype(jnp.int32))
    values = jax.vmap(lambda image, *at: image[(slice(None), *at)])(x, *index)
    return jnp.where(valid[:, None], values, 0) if padding_mode == "zeros" else values
