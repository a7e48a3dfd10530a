"""Arrays that hold one number in all places, because the program says so.

`jnp.zeros(shape)` is a literal that was spread: what fills a masked place is known, however it is
written. What a larger array of JAX holds is not known, be it closed over or passed.
"""

from __future__ import annotations

import numpy as np
from jax.core import Tracer

from rfp_jax._core.signatures import is_numpy
from rfp_jax._core.value import Stopped, Tracked, Value


class Fills:
    """The arrays of one walk of which the number is known."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Value, float]] = {}  # arrays are kept: their identity counts

    def keep(self, value: Value, number: float | None) -> None:
        """Remember the number that an array holds in all places, if there is one."""
        if number is not None:
            self._known[id(value)] = value, number

    def keep_constant(self, constant: Value) -> None:
        """Remember the one element of an array that a program closes over, or computes of such.

        Larger arrays of JAX may be parameters, and are treated like those that are passed.
        """
        if isinstance(constant, Tracked | Stopped | Tracer) or np.size(constant) != 1:
            return
        self.keep(constant, _number(np.asarray(constant)))

    def number(self, value: Value) -> float | None:
        """Return the number that a value holds in all places, or None."""
        if isinstance(value, float | int):
            return float(value)
        if is_numpy(value):
            return _number(value)
        found = self._known.get(id(value))
        return None if found is None else found[1]


def _number(array: np.ndarray) -> float | None:
    if array.size == 0 or not (np.isrealobj(array) and np.issubdtype(array.dtype, np.number)):
        return None
    first = array.flat[0]
    is_uniform = array.flat[-1] == first and (array == first).all()  # most differ at the ends
    return float(first) if is_uniform else None
