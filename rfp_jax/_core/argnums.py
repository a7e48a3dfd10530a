"""Resolve which arguments of a call are sources, as in `jax.grad`."""

from collections.abc import Sequence

import numpy as np

Argnums = int | Sequence[int]


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
    given = (argnums,) if isinstance(argnums, int | np.integer) else argnums
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"argnums must be an int or a tuple of ints, got {argnums!r}")
    for place in given:
        if isinstance(place, bool) or not isinstance(place, int | np.integer):
            raise TypeError(f"argnums must be an int or a tuple of ints, got {argnums!r}")
        if not -count <= place < count:
            raise ValueError(
                f"argnums={argnums!r} points past the {count} positional arguments of the call; "
                "pass sources by position"
            )
    found = tuple(int(place) % count for place in given)
    if not found:
        raise ValueError("argnums is empty: name at least one source")
    if len(set(found)) < len(found):
        raise ValueError(f"argnums={argnums!r} names an argument twice")
    return found
