"""Contributions in higher precision than the program's own: float32 beside bfloat16 activations.

The plain program is evaluated as it stands; its activations are kept, exactly, in the wider dtype,
and every rule computes there. So what a source contributed takes no part in the rounding of
activations, which remains as bias. An activation that came from one source whole still is that
source's contribution, rounding and all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.typing import DTypeLike

from rfp_jax._core.jaxprs import (
    Atom,
    Program,
    as_list,
    bind_params,
    constants,
    dtype_of,
    evaluate,
    interpret,
    opened,
    shape_of,
)
from rfp_jax._core.signatures import Param, asarray, is_array, is_sequence, make_jaxpr, rebuilt
from rfp_jax._util.trees import Given

T = TypeVar("T")


def check(dtype: DTypeLike | None, max_error: object = None) -> None:
    """Refuse what contributions cannot be held in.

    Raises:
        TypeError: it is not a floating-point dtype.
        ValueError: there is a bound on the error of rounding, but no dtype, or it is not positive.
    """
    try:
        is_known = dtype is None or jnp.issubdtype(dtype, jnp.floating)
    except TypeError:  # it is not a dtype at all
        is_known = False
    if not is_known:
        raise TypeError(f"dtype={dtype!r} is not a floating-point dtype; pass jnp.float32, or None")
    if max_error is None:
        return
    if dtype is None:
        raise ValueError(
            f"max_error={max_error!r} bounds what rounding contributions adds: pass the dtype that "
            "they are rounded to, such as dtype=jnp.bfloat16"
        )
    if not (isinstance(max_error, int | float) and 0 < max_error < float("inf")):
        raise ValueError(
            f"max_error={max_error!r} must be a positive number, such as 0.05: the error, relative "
            "to what contributions would be if nothing canceled"
        )


def check_beside(dtype: DTypeLike | None, arrays: Mapping[str, DTypeLike | None]) -> None:
    """Refuse a precision that does not hold the model's own numbers.

    Args:
        dtype: of contributions.
        arrays: the dtypes of sources and outputs, by what to call them.

    Raises:
        ValueError: it is narrower than one of them.
    """
    for name, own in arrays.items():
        if dtype is not None and _is_real(own) and not _holds(dtype, own):
            given, wide = jnp.dtype(dtype).name, jnp.dtype(own).name
            raise ValueError(
                f"dtype={given} is narrower than {name}, which is {wide}: contributions add up to "
                f"activations. Pass dtype=jnp.{wide} or None; or to rfp_jax.relevance max_error=, "
                f"the error that you allow; or give the model sources and parameters in {given}"
            )


def check_rounding(dtype: DTypeLike, arrays: Mapping[str, DTypeLike | None]) -> None:
    """Refuse to round to a precision that is no less than the model's.

    Args:
        dtype: of contributions.
        arrays: the dtypes of sources and outputs, by what to call them.

    Raises:
        ValueError: it is narrower than none of them.
    """
    owns = [own for own in arrays.values() if own is not None]
    if not any(is_narrower(dtype, own) for own in owns):
        names = sorted({jnp.dtype(own).name for own in owns})
        raise ValueError(
            f"max_error bounds what rounding contributions to dtype={jnp.dtype(dtype).name} adds, "
            f"but sources and outputs are {', '.join(names)}, not wider than that; leave max_error "
            "away"
        )


def is_narrower(dtype: DTypeLike, own: DTypeLike) -> bool:
    """Tell whether a real dtype holds less than another one, `own`, and nothing besides."""
    both = _is_real(dtype) and _is_real(own)
    return both and jnp.dtype(dtype) != jnp.dtype(own) and _holds(own, dtype)


def _is_real(dtype: DTypeLike | None) -> TypeGuard[DTypeLike]:
    return dtype is not None and jnp.issubdtype(dtype, jnp.floating)


def _holds(dtype: DTypeLike, own: DTypeLike) -> bool:
    """Tell whether a dtype has each number that another one, `own`, has."""
    return np.dtype(jnp.promote_types(own, dtype)) == jnp.dtype(dtype)


def widen(value: T, dtype: DTypeLike | None) -> T:
    """A real array or dtype, or a program of such, in at least this precision; else as it is."""
    return value if dtype is None else cast("T", _widened(value, dtype))


def _widened(value: object, dtype: DTypeLike) -> object:
    if _is_dtype(value):
        is_real = jnp.issubdtype(value, jnp.floating)
        return np.dtype(jnp.promote_types(value, dtype)) if is_real else value
    if isinstance(value, core.Jaxpr | core.ClosedJaxpr):  # how a scatter adds, a system is solved
        return _wide_program(value, dtype)
    if is_sequence(value):
        return rebuilt(value, [widen(part, dtype) for part in value])
    if is_array(value) and jnp.issubdtype(value.dtype, jnp.floating):
        return asarray(value, jnp.promote_types(value.dtype, dtype))
    return value


def widen_params(params: Mapping[str, Param], dtype: DTypeLike | None) -> dict[str, Param]:
    """The parameters of an equation, the programs among them in at least this precision."""
    wide = {name: widen(param, dtype) for name, param in params.items()}
    if thunk := params.get("transpose_thunk"):  # a program that is made when it is asked for
        wide["transpose_thunk"] = lambda: widen(thunk(), dtype)
    return wide


def _is_dtype(value: object) -> TypeGuard[np.dtype | type[np.generic]]:
    return isinstance(value, np.dtype) or (
        isinstance(value, type) and issubclass(value, np.generic)
    )


def _wide_program(program: Program, dtype: DTypeLike | None) -> Program:
    """A program traced anew: arguments, constants, literals and conversions are widened."""
    is_closed = isinstance(program, core.ClosedJaxpr)  # in JAX 0.12 every jaxpr is
    jaxpr = opened(program)
    inputs = [
        jax.ShapeDtypeStruct(shape_of(var), widen(dtype_of(var), dtype)) for var in jaxpr.invars
    ]

    def constant(value: Given) -> jax.Array:
        return widen(asarray(value), dtype)

    def step(eqn: core.JaxprEqn, operands: list[jax.Array]) -> list[jax.Array]:
        params = widen_params(bind_params(eqn), dtype)
        return as_list(eqn, evaluate(eqn, operands, params))

    def in_place(*arguments: jax.Array) -> list[jax.Array]:
        return interpret(jaxpr, constants(program), arguments, constant, step)

    wide = make_jaxpr(in_place)(*inputs)
    return wide if is_closed else wide.jaxpr


def narrow(value: jax.Array, atom: Atom) -> jax.Array:
    """A widened array in the dtype that the plain program has here."""
    given, own = getattr(value, "dtype", None), dtype_of(atom)
    if given is None or own is None or given == own:
        return value
    both_real = jnp.issubdtype(given, jnp.floating) and jnp.issubdtype(own, jnp.floating)
    return asarray(value, own) if both_real else value
