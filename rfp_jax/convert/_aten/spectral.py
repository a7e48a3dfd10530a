"""Fourier transforms, of whole axes and of short windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.numpy import fft

from rfp_jax._util.trees import Given
from rfp_jax.convert._aten.broadcast import Operation, along
from rfp_jax.convert._aten.shapes import pad, unfold


def _fourier(transform: Operation, default: int | tuple[int, ...] | None) -> Operation:
    """A transform with PyTorch's default of the axes."""

    def operation(x: jax.Array, n: Given = None, dim: Given = default, norm: str | None = None):
        return transform(x, n, dim if isinstance(dim, int) or dim is None else tuple(dim), norm)

    return operation


_NORMS = ("backward", "ortho", "forward")
"""The scales 0, 1, 2 of a transform in a decomposed program; of an inverse they are reversed."""


def to_complex(x: jax.Array, dim: Sequence[int], norm: int, onesided: bool) -> jax.Array:
    """The transform of real numbers, without negative frequencies if it is one-sided."""
    return (fft.rfftn if onesided else fft.fftn)(x, None, tuple(dim), _NORMS[norm])


def to_real(z: jax.Array, dim: Sequence[int], norm: int, last: int) -> jax.Array:
    """The real numbers of a one-sided spectrum, so many along the last of its axes."""
    sizes = [*(z.shape[axis] for axis in dim[:-1]), last]
    return fft.irfftn(z, sizes, tuple(dim), _NORMS[2 - norm])


def complex_to_complex(z: jax.Array, dim: Sequence[int], norm: int, forward: bool) -> jax.Array:
    """The transform of complex numbers, or its inverse."""
    transform = fft.fftn if forward else fft.ifftn
    return transform(z, None, tuple(dim), _NORMS[norm if forward else 2 - norm])


def short_time(
    x: jax.Array,
    n_fft: int,
    hop: int | None = None,
    length: int | None = None,
    window: jax.Array | None = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
    *,
    center: bool = False,
    pad_mode: str = "reflect",
) -> jax.Array:
    """Spectra of the windows of signals: [..., frequency, window] for [..., time].

    Args:
        x: signals, [time] or [batch, time].
        n_fft: samples in a window.
        hop: samples from one window to the next, a quarter of a window if None.
        length: samples of `window`, which is put in the middle.
        window: weights of a window's samples.
        normalized: whether to divide by the root of `n_fft`.
        onesided: whether to leave out negative frequencies; so it is for real signals if None.
        return_complex: real and imaginary parts stand along a last axis if this is False.
        align_to_window: whether the first window begins with the signal where `length` is less than
            `n_fft`: the signal is then padded as the window is.
        center: whether the signal is padded by half a window at both ends.
        pad_mode: how.
    """
    spare = n_fft - (n_fft if length is None else length)
    around = (spare // 2, spare - spare // 2)
    if center:
        x = pad(x, [n_fft // 2] * 2, pad_mode)
    elif align_to_window:
        x = pad(x, around)
    frames = unfold(x, -1, n_fft, hop or n_fft // 4)
    if window is None and length is not None:
        window = jnp.ones(length, frames.real.dtype)
    if window is not None:
        frames = frames * along(-1, jnp.pad(window, around), frames.ndim)
    real = not jnp.iscomplexobj(x)
    transform = fft.rfft if (real if onesided is None else onesided) else fft.fft
    spectra = transform(frames, axis=-1) * (n_fft**-0.5 if normalized else 1.0)
    spectra = jnp.swapaxes(spectra, -1, -2)
    if return_complex is False:
        return jnp.stack([spectra.real, spectra.imag], -1)
    return spectra


def centered(
    x: jax.Array,
    n_fft: int,
    hop: int | None = None,
    length: int | None = None,
    window: jax.Array | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    *rest: Any,  # those of `short_time`
    **options: Any,  # likewise
) -> jax.Array:
    """`short_time` in the order of arguments of `stft.center`."""
    return short_time(
        x, n_fft, hop, length, window, *rest, center=center, pad_mode=pad_mode, **options
    )


def inverse_short_time(
    spectra: jax.Array,
    n_fft: int,
    hop: int | None = None,
    length: int | None = None,
    window: jax.Array | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    samples: int | None = None,
    return_complex: bool = False,
) -> jax.Array:
    """Signals of spectra [..., frequency, window]: windows are added up, over their weights.

    Args:
        spectra: as `short_time` returns them.
        n_fft: samples in a window.
        hop: samples from one window to the next, a quarter of a window if None.
        length: samples of `window`, which is put in the middle.
        window: weights of a window's samples.
        center: whether half a window was padded at both ends, and is cut off.
        normalized: whether spectra were divided by the root of `n_fft`.
        onesided: whether negative frequencies were left out; by the size of the axis if None.
        samples: length of the signal.
        return_complex: whether the signal is complex.
    """
    hop = hop or n_fft // 4
    if onesided is None:
        onesided = spectra.shape[-2] != n_fft
    frames = jnp.swapaxes(spectra, -1, -2)
    frames = fft.irfft(frames, n_fft) if onesided else fft.ifft(frames, n_fft)
    frames = frames if return_complex else frames.real
    frames = frames * (n_fft**0.5 if normalized else 1.0)
    weights = jnp.ones(length or n_fft, frames.real.dtype) if window is None else window
    spare = n_fft - weights.shape[0]
    weights = jnp.pad(weights, (spare // 2, spare - spare // 2))
    count = frames.shape[-2]
    places = hop * np.arange(count)[:, None] + np.arange(n_fft)
    total = hop * (count - 1) + n_fft
    added = jnp.zeros((*frames.shape[:-2], total), frames.dtype)
    added = added.at[..., places].add(frames * along(-1, weights, frames.ndim))
    envelope = jnp.zeros(total, weights.dtype).at[places].add(weights[None] ** 2)
    first = n_fft // 2 if center else 0
    end = total - first if samples is None else first + samples
    kept = lax.slice_in_dim(added, first, min(end, total), axis=-1)
    kept = kept / along(-1, envelope[first : min(end, total)], kept.ndim)
    return pad(kept, [0, max(end - total, 0)])


TABLE: dict[str, Operation] = {
    **{f"fft_{f.__name__}": _fourier(f, -1) for f in (fft.fft, fft.ifft, fft.rfft, fft.irfft)},
    **{
        f"fft_{f.__name__}": _fourier(f, (-2, -1))
        for f in (fft.fft2, fft.ifft2, fft.rfft2, fft.irfft2)
    },
    **{
        f"fft_{f.__name__}": _fourier(f, None) for f in (fft.fftn, fft.ifftn, fft.rfftn, fft.irfftn)
    },
    "fft_fftshift": lambda x, dim=None: fft.fftshift(x, dim),
    "fft_ifftshift": lambda x, dim=None: fft.ifftshift(x, dim),
    "istft": inverse_short_time,
    "fft_hfft": _fourier(fft.hfft, -1),
    "fft_ihfft": _fourier(fft.ihfft, -1),
    "_fft_r2c": to_complex,
    "_fft_c2r": to_real,
    "_fft_c2c": complex_to_complex,
    "stft": short_time,
    "stft.center": centered,
}
