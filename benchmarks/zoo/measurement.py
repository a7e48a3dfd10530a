"""One model's row: its coverage, its certificate, and the theorem RFP = LRP in numbers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp

import rfp_jax
from benchmarks.zoo.double import in_double
from benchmarks.zoo.entry import Builder, Entry
from benchmarks.zoo.original import Beside, beside
from rfp_jax._util.compiler import run_once
from rfp_jax._util.trees import Tree

EXACT = 1e-10
"""The error that may remain in float64."""

TIMED = 3.0
"""Seconds for which a model and its original are timed, in float32."""


@dataclass(frozen=True)
class Measurement:
    """Measurements in one precision.

    Attributes:
        linear, rule, constant, unsupported: how many equations that depend on a source are kept,
            got a rule, pass no relevance, or have no rule.
        rules: how many got which rule.
        tolerance: what rounding may leave, by `rfp_jax.audit`.
        residual: what neither a source nor a bias accounts for, relative to the magnitudes.
        theorem: the greatest difference of a heatmap's sum and relevance, likewise; over all
            outputs, weighted at random.
        output: the greatest difference of the output and the plain model's, likewise.
        from_sources: how much of the magnitudes is the sources'; the rest is bias.
        finite: whether all outputs are numbers.
        seconds: how long it took, compilation and all.
        beside: the model beside the network that it was taken over from, if it was.
    """

    linear: int
    rule: int
    constant: int
    unsupported: int
    rules: dict[str, int]
    tolerance: float
    residual: float
    theorem: float
    output: float
    from_sources: float
    finite: bool
    seconds: float
    beside: Beside | None = None

    @property
    def equations(self) -> int:
        """Return how many equations depend on a source."""
        return self.linear + self.rule + self.constant + self.unsupported

    def within(self, limit: float) -> bool:
        """Return whether all is supported, and each difference within limit and tolerance."""
        limit = min(limit, self.tolerance)
        differences = (self.residual, self.theorem, self.output)
        original = self.beside is None or self.beside.is_right
        exact = all(difference <= limit for difference in differences)
        return self.unsupported == 0 and self.finite and exact and original


@dataclass(frozen=True)
class Row:
    """A model of the zoo.

    Attributes:
        framework, model: its names.
        measured: by the dtype's name.
        error: why it could not be measured, else empty.
    """

    framework: str
    model: str
    measured: dict[str, Measurement] = field(default_factory=dict)
    error: str = ""

    @property
    def passed(self) -> bool:
        """Return whether the model is supported, and conserves in each precision."""
        if self.error or not self.measured:
            return False
        limits = {"float64": EXACT}
        return all(m.within(limits.get(dtype, 1.0)) for dtype, m in self.measured.items())


def survey(
    framework: str, model: str, builder: Builder, dtypes: tuple[str, ...] = ("float32",)
) -> Row:
    """Build a model, measure it in float32 or float64 or both, and let no failure out."""
    measured, entry = {}, None
    for dtype in dtypes:
        try:
            entry = entry or builder(0)
            with jax.enable_x64(dtype == "float64"):
                is_double = dtype == "float64"
                given = in_double(entry) if is_double else entry
                measured[dtype] = measure(given, seconds=0.0 if is_double else TIMED)
        except Exception as error:  # whatever a framework raises is this row's, not the zoo's
            first = (str(error).splitlines() or [""])[0]
            return Row(framework, model, measured, f"{dtype}: {type(error).__name__}: {first}")
    return Row(framework, model, measured)


def measure(entry: Entry, seconds: float = 0.0) -> Measurement:
    """Audit a model, and compare relevance with heatmaps and with the plain output.

    Args:
        entry: the model.
        seconds: how long to time it beside its original; nothing is timed by default.
    """
    start = time.perf_counter()
    fun, args, argnums, original = entry
    report = rfp_jax.audit(fun, argnums)(*args)
    counts = Counter(report.counts)
    plain = run_once(fun, *args)
    weights = jax.random.normal(jax.random.key(1), plain.shape, plain.dtype)
    numbers = {"output": jnp.inf, "theorem": jnp.inf, "from_sources": 0.0}
    if not report.unsupported:
        compare = partial(_compare, fun, argnums)
        numbers = run_once(compare, weights, plain, *args)  # not constants, which XLA would fold
    return Measurement(
        linear=counts["linear"],
        rule=counts["rule"],
        constant=counts["constant"],
        unsupported=counts["unsupported"],
        rules=dict(Counter(e.rule for e in report.entries if e.kind == "rule").most_common()),
        tolerance=report.tolerance or 0.0,
        residual=jnp.inf if report.residual is None else report.residual,
        finite=bool(report.finite),
        beside=beside(fun, args, argnums, original, seconds=seconds) if original else None,
        seconds=time.perf_counter() - start,
        **{name: float(value) for name, value in numbers.items()},
    )


def _compare(
    fun: Callable[..., jax.Array],
    argnums: tuple[int, ...],
    weights: jax.Array,
    plain: jax.Array,
    *args: Tree,
) -> dict[str, jax.Array]:
    """Relevance by the forward pass, heatmaps by the backward pass, and the output."""
    output, sources, bias = rfp_jax.relevance(fun, argnums)(*args)
    heatmaps = rfp_jax.heatmap(fun, argnums, outputs=weights)(*args)
    size = jnp.stack(list(map(jnp.abs, sources))).sum(0)
    magnitude = size + jnp.abs(bias)
    scale = _per_sample(jnp.abs(weights) * magnitude)
    pairs = zip(heatmaps, sources, strict=True)
    gaps = [jnp.abs(_per_sample(h) - _per_sample(weights * r)) / scale for h, r in pairs]
    return {
        "output": jnp.max(jnp.abs(output - plain) / jnp.max(jnp.abs(plain))),
        "theorem": jnp.max(jnp.stack(gaps)),
        "from_sources": size.sum() / magnitude.sum(),
    }


def _per_sample(values: jax.Array) -> jax.Array:
    return values.reshape(values.shape[0], -1).sum(1)
