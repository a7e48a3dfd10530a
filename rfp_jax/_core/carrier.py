"""Carriers: contributions, or fractions of the activation, travel in the slots.

A contribution is `c = a p`, activation times fraction. Where a = 0 (a black pixel, a ReLU that is
off) the contribution has lost its fraction; the messages of flat, w² and z-box do not vanish there,
so for these rules fractions travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen
from rfp_jax._core.primitives import ELEMENTWISE, PLACEMENTS
from rfp_jax._core.signatures import ones_like, zeros_like
from rfp_jax._core.value import Tracked
from rfp_jax._util import shapes

Carried = Sequence[jax.Array | None]
"""The slots of one source, for the inputs of an equation or for its results."""


class Carrier(Protocol):
    """Encodes in a slot what a source contributed."""

    @property
    def wide(self) -> Carrier:
        """The carrier in bodies of loops and branches and of constants, which rounds nothing."""
        return self

    def rounding(self, equation: Equation, frozen: Frozen, inputs: Sequence[Tracked]) -> float:
        """Return the greatest error that rounding adds to contributions on their way to results."""
        del equation, frozen, inputs
        return 0.0

    def seed(self, x: shapes.Inexact[jax.Array, "*shape"]) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return what a whole source carries at first: all that there is of itself."""
        ...

    def carry(
        self, y: shapes.Inexact[jax.Array, "*shape"], c: shapes.Inexact[jax.Array, "*shape"]
    ) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return what an activation y carries of a contribution c."""
        ...

    def read(
        self, y: shapes.Inexact[jax.Array, "*shape"], carried: shapes.Inexact[jax.Array, "*shape"]
    ) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return the contribution that an activation y carries; the inverse of `carry`."""
        ...

    def push(
        self, equation: Equation, frozen: Frozen, inputs: Sequence[Tracked], carried: Carried
    ) -> Carried:
        """Push what one source contributed to the inputs; some of it may be absent, not all."""
        ...


@dataclass(frozen=True)
class Contributions(Carrier):
    """Slots hold contributions."""

    def seed(self, x: shapes.Inexact[jax.Array, "*shape"]) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return all of the source."""
        return x

    def carry(
        self, y: shapes.Inexact[jax.Array, "*shape"], c: shapes.Inexact[jax.Array, "*shape"]
    ) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return the contribution."""
        del y
        return c

    def read(
        self, y: shapes.Inexact[jax.Array, "*shape"], carried: shapes.Inexact[jax.Array, "*shape"]
    ) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return the contribution."""
        del y
        return carried

    def push(
        self, equation: Equation, frozen: Frozen, inputs: Sequence[Tracked], carried: Carried
    ) -> Carried:
        """Push contributions; an activation that came whole from one source stays whole."""
        del equation
        given = list(zip(carried, inputs, strict=True))
        if frozen.bias is None and all(c is value.activation for c, value in given):
            return frozen.outputs
        if not frozen.skips_absent:
            carried = [zeros_like(value.activation) if c is None else c for c, value in given]
        return frozen.pushed(*carried)


@dataclass(frozen=True)
class Fractions(Carrier):
    """Slots hold fractions p; the contribution is `activation * p`."""

    def seed(self, x: shapes.Inexact[jax.Array, "*shape"]) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return 1: a source has all of itself."""
        return ones_like(x)

    def carry(
        self, y: shapes.Inexact[jax.Array, "*shape"], c: shapes.Inexact[jax.Array, "*shape"]
    ) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return the fraction that a contribution is, kept finite where y is zero."""
        return c / jnp.where(y == 0, ones_like(y), y)

    def read(
        self, y: shapes.Inexact[jax.Array, "*shape"], carried: shapes.Inexact[jax.Array, "*shape"]
    ) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return the contribution that a fraction is."""
        return y * carried

    def push(
        self, equation: Equation, frozen: Frozen, inputs: Sequence[Tracked], carried: Carried
    ) -> Carried:
        """Push fractions; as they are where that is what the equation does."""
        given = list(zip(carried, inputs, strict=True))
        parts = [zeros_like(value.activation) if p is None else p for p, value in given]
        is_own = frozen.inputs is None  # else the equation stands for a whole layer before it
        if frozen.in_fractions or (equation.name in PLACEMENTS and is_own):
            return frozen.pushed(*parts)
        shapes_before = [p.shape for p in parts]
        if equation.name in ELEMENTWISE and is_own and shapes_before == [frozen.output.shape]:
            y = frozen.output
            kept = 1 if frozen.bias is None else 1 - self.carry(y, frozen.bias())
            return [(kept * parts[0]).astype(y.dtype)]
        contributions = [value.activation * p for p, value in zip(parts, inputs, strict=True)]
        both = zip(frozen.outputs, frozen.pushed(*contributions), strict=True)
        return [c if c is None else self.carry(y, c) for y, c in both]
