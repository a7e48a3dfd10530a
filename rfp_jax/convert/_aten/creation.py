"""New arrays, copies, casts; and Python's arithmetic on sizes."""

from __future__ import annotations

import builtins
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax._util.trees import Given
from rfp_jax.convert._aten.broadcast import Operation


def _made(f: Operation) -> Operation:
    """Ignore device, layout and memory of a new array."""

    def operation(*args: Given, dtype: Given = None, **_: Given) -> jax.Array:
        return f(*args) if dtype is None else f(*args).astype(dtype)

    return operation


def _identity(x: Given, *_: Given, **__: Given) -> Given:
    return x


def cast(x: jax.Array, *args: Given, dtype: Given = None, **_: Given) -> jax.Array:
    """An array of another dtype; it is the first argument that is one."""
    found = [arg for arg in args if isinstance(arg, np.dtype)]
    wanted = dtype or (found[0] if found else None)
    return x if wanted is None else x.astype(wanted)


def arange(*bounds: Given) -> jax.Array:
    """`start, start + step, ...` below the end."""
    return jnp.asarray(np.arange(*bounds))


def linspace(start: float, end: float, steps: int) -> jax.Array:
    """Numbers at equal distances, both ends among them."""
    return jnp.asarray(np.linspace(start, end, steps))


def dropout(x: jax.Array, p: float, train: bool) -> jax.Array:
    """Nothing in evaluation."""
    if train and p:
        raise ValueError("dropout draws random numbers in training mode: export module.eval()")
    return x


def copy(x: jax.Array, source: Given, non_blocking: bool = False) -> jax.Array:
    """`source`, with the shape and dtype of x."""
    return jnp.broadcast_to(jnp.asarray(source, x.dtype), x.shape)


def assertion(*_: Given, **__: Given) -> None:
    """Do nothing: shapes and dtypes are checked at every node already."""


def triangle_indices(places: Given) -> Operation:
    """Coordinates of the entries of a triangle of a matrix."""

    def operation(rows: int, columns: int, offset: int = 0) -> jax.Array:
        return jnp.asarray(np.stack(places(rows, offset, columns)))

    return operation


def window(shape: Operation) -> Operation:
    """A window of n samples; a periodic one has the same value behind its end as at its start."""

    def operation(n: int, periodic: bool = True, *form: float, **named: float) -> jax.Array:
        values = shape(n + periodic, *form, **named) if n > 1 else np.ones(n)
        return jnp.asarray(values[:n])

    return operation


def hamming(n: int, alpha: float = 0.54, beta: float = 0.46) -> np.ndarray:
    """A raised cosine."""
    return alpha - beta * np.cos(2 * np.pi * np.arange(n) / (n - 1))


def kaiser(n: int, beta: float = 12.0) -> np.ndarray:
    """A window whose width depends on beta."""
    return np.kaiser(n, beta)


def new(f: Given) -> Operation:
    """Make an array of a size, beside one that lends dtype and device."""
    return _made(lambda x, size, *value: f(tuple(size), *value))


EMPTY = frozenset("empty empty_like empty_strided new_empty new_empty_strided".split())
"""Operations that return whatever stood in memory, which is written to before it is read."""

TABLE: dict[str, Operation] = {
    # New arrays. Empty ones are filled before they are read, so zeros are as good.
    **dict.fromkeys("zeros empty".split(), _made(jnp.zeros)),
    "empty_strided": _made(lambda size, stride: jnp.zeros(size)),
    "ones": _made(jnp.ones),
    "full": _made(jnp.full),
    **dict.fromkeys("zeros_like empty_like zero".split(), _made(jnp.zeros_like)),
    "ones_like": _made(jnp.ones_like),
    **dict.fromkeys("full_like fill".split(), _made(jnp.full_like)),
    **dict.fromkeys("new_zeros new_empty".split(), new(jnp.zeros)),
    "new_empty_strided": _made(lambda x, size, stride: jnp.zeros(size)),
    "new_ones": new(jnp.ones),
    "new_full": new(jnp.full),
    "arange": _made(arange),
    "linspace": _made(linspace),
    "eye": _made(jnp.eye),
    "scalar_tensor": _made(jnp.asarray),
    "tril_indices": _made(triangle_indices(np.tril_indices)),
    "triu_indices": _made(triangle_indices(np.triu_indices)),
    "hann_window": _made(window(np.hanning)),
    "hamming_window": _made(window(hamming)),
    "kaiser_window": _made(window(kaiser)),
    "blackman_window": _made(window(np.blackman)),
    "bartlett_window": _made(window(np.bartlett)),
    "fft_fftfreq": _made(lambda n, d=1.0: jnp.asarray(np.fft.fftfreq(n, d))),
    "fft_rfftfreq": _made(lambda n, d=1.0: jnp.asarray(np.fft.rfftfreq(n, d))),
    # Copies and casts.
    **dict.fromkeys(
        """clone alias contiguous lift_fresh lift_fresh_copy lift""".split(),
        _identity,
    ),
    **dict.fromkeys("detach detach_ detach_copy".split(), lax.stop_gradient),
    **dict.fromkeys("to _to_copy".split(), cast),
    "view.dtype": lax.bitcast_convert_type,
    "type_as": lambda x, like: x.astype(like.dtype),
    "to.other": lambda x, like, *_, **__: x.astype(like.dtype),
    "copy": copy,
    "copy_": copy,
    # Random in training only.
    **dict.fromkeys("dropout feature_dropout alpha_dropout feature_alpha_dropout".split(), dropout),
    "native_dropout": lambda x, p, train: (dropout(x, p, train), jnp.ones_like(x, bool)),
    # Assertions.
    **dict.fromkeys(
        """_assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async
        sym_constrain_range sym_constrain_range_for_size""".split(),
        assertion,
    ),
    # Python's own, on sizes and lists; a number that a tensor held stays in an array.
    **dict.fromkeys("_local_scalar_dense item".split(), lambda x: x.reshape(())),
    "sym_size": lambda x, dim: x.shape[dim],
    "sym_numel": lambda x: x.size,
    "sym_stride": lambda x, dim: math.prod(x.shape[dim + 1 :]),
    **{
        f"operator.{name}": getattr(operator, name)
        for name in """getitem add sub mul floordiv truediv mod neg pow
        eq ne lt le gt ge and_ or_ not_""".split()
    },
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc", "sqrt")},
    "sym_float": float,
    "sym_int": int,
    "sym_max": builtins.max,
    "sym_min": builtins.min,
    "sym_not": operator.not_,
    "sym_ite": lambda test, yes, no: yes if test else no,
}
