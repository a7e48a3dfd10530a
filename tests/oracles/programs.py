"""Random programs of two sources: blocks on each, a join, blocks behind it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np

from tests.oracles.blocks import BLOCKS, Block, C, T
from tests.oracles.joins import JOINS

SAMPLES = 2
COUNT = len(JOINS)


@dataclass(frozen=True)
class Program:
    """A function of two sources of shape `[sample, T, C]`, and numbers for it.

    Attributes:
        name: its blocks, as one reads them.
        fun: the function.
        sources: float64.
    """

    name: str
    fun: Callable[[jax.Array, jax.Array], jax.Array]
    sources: tuple[np.ndarray, np.ndarray]


def programs(seed: int) -> Iterator[Program]:
    """Draw `COUNT` programs in which each join stands once, and each block once or more."""
    rng = np.random.default_rng(seed)
    names = itertools.cycle(rng.permutation(list(BLOCKS)))
    for place, join in enumerate(rng.permutation(list(JOINS))):
        lengths = rng.permutation([0, 1, 2] if place % 2 else [1, 1, 2])
        yield _program(join, [[next(names) for _ in range(n)] for n in lengths], rng)


def _program(join: str, chains: list[list[str]], rng: np.random.Generator) -> Program:
    one, other, behind = ([BLOCKS[name](rng) for name in chain] for chain in chains)
    joined = JOINS[join](rng)
    a, b = rng.choice([1e-3, 0.1, 1.0, 1.0, 10.0]) * rng.normal(size=(2, SAMPLES, T, C))
    title = "({}) and ({}), {}, then ({})".format(
        *(", ".join(chain) or "as it is" for chain in chains[:2]), join, ", ".join(chains[2])
    )
    return Program(title, lambda a, b: _run(behind, joined(_run(one, a), _run(other, b))), (a, b))


def _run(blocks: list[Block], x: jax.Array) -> jax.Array:
    for block in blocks:
        x = block(x)
    return x
