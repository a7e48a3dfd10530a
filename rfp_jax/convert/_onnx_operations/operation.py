"""An operation: a function of a node's inputs and attributes, and what it must know beforehand."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rfp_jax._util.trees import Tree

Known: TypeAlias = Annotated[np.ndarray, "known when the program is traced"]
"""An operand whose value is needed when the program is traced: a shape, an axis."""

Fixed: TypeAlias = Annotated[ArrayLike, "a number of the program"]
"""An operand that stays a number of the program where it is one: an exponent, a bound."""

Number: TypeAlias = Annotated[ArrayLike, "one number, if it is known and a single one"]
"""An operand that is a NumPy array where it is known and has one element: what fills a mask."""


@dataclass(frozen=True)
class Operation:
    """An operation of the table.

    Attributes:
        fun: takes the node's inputs by position (None for one left out) and its attributes by
            keyword; returns an array, or several in a tuple or list. `n_outputs`, if it is among
            its keywords, tells how many outputs are asked for.
        parameters: its parameters by name.
    """

    fun: Callable[..., Tree]
    parameters: Mapping[str, inspect.Parameter]

    @classmethod
    def from_function(cls, fun: Callable[..., Tree]) -> Operation:
        """Read the signature of a function."""
        return cls(fun, inspect.signature(fun).parameters)

    @property
    def counts_outputs(self) -> bool:
        """Return whether it takes `n_outputs`."""
        return "n_outputs" in self.parameters

    def name(self, position: int) -> str:
        """The name of an operand; those of `*operands` share one."""
        for i, parameter in enumerate(self.parameters.values()):
            if i == position or parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                return parameter.name
        return str(position)

    def is_known(self, position: int) -> bool:
        """Return whether an operand must be known when the program is traced."""
        return self._is_marked(position, "Known", Known)

    def is_fixed(self, position: int) -> bool:
        """Return whether an operand stays a number of the program where it is one."""
        return self.is_known(position) or self._is_marked(position, "Fixed", Fixed)

    def is_number(self, position: int) -> bool:
        """Return whether a single known number stays one."""
        return self._is_marked(position, "Number", Number)

    def _is_marked(self, position: int, name: str, mark: object) -> bool:
        """Return whether an operand has a mark, as such or as text, alone or with None."""
        parameter = self.parameters.get(self.name(position))
        if parameter is None:
            return False
        annotation = parameter.annotation
        if isinstance(annotation, str):
            return annotation.removesuffix(" | None") == name
        return mark in (annotation, *get_args(annotation))


def aligned(*arrays: ArrayLike) -> list[jax.Array]:
    """The arrays with one rank: sizes of 1 are put in front, as broadcasting does."""
    given = [jnp.asarray(array) for array in arrays]
    rank = max(array.ndim for array in given)
    return [
        a if a.ndim in (0, rank) else a.reshape((1,) * (rank - a.ndim) + a.shape) for a in given
    ]


def ints(values: np.ndarray) -> tuple[int, ...]:
    """The numbers of a known array of integers."""
    return tuple(int(value) for value in np.ravel(values))


def on_axis(vector: ArrayLike, rank: int, axis: int) -> jax.Array:
    """A vector along one axis of arrays of a rank."""
    vector = jnp.asarray(vector)
    return vector.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def int64() -> np.dtype:
    """The dtype of indices, as wide as JAX is told to compute."""
    return jax.dtypes.canonicalize_dtype(np.int64)
