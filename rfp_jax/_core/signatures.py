"""Functions of JAX, with the types that JAX's own declarations leave unknown.

pyright checks `rfp_jax._core` in strict mode: there, no type may be unknown. What it cannot read
from JAX or NumPy is declared here and nowhere else; the functions are JAX's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import (
    Any,
    Literal,
    Protocol,
    TypeAlias,
    TypeGuard,
    TypeVar,
    TypeVarTuple,
    cast,
    overload,
)

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core
from jax.typing import DTypeLike

from rfp_jax._util.trees import Given, Leaf, Tree

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeArgument=false

T = TypeVar("T")
Y = TypeVar("Y")
Aux = TypeVar("Aux")
Ts = TypeVarTuple("Ts")

Param: TypeAlias = Any
"""A parameter of a primitive. Any: each primitive has its own, and JAX declares none of them."""


class TreeDef(Protocol):
    """The structure of a tree, as `jax.tree.structure` returns it."""

    @property
    def num_leaves(self) -> int:
        """The number of leaves."""
        ...

    def unflatten(self, leaves: Iterable[Leaf], /) -> Tree:
        """Return the tree with these leaves."""
        ...


# --- arrays


def epsilon(dtype: DTypeLike) -> float:
    """Return the distance from 1 to the next number of a type."""
    return float(jnp.finfo(dtype).eps)


class _AsArray(Protocol):
    def __call__(self, a: Given, dtype: DTypeLike | None = None) -> jax.Array: ...


asarray: _AsArray = jnp.asarray
zeros_like: Callable[[jax.Array], jax.Array] = jnp.zeros_like
ones_like: Callable[[jax.Array], jax.Array] = jnp.ones_like
broadcast_shapes: Callable[..., tuple[int, ...]] = jnp.broadcast_shapes


def finite(x: jax.Array) -> jax.Array:
    """Return an array with 0 where it is not finite: a mask's -inf passes nothing on."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return jnp.where(jnp.isfinite(x), x, zeros_like(x))


def is_array(value: object) -> TypeGuard[jax.Array | np.ndarray]:
    """Return whether a value is an array."""
    return isinstance(value, jax.Array | np.ndarray)


def is_arraylike(value: object) -> TypeGuard[jax.Array | np.ndarray | complex]:
    """Return whether a value is an array or a number, which can be made one."""
    return isinstance(value, jax.Array | np.ndarray | np.generic | float | int | complex)


def is_sequence(value: object) -> TypeGuard[Sequence[Tree]]:
    """Return whether a value is a list or a tuple."""
    return isinstance(value, list | tuple)


def is_tuple(value: object) -> TypeGuard[tuple[Tree, ...]]:
    """Return whether a value is a tuple."""
    return isinstance(value, tuple)


def rebuilt(value: Sequence[object], parts: Sequence[object]) -> Sequence[object]:
    """Return a list, tuple or named tuple like another, of these parts."""
    make = cast("Callable[[Sequence[object]], Sequence[object]]", type(value))
    return getattr(value, "_make", make)(parts)


def is_symbolic(size: int) -> bool:
    """Return whether a size is not known yet, as in `jax.export`; JAX declares it an int."""
    return not isinstance(size, int)  # pyright: ignore[reportUnnecessaryIsInstance]


# --- trees

KeyPath: TypeAlias = tuple[Any, ...]
"""The keys that lead to a leaf of a tree. Any: JAX declares no types for them."""

structure: Callable[[Tree], TreeDef] = jax.tree.structure
flatten: Callable[[Tree], tuple[list[Leaf], TreeDef]] = jax.tree.flatten
flatten_with_path: Callable[[Tree], tuple[list[tuple[KeyPath, Leaf]], TreeDef]] = (
    jax.tree_util.tree_flatten_with_path
)
keystr: Callable[[KeyPath], str] = jax.tree_util.keystr


class _Register(Protocol):
    def __call__(
        self,
        nodetype: type[T],
        flatten_func: Callable[[T], tuple[tuple[Tree, ...], Aux]],
        unflatten_func: Callable[[Aux, Iterable[Tree]], T],
    ) -> None: ...


register_pytree_node: _Register = jax.tree_util.register_pytree_node


# --- transformations


class _MakeJaxpr(Protocol):
    @overload
    def __call__(
        self, fun: Callable[..., object], *, return_shape: Literal[False] = False
    ) -> Callable[..., core.ClosedJaxpr]: ...
    @overload
    def __call__(
        self, fun: Callable[..., object], *, return_shape: Literal[True]
    ) -> Callable[..., tuple[core.ClosedJaxpr, Tree]]: ...


make_jaxpr: _MakeJaxpr = jax.make_jaxpr  # pyright: ignore[reportAssignmentType]  # its overloads
eval_jaxpr: Callable[..., list[jax.Array]] = jax.core.eval_jaxpr


def eval_shape(fun: Callable[[*Ts], T], *args: *Ts) -> T:
    """`jax.eval_shape`: the result of a function, with shapes and dtypes in place of arrays."""
    return jax.eval_shape(fun, *args)


def linearize(fun: Callable[[T], tuple[Y, Aux]], x: T) -> tuple[Y, Callable[[T], Y], Aux]:
    """`jax.linearize` of a function with auxiliary results."""
    return jax.linearize(fun, x, has_aux=True)


def vjp(fun: Callable[[T], tuple[Y, Aux]], x: T) -> tuple[Y, Callable[[Y], tuple[T]], Aux]:
    """`jax.vjp` of a function with auxiliary results."""
    return jax.vjp(fun, x, has_aux=True)


def switch(index: jax.Array, branches: Sequence[Callable[[*Ts], T]], *operands: *Ts) -> T:
    """`jax.lax.switch`: the result of the branch that the index chooses."""
    return lax.switch(index, branches, *operands)


def map_range(fun: Callable[[jax.Array], T], count: int, batch_size: int) -> T:
    """`jax.lax.map` over 0, 1, ..., `count - 1`: the results, stacked in front."""
    return lax.map(fun, jnp.arange(count), batch_size=batch_size)
