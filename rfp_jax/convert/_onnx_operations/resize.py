"""Images in another size: a constant matrix per axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._grid_sample import cubic, grid_sample
from rfp_jax.convert._onnx_operations.operation import Known, ints

KERNELS: dict[str, tuple[int, Callable[[np.ndarray, float], np.ndarray]]] = {
    "linear": (1, lambda t, _: np.clip(1 - np.abs(t), 0, 1)),
    "cubic": (2, lambda t, a: cubic(np.abs(t), a)),
}
"""Half the width of each mode's kernel, and the kernel."""

ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def places(
    size: int, count: int, scale: float, roi: tuple[float, float], transformation: str
) -> np.ndarray:
    """Return the places of the output's pixels on an axis, in float32 as others round."""
    y, factor = np.arange(count, dtype=np.float32), np.float32(scale)
    width, (start, end) = factor * size, roi
    ways: dict[str, tuple[Callable[[], Any], Any]] = {  # and where a single pixel lies
        "asymmetric": (lambda: y / factor, 0.0),
        "half_pixel": (lambda: (y + 0.5) / factor - 0.5, 0.5 / factor - 0.5),
        "pytorch_half_pixel": (lambda: (y + 0.5) / factor - 0.5, -0.5),
        "half_pixel_symmetric": (
            lambda: size / 2 * (1 - count / width) + (y + 0.5) / factor - 0.5,
            0.5 / factor - 0.5,
        ),
        "align_corners": (lambda: y * (size - 1) / (width - 1), 0.0),
        "tf_crop_and_resize": (
            lambda: start * (size - 1) + y * (end - start) * (size - 1) / (width - 1),
            (start + end) / 2 * (size - 1),
        ),
    }
    if transformation not in ways:
        raise ValueError(f"coordinate_transformation_mode={transformation!r} is not known")
    several, single = ways[transformation]
    return np.full(count, single) if width == 1 else several()


def matrix(
    size: int, x: np.ndarray, mode: str, *, a: float, shrink: float, exclude: bool
) -> np.ndarray:
    """The weights of the input's pixels `[output, input]` at places on an axis.

    Beyond the ends the outermost pixel stands, or no pixel at all if those are excluded. A kernel
    that shrinks by less than 1 is wider than a pixel, against aliasing.
    """
    half, kernel = KERNELS[mode]
    reach = int(np.ceil(half / shrink))
    taps = np.floor(x)[:, None] + np.arange(1 - reach, reach + 1)
    weights = kernel((taps - x[:, None]) * shrink, a)
    if exclude:
        weights = np.where((taps >= 0) & (taps < size), weights, 0)
    if exclude or shrink < 1:
        weights /= weights.sum(1, keepdims=True)
    result = np.zeros((len(x), size))
    rows = np.arange(len(x))[:, None]
    np.add.at(result, (rows, np.clip(taps, 0, size - 1).astype(int)), weights)
    return result


def target(
    shape: Sequence[int], axes: Sequence[int], scales: ArrayLike | None, sizes: ArrayLike | None,
    policy: str,
) -> tuple[list[int], list[float]]:  # fmt: skip
    """The sizes of the output on some axes, and by how much they grow."""
    given = [shape[axis] for axis in axes]
    if sizes is None or np.size(sizes) == 0:
        factors = np.asarray(scales, np.float32).ravel().tolist()
        pairs = zip(given, factors, strict=True)
        return [int(np.float32(n) * np.float32(f)) for n, f in pairs], factors
    wanted = ints(np.asarray(sizes))
    factors = [size / n for size, n in zip(wanted, given, strict=True)]
    if policy == "stretch":
        return list(wanted), factors
    factor = (min if policy == "not_larger" else max)(factors)
    return [int(factor * n + 0.5) for n in given], [factor] * len(given)


def resize(
    x: jax.Array,
    roi: Known | None = None,
    scales: Known | None = None,
    sizes: Known | None = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> jax.Array:
    """Another size by the nearest, by two or by four neighbors an axis."""
    chosen = [axis % x.ndim for axis in (axes or range(x.ndim))]
    counts, factors = target(x.shape, chosen, scales, sizes, keep_aspect_ratio_policy)
    rank, crop = len(chosen), coordinate_transformation_mode == "tf_crop_and_resize"
    for i, (axis, count, factor) in enumerate(zip(chosen, counts, factors, strict=True)):
        size = x.shape[axis]
        if count == size and factor == 1 and not crop:
            continue
        part = (float(roi[i]), float(roi[i + rank])) if crop and roi is not None else (0.0, 1.0)
        at = places(size, count, factor, part, coordinate_transformation_mode)
        if mode == "nearest":
            x = take(x, np.clip(ROUND[nearest_mode](at), 0, size - 1).astype(int), axis)
        else:
            shrink = min(factor, 1.0) if antialias else 1.0
            weights = matrix(
                size, at, mode, a=cubic_coeff_a, shrink=shrink, exclude=bool(exclude_outside)
            )
            rows = jnp.tensordot(
                x, jnp.asarray(weights, x.dtype), (axis, 1), precision=lax.Precision.HIGHEST
            )
            x = jnp.moveaxis(rows, -1, axis)
        if crop:
            outside = (at < 0) | (at > size - 1)
            outside = outside.reshape([-1 if j == axis else 1 for j in range(x.ndim)])
            x = jnp.where(outside, jnp.asarray(extrapolation_value, x.dtype), x)
    return x


def take(x: jax.Array, index: np.ndarray, axis: int) -> jax.Array:
    """The elements of an axis by their places; each of them n times is a repetition."""
    size = x.shape[axis]
    n = len(index) // size
    if n and np.array_equal(index, np.arange(len(index)) // n) and len(index) == n * size:
        x = jnp.expand_dims(x, axis + 1)
        shape = (*x.shape[: axis + 1], n, *x.shape[axis + 2 :])
        return jnp.broadcast_to(x, shape).reshape(*shape[:axis], n * size, *shape[axis + 2 :])
    return jnp.take(x, index, axis, mode="clip")


TABLE: dict[str, Callable[..., Tree]] = {"GridSample": grid_sample, "Resize": resize}
