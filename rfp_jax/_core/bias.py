"""Ways to treat the constants that equations add: they came from no source.

- `Keep`: they are not followed; the bias is what remains of the output.
- `SharedBias`: each is given to the sources that contributed to the same place.
- `Propagate`: they are one more source, in the last slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp

from rfp_jax._core.carrier import Carrier
from rfp_jax._core.frozen import Frozen
from rfp_jax._core.signatures import epsilon, finite, zeros_like
from rfp_jax._core.value import Slots


class Bias(Protocol):
    """A way to treat constants."""

    @property
    def slots(self) -> int:
        """The number of slots that constants take."""
        ...

    @property
    def needs_all_slots(self) -> bool:
        """Return whether what a slot gets depends on the others at the same place."""
        ...

    def constant_slots(self, carrier: Carrier, y: jax.Array, count: int) -> Slots:
        """Return the slots of a value that depends on no source, where one is expected."""
        ...

    def added(self, carrier: Carrier, frozen: Frozen, pushed: list[Slots]) -> list[Slots]:
        """Return the slots of an equation's results, of what its `push` made and its constants."""
        ...


@dataclass(frozen=True)
class Keep:
    """Constants are not followed: the bias is what remains."""

    slots: int = 0
    needs_all_slots: bool = False

    def constant_slots(self, carrier: Carrier, y: jax.Array, count: int) -> Slots:
        """Return no contributions."""
        del carrier, y
        return (None,) * count

    def added(self, carrier: Carrier, frozen: Frozen, pushed: list[Slots]) -> list[Slots]:
        """Return what was pushed."""
        del carrier, frozen
        return pushed


@dataclass(frozen=True)
class SharedBias(Keep):
    """The bias b of an equation goes to the sources: `c_s + b |c_s| / sum |c|`.

    Where no source contributed anything but rounding errors of b, nobody can be given a part, and b
    stays bias. An option of the authors' code (Gawlikowski & Gottschling 2024).
    """

    needs_all_slots: bool = True

    def added(self, carrier: Carrier, frozen: Frozen, pushed: list[Slots]) -> list[Slots]:
        """Share out the constants."""
        del carrier
        if frozen.bias is None:
            return pushed
        return [_shared(b, c) for b, c in zip(frozen.biases(), pushed, strict=True)]


@dataclass(frozen=True)
class Propagate:
    """Constants are one more source, in the last slot."""

    slots: int = 1
    needs_all_slots: bool = False

    def constant_slots(self, carrier: Carrier, y: jax.Array, count: int) -> Slots:
        """Return the constant itself, in the last slot."""
        return (*(None,) * (count - 1), carrier.seed(finite(y)))

    def added(self, carrier: Carrier, frozen: Frozen, pushed: list[Slots]) -> list[Slots]:
        """Add the constants to the last slot."""
        if frozen.bias is None:
            return pushed
        each = zip(frozen.outputs, frozen.biases(), pushed, strict=True)
        return [self._add(carrier, y, b, c, frozen.in_fractions) for y, b, c in each]

    def _add(
        self, carrier: Carrier, y: jax.Array, bias: jax.Array, slots: Slots, is_fraction: bool
    ) -> Slots:
        if not jnp.issubdtype(y.dtype, jnp.inexact):
            return slots
        bias = jnp.broadcast_to(finite(bias), y.shape)
        bias = (bias if is_fraction else carrier.carry(y, bias)).astype(y.dtype)
        *carried, before = slots
        return (*carried, bias if before is None else before + bias)


def _shared(bias: jax.Array, slots: Slots) -> Slots:
    sizes = [None if c is None else jnp.abs(c) for c in slots]
    given = [size for size in sizes if size is not None]
    if not given:
        return slots
    total = sum(given[1:], given[0])
    part = bias / jnp.where(total == 0, 1, total)
    rounding = 16 * epsilon(total.dtype)
    part = jnp.where(total <= rounding * jnp.abs(bias), 0, part)
    return tuple(
        None if c is None or size is None else _settled(c + part * size, 4 * rounding * size)
        for c, size in zip(slots, sizes, strict=True)
    )


def _settled(c: jax.Array, error: jax.Array) -> jax.Array:
    """Return contributions without what rounding left of them, which no later bias may go to."""
    return jnp.where(jnp.abs(c) <= error, zeros_like(c), c)
