"""Contributions in higher precision than the program's own: float32 beside bfloat16 activations.

The plain program is evaluated as it stands; its activations are kept, exactly, in the wider dtype,
and every rule computes there. So what a source contributed takes no part in the rounding of
activations, which remains as bias. An activation that came from one source whole still is that
source's contribution, rounding and all.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.extend import core
from jax.typing import DTypeLike


def check(dtype: DTypeLike | None) -> None:
    """Refuse what contributions cannot be held in.

    Raises:
        TypeError: it is not a floating-point dtype.
    """
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype={dtype!r} is no floating-point dtype; pass jnp.float32, or None")


def widen(value: Any, dtype: DTypeLike | None) -> Any:
    """A real array or dtype, or a program of such, in at least this precision; else as it is."""
    if dtype is None:
        return value
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        is_real = jnp.issubdtype(value, jnp.floating)
        return np.dtype(jnp.promote_types(value, dtype)) if is_real else value
    if isinstance(value, core.Jaxpr):  # how a scatter adds
        types: list[Any] = [var.aval for var in value.invars]
        inputs = [jax.ShapeDtypeStruct(t.shape, widen(t.dtype, dtype)) for t in types]
        return jax.make_jaxpr(lambda *x: eval_jaxpr(value, (), *x))(*inputs).jaxpr
    if isinstance(value, jax.Array | np.ndarray) and jnp.issubdtype(value.dtype, jnp.floating):
        return jnp.asarray(value, jnp.promote_types(value.dtype, dtype))
    return value


def narrow(value: Any, aval: Any) -> Any:
    """A widened array in the dtype that the plain program has here."""
    given, own = getattr(value, "dtype", None), getattr(aval, "dtype", None)
    if given is None or own is None or given == own:
        return value
    both_real = jnp.issubdtype(given, jnp.floating) and jnp.issubdtype(own, jnp.floating)
    return jnp.asarray(value, own) if both_real else value
