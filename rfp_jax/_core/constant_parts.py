r"""Constant parts of values, which came from no source, followed from equation to equation.

The remainder \(y - \sum_s c^s_y\) has the rounding errors of all that was subtracted. That is
harmless in sums and products, but not where a function is steep: `log` may start there. So what
came from no source can also be pushed through the frozen equations, like the contribution of one
more source. It is computed when it is asked for, and never beyond the border of a loop or branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import jax

from rfp_jax._core.value import Tracked

Slot = jax.Array | None
"""A constant part as it is carried; None where there is none."""


class ConstantPart(Protocol):
    """A function of a value: the remainder, or without its rounding errors if asked `exactly`.

    Where constants are shared out to the sources little remains; `unshared`, it is what would.
    """

    def __call__(
        self, value: Tracked, /, exactly: bool = False, unshared: bool = False
    ) -> jax.Array:
        """Return what of a value came from no source."""
        ...


def whole(value: Tracked, /, exactly: bool = False, unshared: bool = False) -> jax.Array:
    """Return all of a value: what an equation by itself knows of its constant part."""
    del exactly, unshared
    return value.activation


class _Origin(NamedTuple):
    value: Tracked  # kept, for its identity is the key
    inputs: Sequence[Tracked]
    push: Callable[[list[Slot]], Slot]


class ConstantParts:
    """The constant parts of the values of one walk."""

    def __init__(self) -> None:
        self._origins: dict[int, _Origin] = {}
        self._found: dict[int, Slot] = {}

    def keep(
        self, value: Tracked, inputs: Sequence[Tracked], push: Callable[[list[Slot]], Slot]
    ) -> None:
        """Remember how the constant part of a value is made of those of other values."""
        self._origins[id(value)] = _Origin(value, inputs, push)

    def follow(self, value: Tracked, remainder: Callable[[Tracked], Slot]) -> Slot:
        """Return what is carried of the constant part of a value.

        Args:
            value: the value.
            remainder: what is carried of the constant part of a value that was made elsewhere.
        """
        found = self._found
        waiting = [value]
        while waiting:  # no recursion: chains are long
            first = waiting[-1]
            origin = self._origins.get(id(first))
            if not first.facts.has_constant:
                found[id(first)] = None
            elif origin is None:
                found[id(first)] = remainder(first)
                self.keep(first, (), lambda _: None)
            elif missing := [v for v in origin.inputs if id(v) not in found]:
                waiting.extend(missing)
                continue
            elif id(first) not in found:
                found[id(first)] = origin.push([found[id(v)] for v in origin.inputs])
            waiting.pop()
        return found[id(value)]
