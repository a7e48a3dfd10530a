"""A call of a user's function, as a program of its sources."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.typing import DTypeLike

from rfp_jax._core.argnums import Argnums, resolve
from rfp_jax._core.jaxprs import dtype_of, inner_jaxprs, shape_of
from rfp_jax._core.known import Known, is_known
from rfp_jax._core.precision import check_beside, check_rounding, narrow, widen
from rfp_jax._core.signatures import (
    KeyPath,
    TreeDef,
    asarray,
    flatten,
    flatten_with_path,
    is_arraylike,
    is_tuple,
    keystr,
    make_jaxpr,
    structure,
)
from rfp_jax._core.value import Value, activation
from rfp_jax._util.trees import Given, Leaf, Tree

_ARRAY = object()
_ARRAYS = (jax.Array, np.ndarray, np.generic)


@dataclass(frozen=True)
class Trace:
    """A call `fun(*args, **kwargs)` traced as a function of the leaves of its source arguments.

    Attributes:
        jaxpr, consts: the program and the values of its constants, those that count in NumPy.
        passed: the arrays among the other arguments, which are not sources.
        leaves: the source arrays.
        names: where each of them stands in the call, such as `args[1]['left']`.
        tree: how `leaves` fill what `argnums` points to, like the gradients of `jax.grad`.
        output_tree: the structure of the function's output.
        output_shapes: the shapes of its arrays.
        aux_tree: the structure of its auxiliary output.
        aux_leaves: its leaves, arrays replaced by a sentinel.
    """

    jaxpr: core.Jaxpr
    consts: Sequence[Given]
    passed: Sequence[jax.Array]
    leaves: list[jax.Array]
    names: list[str]
    tree: TreeDef
    output_tree: TreeDef
    output_shapes: list[tuple[int, ...]]
    aux_tree: TreeDef
    aux_leaves: list[Leaf]

    @property
    def arrays(self) -> list[jax.Array]:
        """The constants whose numbers do not count, such as parameters."""
        return [const for const in self.consts if not is_known(const)]

    def given(self, arrays: Sequence[jax.Array], leaves: Sequence[jax.Array]) -> Trace:
        """The call with these arrays and these sources."""
        rest = iter(arrays)
        consts = [const if is_known(const) else next(rest) for const in self.consts]
        return replace(self, consts=consts, leaves=list(leaves))

    def widened(self, dtype: DTypeLike | None) -> Trace:
        """The call with its sources in the precision of contributions."""
        return replace(self, leaves=[widen(leaf, dtype) for leaf in self.leaves])

    def check_precision(self, dtype: DTypeLike | None, max_error: float | None = None) -> None:
        """Refuse contributions in less precision than sources and outputs have, or only those.

        Raises:
            ValueError: see there.
        """
        outputs = self.jaxpr.outvars[: self.output_tree.num_leaves]
        arrays: dict[str, DTypeLike | None] = {
            f"source {name}": leaf.dtype for name, leaf in zip(self.names, self.leaves, strict=True)
        }
        arrays |= {f"output {place}": dtype_of(atom) for place, atom in enumerate(outputs)}
        if dtype is not None and max_error is not None:
            check_rounding(dtype, arrays)
        else:
            check_beside(dtype, arrays)

    def results(self, values: Sequence[Value]) -> list[jax.Array]:
        """Return the plain program's results, of what a walk returned."""
        pairs = zip(values, self.jaxpr.outvars, strict=True)
        return [narrow(activation(value), atom) for value, atom in pairs]

    def aux(self, results: Sequence[jax.Array]) -> Tree:
        """Return the auxiliary output: arrays among the program's results, and its other leaves."""
        arrays = iter(results[self.output_tree.num_leaves :])
        return self.aux_tree.unflatten(
            [next(arrays) if leaf is _ARRAY else leaf for leaf in self.aux_leaves]
        )


