"""Numbers in arrays that the program itself tells.

A walk holds what is known as NumPy arrays: literals, small constants, and what is computed of them.
Arrays of JAX are not looked at, so a walk means the same whether it is traced or not; of some the
program says that they hold one number in all places: `jnp.zeros(shape)` is a literal that was
spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._core.value import Value
from rfp_jax._util.trees import Given, is_traced

_LARGE = 1 << 18
"""A table of positions or a resizing matrix has fewer elements; an array of more is a weight."""


def is_known(value: object) -> TypeGuard[np.ndarray]:
    """Return whether the program says what an array holds."""
    return isinstance(value, np.ndarray) and value.size <= _LARGE


class Known:
    """The numbers that are known in one walk.

    Attributes:
        passed: the arrays that were passed to the call, whose numbers do not count.
    """

    def __init__(self, passed: Sequence[jax.Array] = ()) -> None:
        self.passed = passed
        self._passed = frozenset(map(id, passed))
        self._numbers: dict[int, tuple[Value, float]] = {}  # arrays are kept: their identity counts

    def constant(self, value: Given) -> Given:
        """Return a constant of a program as a walk holds it: a single number in NumPy.

        Larger arrays of JAX may be parameters, and are treated like those that are passed.
        """
        is_passed = is_traced(value) or id(value) in self._passed
        is_number = not is_passed and np.size(value) == 1 and _is_numeric(value)
        return np.asarray(value) if is_number else value

    def keep(self, value: Value, number: float | None) -> None:
        """Remember the number that an array holds in all places, if there is one."""
        if number is not None:
            self._numbers[id(value)] = value, number

    def number(self, value: Value) -> float | None:
        """Return the number that a value holds in all places, or None."""
        if is_known(value):
            return _number(value)
        found = self._numbers.get(id(value))
        return None if found is None else found[1]


def _number(array: np.ndarray) -> float | None:
    if array.size == 0 or array.dtype == np.bool_ or jnp.iscomplexobj(array):
        return None
    first = array.flat[0]
    is_uniform = array.flat[-1] == first and (array == first).all()  # most differ at the ends
    return float(first) if is_uniform else None


def _is_numeric(value: Given) -> bool:
    """Return whether a value is an array of numbers or truth values; a random key is not."""
    dtype = getattr(value, "dtype", None)
    return dtype is not None and any(
        jnp.issubdtype(dtype, kind) for kind in (jnp.number, jnp.bool_)
    )
