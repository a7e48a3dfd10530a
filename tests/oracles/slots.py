"""Relevance forward propagation by its definition, in NumPy loops.

An activation is a tensor of slots [1 + sources, batch, ...]: slot 0 is the bias, slot s what source
s contributed, and the sum over slots is what the plain network computes. Images are [batch, height,
width, channels]. Nothing here is fast, and nothing is shared with the library.

Source: Gawlikowski & Gottschling, "Relevance Forward Propagation", BMVC 2024.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Pads = Sequence[tuple[int, int]]


def source(x: np.ndarray, index: int, count: int) -> np.ndarray:
    """The slots of input number `index` of `count`: all of it is its own."""
    slots = np.zeros((1 + count, *x.shape))
    slots[1 + index] = x
    return slots


def total(slots: np.ndarray) -> np.ndarray:
    """Return the output of the plain network."""
    return slots.sum(axis=0)


def to_bias(slots: np.ndarray, added: np.ndarray) -> np.ndarray:
    """Add a constant: it came from no source."""
    slots = slots.copy()
    slots[0] += added
    return slots


def pads(padding: str | Pads, size: Sequence[int], window: Sequence[int], strides: Sequence[int]):
    """Padding as (before, after) for each axis, from the names that TensorFlow gave them."""
    if padding == "VALID":
        return [(0, 0)] * len(size)
    if padding == "SAME":
        pairs = []
        for n, k, stride in zip(size, window, strides, strict=True):
            windows = -(-n // stride)
            missing = max((windows - 1) * stride + k - n, 0)
            pairs.append((missing // 2, missing - missing // 2))
        return pairs
    return list(padding)


def windows(shape: Sequence[int], window, strides, padding: Pads, dilation=None):
    """For each window, in row-major order: its place, and the places (inside the array) it sees.

    Returns:
        The shape of the result, and a list of (place, [(offset in window, place in array)]).
    """
    dilation = dilation or [1] * len(shape)
    axes = list(zip(shape, window, strides, padding, dilation, strict=True))
    result = [(n + lo + hi - ((k - 1) * d + 1)) // s + 1 for n, k, s, (lo, hi), d in axes]
    places = []
    for place in np.ndindex(*result):
        seen = []
        for offset in np.ndindex(*window):
            at = [
                i * s + o * d - lo
                for i, o, (_, _, s, (lo, _), d) in zip(place, offset, axes, strict=True)
            ]
            if all(0 <= a < n for a, n in zip(at, shape, strict=True)):
                seen.append((offset, tuple(at)))
        places.append((place, seen))
    return tuple(result), places


def conv(slots: np.ndarray, kernel, bias=None, strides=(1, 1), padding: str | Pads = "VALID"):
    """2-D convolution, kernel [height, width, channels in, channels out]."""
    slot, batch, *size, _ = slots.shape
    padding = pads(padding, size, kernel.shape[:2], strides)
    shape, places = windows(size, kernel.shape[:2], strides, padding)
    out = np.zeros((slot, batch, *shape, kernel.shape[-1]))
    for (i, j), seen in places:
        for offset, (row, column) in seen:
            out[:, :, i, j] += slots[:, :, row, column] @ kernel[offset]
    return out if bias is None else to_bias(out, bias)


def dense(slots: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """A matrix on every slot, its bias to slot 0."""
    out = slots @ kernel
    return out if bias is None else to_bias(out, bias)


def relu(slots: np.ndarray) -> np.ndarray:
    """A slot is kept where the total is >= 0."""
    return np.where(total(slots) >= 0, slots, 0.0)


def max_pool(slots, window, strides, padding: Pads, dilation=None) -> np.ndarray:
    """Every slot at the window's first greatest total; window and strides name every axis of it."""
    totals = total(slots)
    shape, places = windows(totals.shape, window, strides, padding, dilation)
    out = np.zeros((slots.shape[0], *shape))
    for place, seen in places:
        if seen:  # a window that sees padding alone has no winner
            winner = max((at for _, at in seen), key=lambda at: totals[at])  # the first of equals
            out[(slice(None), *place)] = slots[(slice(None), *winner)]
    return out


def avg_pool(slots: np.ndarray, window, strides, padding: Pads) -> np.ndarray:
    """The mean of each slot over the window; padding counts, as zeros."""
    shape, places = windows(slots.shape[1:], window, strides, padding)
    out = np.zeros((slots.shape[0], *shape))
    for place, seen in places:
        for _, at in seen:
            out[(slice(None), *place)] += slots[(slice(None), *at)]
    return out / np.prod(window)


def batch_norm(slots: np.ndarray, mean, variance, scale, shift, epsilon) -> np.ndarray:
    """Inference: the factor on every slot, the rest to slot 0."""
    factor = scale / np.sqrt(variance + epsilon)
    return to_bias(slots * factor, shift - mean * factor)


def concatenate(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join on the last axis."""
    return np.concatenate(parts, axis=-1)


def add(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Sum slot by slot."""
    return np.sum(parts, axis=0)


def flatten(slots: np.ndarray) -> np.ndarray:
    """All but slots and batch as one axis."""
    return slots.reshape(*slots.shape[:2], -1)


def relevance(slots: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The relevance of each source, and the bias."""
    return list(slots[1:]), slots[0]
