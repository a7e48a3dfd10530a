"""Programs as JAX holds them: jaxprs, their equations and variables, in every version of JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np
from jax.extend import core, source_info_util

from rfp_jax._core.signatures import Param
from rfp_jax._util.trees import Given

# JAX declares no types for the methods of a primitive.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

Program = core.Jaxpr | core.ClosedJaxpr
"""A jaxpr with or without the values of its constants; since JAX 0.12 every jaxpr has them."""

Atom = core.Var | core.Literal
"""An operand of an equation."""

Results: TypeAlias = Any
"""The result of an equation. Any: an array, or a list of arrays, as its primitive says."""


def opened(program: Program) -> core.Jaxpr:
    """Return the jaxpr of a program."""
    held: Any = program  # Any: which of the two has a `jaxpr` depends on the version
    return getattr(held, "jaxpr", held)


def constants(program: Program) -> Sequence[Given]:
    """Return the values of a program's constant variables, as far as it holds them."""
    return getattr(program, "consts", ())


def inner_jaxprs(eqn: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """Yield the bodies of a call, loop or branch."""
    return map(opened, core.jaxprs_in_params(eqn.params))


_CALLED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("jit", "pjit", "remat2", "checkpoint", "remat"), ("jaxpr",)),
    "composite": ("jaxpr", "call_jaxpr"),  # before and in JAX 0.12
    **dict.fromkeys(("custom_jvp_call", "custom_vjp_call"), ("call_jaxpr",)),
    **dict.fromkeys(("call", "closed_call", "core_call", "eval_jaxpr"), ("call_jaxpr",)),
    "custom_vmap_call": ("call",),
}

CALLS = frozenset(_CALLED)
"""Primitives that evaluate a program once, in place."""


def called(eqn: core.JaxprEqn) -> Program:
    """Return the program that a call evaluates."""
    (key,) = (key for key in _CALLED[eqn.primitive.name] if key in eqn.params)
    return eqn.params[key]


def shape_of(atom: Atom) -> tuple[int, ...]:
    """Return the shape of a variable or literal; of what is not an array, such as a token, ()."""
    return tuple(getattr(atom.aval, "shape", ()))


def dtype_of(atom: Atom) -> np.dtype | None:
    """Return the dtype of a variable or literal; of what is not an array None."""
    return getattr(atom.aval, "dtype", None)


def literal(atom: core.Literal) -> jax.Array:
    """Return a Python number of a program as an array, in the type that it stands for there."""
    number: Any = np.asarray(atom.val, dtype_of(atom))  # NumPy's, which stays known in a trace
    return number


def user_context(eqn: core.JaxprEqn) -> AbstractContextManager[None]:
    """Return the context in which what is computed stands at the user's line of an equation."""
    stack = source_info_util.current_name_stack() + eqn.source_info.name_stack
    return source_info_util.user_context(eqn.source_info.traceback, name_stack=stack)


def bind_params(eqn: core.JaxprEqn) -> dict[str, Param]:
    """Return an equation's parameters in the form in which its primitive is bound."""
    return eqn.primitive.get_bind_params(eqn.params)


def evaluate(
    eqn: core.JaxprEqn, operands: Sequence[jax.Array], params: Mapping[str, Param]
) -> Results:
    """Evaluate an equation's primitive: one result, or a list of several."""
    return eqn.primitive.bind(*operands, **params)


def as_list(eqn: core.JaxprEqn, results: Results) -> list[jax.Array]:
    """Return the results of an equation as a list, one alone as well."""
    return list(results) if eqn.primitive.multiple_results else [results]


V = TypeVar("V")


def interpret(
    jaxpr: core.Jaxpr,
    consts: Sequence[Given],
    args: Sequence[V],
    constant: Callable[[Given], V],
    step: Callable[[core.JaxprEqn, list[V]], list[V]],
) -> list[V]:
    """Evaluate a program on other values than arrays; calls are evaluated in place.

    Args:
        jaxpr: the program.
        consts: values of its constant variables.
        args: its arguments.
        constant: makes a value of a constant or a literal.
        step: returns the results of an equation.
    """
    env: dict[core.Var, V] = dict(zip(jaxpr.constvars, map(constant, consts), strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))

    def read(atom: Atom) -> V:
        return constant(literal(atom)) if isinstance(atom, core.Literal) else env[atom]

    for eqn in jaxpr.eqns:
        operands = list(map(read, eqn.invars))
        if eqn.primitive.name in CALLS:
            inner = called(eqn)
            results = interpret(opened(inner), constants(inner), operands, constant, step)
        else:
            results = step(eqn, operands)
        env.update(zip(eqn.outvars, results, strict=True))
    return list(map(read, jaxpr.outvars))
