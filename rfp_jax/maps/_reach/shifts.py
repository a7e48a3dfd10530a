"""Tools that rules of reach share: shifts of the scene, operands, reasons of ignorance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from jax.extend import core

from rfp_jax._core.dimensions import Shape, shape_of
from rfp_jax._core.jaxprs import Atom
from rfp_jax.maps._reach.hull import Constant, Reach, common

LARGEST = 2**24
"""Hulls of more elements are not followed: their operation counts as global."""


class Blocked(Exception):
    """An equation after which tiles do not equal the whole; the reason in words."""


@dataclass
class Shifts:
    """Shifts of the scene that move every value by whole elements.

    Attributes:
        steps: the steps of all values so far.
    """

    steps: set[Fraction] = field(default_factory=lambda: {Fraction(1)})

    def see(self, reach: Reach, shape: Shape) -> None:
        """Take a value's steps into account."""
        self.steps |= {abs(reach.steps[d]) for d in reach.outer(shape)}

    @property
    def stride(self) -> int:
        """The smallest such shift, in pixels."""
        return common(list(self.steps))


Value = Reach | Constant
Rule = Callable[[core.JaxprEqn, Sequence[Value], Shifts], Reach | list[Reach]]


def depends(value: Value) -> bool:
    """Tell whether a value depends on a source."""
    return isinstance(value, Reach) and not value.is_empty


def as_reach(value: Value, atom: Atom) -> Reach:
    """The reach of an operand; a constant reaches nothing."""
    return value if isinstance(value, Reach) else Reach.nothing(len(shape_of(atom)))


def reaches_of(eqn: core.JaxprEqn, operands: Sequence[Value]) -> list[Reach]:
    return list(map(as_reach, operands, eqn.invars))


def followed(operands: Sequence[Value]) -> Reach:
    """The operand that is followed; the others (fill values, begins of loops) are constants."""
    first, *others = operands
    if not isinstance(first, Reach) or any(map(depends, others)):
        raise Blocked("depends on its source by more than one operand")
    return first
