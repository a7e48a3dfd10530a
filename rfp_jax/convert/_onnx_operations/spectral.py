"""Fourier transforms. ONNX has no complex numbers there: a last axis of real and imaginary part."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.numpy import fft
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree
from rfp_jax.convert._onnx_operations.operation import Known, ints, on_axis


def _signal(x: jax.Array) -> jax.Array:
    """Numbers [...] of real ones [..., 1] or of pairs [..., 2]."""
    return x[..., 0] if x.shape[-1] == 1 else lax.complex(x[..., 0], x[..., 1])


def _pairs(z: jax.Array, like: jax.Array) -> jax.Array:
    """Complex numbers [...] as pairs [..., 2]."""
    return jnp.stack([z.real, z.imag], -1).astype(like.dtype)


def transform(
    x: jax.Array,
    dft_length: Known | None = None,
    axis: Known | None = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> jax.Array:
    """The discrete Fourier transform along an axis, by default the last but one."""
    return _along(x, dft_length, -2 if axis is None else ints(axis)[0], inverse, onesided)


def transform_17(
    x: jax.Array,
    dft_length: Known | None = None,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> jax.Array:
    """The same, where the axis is an attribute."""
    return _along(x, dft_length, axis, inverse, onesided)


def _along(
    x: jax.Array, dft_length: np.ndarray | None, axis: int, inverse: int, onesided: int
) -> jax.Array:
    axis %= x.ndim
    length = 2 * (x.shape[axis] - 1) if inverse and onesided else x.shape[axis]
    if dft_length is not None:
        (length,) = ints(dft_length)
    signal = _signal(x)
    if inverse and onesided:
        return fft.irfft(signal, length, axis)[..., None].astype(x.dtype)
    if inverse:
        return _pairs(fft.ifft(signal, length, axis), x)
    return _pairs(_spectrum(signal, length, axis, onesided), x)


def _spectrum(signal: jax.Array, length: int, axis: int, onesided: int) -> jax.Array:
    """All frequencies, or those that are not negative."""
    if onesided and not jnp.iscomplexobj(signal):
        return fft.rfft(signal, length, axis)
    z = fft.fft(signal, length, axis)
    return lax.slice_in_dim(z, 0, length // 2 + 1, axis=axis) if onesided else z


def short_time(
    signal: jax.Array,
    frame_step: Known,
    window: ArrayLike | None = None,
    frame_length: Known | None = None,
    *,
    onesided: int = 1,
) -> jax.Array:
    """Spectra of frames, [sample, frame, frequency, 2], of signals [sample, time, 1 or 2]."""
    (step,) = ints(frame_step)
    if frame_length is not None:
        (length,) = ints(frame_length)
    else:
        length = signal.shape[1] if window is None else jnp.shape(window)[0]
    starts = np.arange(0, signal.shape[1] - length + 1, step)
    frames = _signal(signal)[:, starts[:, None] + np.arange(length)]
    if window is not None:
        frames = frames * on_axis(window, 3, 2)
    return _pairs(_spectrum(frames, length, 2, onesided), signal)


TABLE: dict[str, Callable[..., Tree]] = {
    "DFT": transform,
    "DFT-17": transform_17,
    "STFT": short_time,
}
