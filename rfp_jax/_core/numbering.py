"""Value numbering: equal equations of the same values are one value, however often they stand.

So a formula that is written twice counts as written once, and is computed once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from jax.extend import core

from rfp_jax._core.known import is_known
from rfp_jax._core.value import Value

_COMMUTATIVE = frozenset({"add", "add_any", "mul"})

Key = tuple[Hashable, ...]


class Numbering:
    """The results of the equations of one walk, by primitive, parameters, operands and rule."""

    def __init__(self) -> None:
        self._made: dict[Key, tuple[Sequence[Value], list[Value]]] = {}

    def find(self, key: Key | None) -> list[Value] | None:
        """Return the results of an equal equation, or None if there was none."""
        return None if key is None or key not in self._made else self._made[key][1]

    def keep(self, key: Key | None, operands: Sequence[Value], results: list[Value]) -> None:
        """Remember the results of an equation; its operands too, whose identity the key has."""
        if key is not None:
            self._made[key] = operands, results


def key_of(eqn: core.JaxprEqn, operands: Sequence[Value], rule: object = None) -> Key | None:
    """Return what an equation's results depend on; None if it has effects, or it is not known."""
    if eqn.effects:
        return None
    numbers = [_number(value) for value in operands]
    if eqn.primitive.name in _COMMUTATIVE:
        numbers.sort(key=str)
    try:
        key = (eqn.primitive, tuple(sorted(eqn.params.items())), tuple(numbers), rule)
        hash(key)
    except TypeError:  # parameters that have no hash, or no order
        return None
    return key


def _number(value: Value) -> Hashable:
    """Return what identifies a value: a literal of the program by its number, others themselves."""
    if is_known(value) and value.size == 1:
        return str(value.dtype), value.shape, value.tobytes()
    return id(value)
