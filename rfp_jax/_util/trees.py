"""Types of what has no type in Python: trees of arrays, and what a user may give for an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from jax.core import Tracer

Tree: TypeAlias = Any
"""A tree of arrays. Any: Python has no type for a tree of unknown structure."""

Leaf: TypeAlias = Any
"""A leaf of a tree. Any: an array as a rule, and whatever else a user's tree holds."""

Given: TypeAlias = Any
"""A user's value where arrays are meant. Any: it is checked before it is used."""

Number: TypeAlias = Any
"""The number of a part. Any: an int, or one that JAX traces."""

Json: TypeAlias = Any
"""A value read from JSON. Any: its structure is checked where it is used."""

Device: TypeAlias = Any
"""A `jax.Device`. Any: type checkers take JAX's name for a variable."""

Devices = Sequence[Device]


def is_traced(value: object) -> bool:
    """Return whether a value stands for an array that JAX has yet to compute."""
    return isinstance(value, Tracer)
