"""Random expressions, each node of which can be written in several equal ways.

A `Node` is a tree of nodes over some sources, each a line of the table of `writings`; it is
evaluated as it is written first, or as it is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.oracles.writings import DEFAULT
from tests.oracles.writings_of_one import SHAPE, Writing


def _scanned(fun: Writing) -> Writing:
    def one_step(*args: jax.Array) -> jax.Array:
        xs = tuple(a[None] for a in args)
        return lax.scan(lambda carry, x: (carry, fun(*x)), 0.0, xs)[1][0]

    return one_step


def _carried(fun: Writing) -> Writing:
    def one_step(*args: jax.Array) -> jax.Array:
        start = (jnp.zeros(SHAPE), *args)
        return lax.scan(lambda c, _: ((fun(*c[1:]), *c[1:]), None), start, None, length=1)[0][0]

    return one_step


def _ruled(fun: Writing) -> Writing:
    def plain(*args: jax.Array) -> jax.Array:
        return fun(*args)

    called = jax.custom_jvp(plain)
    called.defjvp(lambda primals, tangents: jax.jvp(plain, primals, tangents))
    return called


CALLS: tuple[Callable[[Writing], Writing], ...] = (
    lambda fun: fun,
    jax.jit,
    lambda fun: lambda *args: lax.cond(True, fun, lambda *a: jnp.zeros(SHAPE) + 0 * a[0], *args),
    lambda fun: lambda *args: lax.switch(1, [lambda *a: 7 * a[0], fun], *args),
    _scanned,
    _carried,
    jax.checkpoint,
    _ruled,
    lambda fun: jax.named_call(fun, name="called"),
    lambda fun: lambda *args: jax.vmap(fun)(*(a[None] for a in args))[0],
)
"""Ways to call a function that change nothing."""


@dataclass(frozen=True)
class Node:
    """One node of an expression.

    Attributes:
        name: its line in the table; a source if it is a digit.
        parts: its operands.
        written: the writing that it is rewritten to; the first is what it is written as.
        called: how its equation is called when it is rewritten.
        wrapped: how the whole of the expression below it is called.
    """

    name: str
    parts: tuple[Node, ...] = ()
    written: int = 0
    called: int = 0
    wrapped: int = 0

    def first(self) -> Node:
        """Return the expression as it is written first."""
        return Node(self.name, tuple(part.first() for part in self.parts))

    def nodes(self) -> Iterator[Node]:
        """Yield this node and all below."""
        yield self
        for part in self.parts:
            yield from part.nodes()

    def __call__(self, *sources: jax.Array) -> jax.Array:
        """Evaluate the expression."""
        if not self.parts:
            return sources[int(self.name)]
        if self.wrapped:
            return CALLS[self.wrapped](replace(self, wrapped=0))(*sources)
        forms = DEFAULT[self.name]
        operands = [part(*sources) for part in self.parts]
        return CALLS[self.called](forms[self.written % len(forms)])(*operands)

    def simpler(self) -> Iterator[Node]:
        """Yield expressions that are one step simpler."""
        yield from self.parts
        if self.wrapped:
            yield replace(self, wrapped=0)
        if self.called:
            yield replace(self, called=0)
        if self.parts and self.written % len(DEFAULT[self.name]):
            yield replace(self, written=0)
        for i, part in enumerate(self.parts):
            for better in part.simpler():
                yield replace(self, parts=(*self.parts[:i], better, *self.parts[i + 1 :]))


def numbers(count: int, seed: int) -> Sequence[Any]:
    """Return sources of `SHAPE`."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=SHAPE)) for _ in range(count)]