def trace(
    fun: Callable[..., Tree],
    argnums: Argnums,
    args: Sequence[Given],
    kwargs: dict[str, Given],
    has_aux: bool = False,
) -> Trace:
    """Trace a call with respect to the arguments that are sources; all others are constants of it.

    Raises:
        TypeError: `argnums` is not an integer or sequence of integers; a source is not a
            floating-point array; the function returns no array.
        ValueError: `argnums` is empty, repeated or out of range; a source has no leaf.
    """
    argnums = int(argnums) if isinstance(argnums, np.integer) else argnums
    places = resolve(argnums, len(args))
    chosen = args[places[0]] if isinstance(argnums, int) else tuple(args[i] for i in places)
    named, tree = flatten_with_path(tuple(args[i] for i in places))
    leaves = [_source(leaf, path, places) for path, leaf in named]
    if not leaves:
        raise ValueError(
            f"no source: argument {argnums!r} holds no array; point argnums at the arguments whose "
            "share of the output you want"
        )
    trees: dict[str, TreeDef] = {}
    rest: list[Leaf] = []

    def from_sources(*leaves: jax.Array) -> list[Leaf]:
        full = list(args)
        for place, value in zip(places, tree.unflatten(leaves), strict=True):
            full[place] = value
        returned = fun(*full, **kwargs)
        if has_aux and not (is_tuple(returned) and len(returned) == 2):
            raise TypeError(
                f"with has_aux=True {_name(fun)} must return (output, aux), got {_told(returned)}"
            )
        output, aux = returned if has_aux else (returned, None)
        outputs, trees["output"] = flatten(output)
        auxiliary, trees["aux"] = flatten(aux)
        rest[:] = [_ARRAY if isinstance(leaf, _ARRAYS) else leaf for leaf in auxiliary]
        for value in outputs:
            if not is_arraylike(value):
                raise TypeError(
                    f"{_name(fun)} must return arrays, got {value!r} of type {type(value).__name__}"
                    "; return what is not an array as aux, with has_aux=True"
                )
        if not outputs:
            raise TypeError(
                f"{_name(fun)} must return an array or a tree of arrays, got {output!r}"
            )
        return [*map(asarray, outputs), *(a for a in auxiliary if isinstance(a, _ARRAYS))]

    closed, results = make_jaxpr(from_sources, return_shape=True)(*leaves)
    others = [arg for place, arg in enumerate(args) if place not in places]
    passed = [a for a in flatten((others, kwargs))[0] if isinstance(a, jax.Array)]
    return Trace(
        jaxpr=closed.jaxpr,
        consts=list(map(Known(passed).constant, closed.consts)),
        passed=passed,
        leaves=leaves,
        names=[_where(path, places) for path, _ in named],
        tree=structure(chosen),
        output_tree=trees["output"],
        output_shapes=[result.shape for result in results[: trees["output"].num_leaves]],
        aux_tree=trees["aux"],
        aux_leaves=rest,
    )


def has_while(jaxpr: core.Jaxpr) -> bool:
    """Return whether a program has a loop of unknown length anywhere."""
    return any(
        eqn.primitive.name == "while" or any(map(has_while, inner_jaxprs(eqn)))
        for eqn in jaxpr.eqns
    )


def convolves(jaxpr: core.Jaxpr) -> bool:
    """Return whether a program has more convolutions than products of matrices."""
    names = Counter(_primitives(jaxpr))
    return names["conv_general_dilated"] > names["dot_general"]


def _primitives(jaxpr: core.Jaxpr) -> Iterator[str]:
    """Yield the names of a program's primitives, those of loops and branches once."""
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name
        for body in inner_jaxprs(eqn):
            yield from _primitives(body)


def largest(jaxpr: core.Jaxpr) -> int:
    """Return the number of elements of the largest array of a program."""
    atoms = [*jaxpr.invars, *(var for eqn in jaxpr.eqns for var in eqn.outvars)]
    own = [math.prod(shape_of(atom)) for atom in atoms]
    inner = [largest(body) for eqn in jaxpr.eqns for body in inner_jaxprs(eqn)]
    return max([1, *own, *inner])


def _told(returned: object) -> str:
    if isinstance(returned, jax.Array):
        return f"one array, {returned.dtype}{list(returned.shape)}"
    return f"a {type(returned).__name__} with {len(jax.tree.leaves(returned))} arrays"


def check_callable(fun: object) -> None:
    """Refuse what is not a function.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(fun):
        raise TypeError(
            f"fun must be a function of arrays, such as a module's apply, got {fun!r} of type "
            f"{type(fun).__name__}"
        )


def _name(fun: Callable[..., Tree]) -> str:
    return getattr(fun, "__qualname__", None) or repr(fun)


def _where(path: KeyPath, places: tuple[int, ...]) -> str:
    return f"args[{places[path[0].idx]}]{keystr(path[1:])}"


def _source(leaf: Given, path: KeyPath, places: tuple[int, ...]) -> jax.Array:
    """A leaf of a source argument as an array, if it can be one."""
    where = _where(path, places)
    if not is_arraylike(leaf):
        raise TypeError(
            f"source {where} must be an array, got {leaf!r} of type {type(leaf).__name__}; pass "
            "arrays as sources and leave other arguments out of argnums"
        )
    array = asarray(leaf)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        raise TypeError(
            f"source {where} must be floating-point, got {array.dtype}{list(array.shape)}; convert "
            "it (x.astype('float32')), or take as source what is made of it, such as its embedding"
        )
    return array
