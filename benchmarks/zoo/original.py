"""The network that a model was taken over from, run by its own framework.

Its output says whether the model was taken over rightly; its time is what the user had before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import jax
import numpy as np

import rfp_jax
from benchmarks.speed.timing import interleave

LIMITS = {"float32": 1e-5, "float64": 1e-12}
"""Bounds of the difference of outputs, relative to the greatest, by the original's precision."""

ORACLE_LIMITS = {"float32": 1e-3, "float64": 1e-10}
"""Likewise of heatmaps, which are sums of what cancels."""

Arrays = Sequence[np.ndarray]


class NoOracleError(NotImplementedError):
    """Relevance has no oracle here; the message says why, in a few words."""


class Original(Protocol):
    """A network of another framework, as a function of its sources [batch, ...]."""

    def output(self, sources: Arrays) -> tuple[np.ndarray, str]:
        """Return the output for sources, and the name of the least precise dtype on the way.

        All is computed in the sources' dtype where the framework can.
        """
        ...

    def heatmaps(self, sources: Arrays, weights: np.ndarray) -> list[np.ndarray]:
        """Return relevance of the weighted output by an oracle.

        Raises:
            NoOracleError: there is none.
        """
        ...

    def forward(self, sources: Arrays) -> Callable[[], object]:
        """Return a forward pass without arguments, to be timed."""
        ...


@dataclass(frozen=True)
class Beside:
    """A model beside the network that it was taken over from.

    Attributes:
        output: the greatest difference of the outputs, relative to the greatest output.
        precision: the name of the least precise dtype in which the original computes.
        oracle: likewise of the heatmaps and the oracle's; None without an oracle.
        no_oracle: why there is no oracle, else empty.
        forward: seconds of a compiled forward pass; None where nothing was timed.
        relevance: seconds of compiled relevance of all sources for all outputs, likewise.
        original: seconds of the original's forward pass, likewise.
    """

    output: float
    precision: str
    oracle: float | None
    no_oracle: str = ""
    forward: float | None = None
    relevance: float | None = None
    original: float | None = None

    @property
    def is_right(self) -> bool:
        """Return whether rounding in the original's precision explains the differences."""
        oracle = 0.0 if self.oracle is None else self.oracle
        return self.output <= LIMITS[self.precision] and oracle <= ORACLE_LIMITS[self.precision]


def beside(
    fun: Callable[..., jax.Array],
    args: Sequence[object],
    argnums: Sequence[int],
    original: Original,
    *,
    seconds: float = 3.0,
) -> Beside:
    """Compare a model with its original, and time both in turn, for `seconds` or not at all.

    Heatmaps are compared in float64 alone: in float32 a gate whose input is within rounding of 0
    may pass in one and not in the other.
    """
    sources = [np.asarray(args[place]) for place in argnums]
    expected, precision = original.output(sources)
    forward = rfp_jax.jit(fun)
    output = np.asarray(forward(*args))
    weights = np.random.default_rng(1).standard_normal(output.shape).astype(output.dtype)
    oracle, no_oracle = None, "compared in float64"
    if output.dtype == np.float64:
        heatmap = jax.jit(rfp_jax.heatmap(fun, argnums=tuple(argnums), outputs=weights))
        try:
            theirs = original.heatmaps(sources, weights)
            oracle, no_oracle = max(map(_gap, map(np.asarray, heatmap(*args)), theirs)), ""
        except NoOracleError as error:
            no_oracle = str(error).splitlines()[0]  # PyTorch adds where it was
    times = {}
    if seconds:
        relevance = rfp_jax.jit(rfp_jax.relevance(fun, argnums=tuple(argnums)))
        runs = {
            "forward": lambda: jax.block_until_ready(forward(*args)),
            "relevance": lambda: jax.block_until_ready(relevance(*args)),
            "original": original.forward(sources),
        }
        for run in runs.values():
            run()
        times = interleave(runs, rounds=15, seconds=seconds)
    return Beside(
        output=_gap(output, expected),
        precision=precision,
        oracle=oracle,
        no_oracle=no_oracle,
        **{name: float(np.median(taken)) for name, taken in times.items()},
    )


def _gap(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())
