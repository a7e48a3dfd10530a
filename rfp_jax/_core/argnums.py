"""Resolve which arguments of a call are sources, as in `jax.grad`."""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

Argnums = int | Sequence[int]


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def resolve(argnums: Argnums, count: int) -> tuple[int, ...]:
    """The arguments that `argnums` points to, counted from the front.

    Args:
        argnums: one position or several; negative ones count from the end.
        count: how many positional arguments there are.

    Returns:
        Positions from 0 on, in the order of `argnums`.

    Raises:
        TypeError: if `argnums` is neither an int nor a sequence of ints.
        ValueError: if it is empty, points past the arguments, or names one twice.

    Examples:
        >>> resolve((1, -1), count=4)
        (1, 3)
    """
    given: object = (argnums,) if isinstance(argnums, int | np.integer) else argnums
    if isinstance(given, str) or not _is_sequence(given):
        raise TypeError(f"argnums must be an int or a tuple of ints, got {argnums!r}")
    found: list[int] = []
    for place in given:
        if not _is_integer(place):
            raise TypeError(f"argnums must be an int or a tuple of ints, got {argnums!r}")
        if not -count <= place < count:
            raise ValueError(
                f"argnums={argnums!r} points past the {count} positional arguments of the call; "
                "pass sources by position"
            )
        found.append(int(place) % count)
    if not found:
        raise ValueError("argnums is empty: name at least one source")
    if len(set(found)) < len(found):
        raise ValueError(f"argnums={argnums!r} names an argument twice")
    return tuple(found)
