"""Measure each method."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.compare.methods import Attribution, Cost, Score, attributions, scores
from rfp_jax import attribution, plot

SECONDS = 1.0
"""A method is timed again and again for so long."""


@dataclass(frozen=True)
class Row:
    """Measurements of one method; None where a method gives no such number.

    Attributes:
        method: its name.
        value: mean attribution of the true class, or the score, of each source.
        share: of each source: the median of `|value_s| / sum_t |value_t|` over the samples, true
            class; for a score the same of its values.
        passes: evaluations of the network.
        linear: linear passes through it.
        seconds: of one call on the batch, compiled; the median of several.
        rank_correlation: with RFP, mean over the samples.
        l1: mean absolute difference from RFP.
        first_hurts_most: how often no other source's removal hurts more than that of the source
            ranked first.
        accuracy_without_first: accuracy with the source ranked first removed from each sample.
        area: mean height of the curve of outputs while sources are removed in order.
        randomized: rank correlation with itself after the parts of the network are randomized one
            after the other.
    """

    method: str
    value: dict[str, float]
    share: dict[str, float]
    passes: int
    linear: int
    seconds: float
    rank_correlation: float | None = None
    l1: float | None = None
    first_hurts_most: float | None = None
    accuracy_without_first: float | None = None
    area: float | None = None
    randomized: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A network and its data, on which all methods are tried.

    Attributes:
        fun: the network, `fun(variables, *images)`.
        variables: trained.
        random_variables: another initialization of the network.
        layers: parts of the variables, from the output to the input.
        images: of each source, [batch, ...].
        labels: the true classes, int [batch].
        sources: names of the sources.
        classes: how many classes there are.
    """

    fun: Callable[..., Any]
    variables: Any
    random_variables: Any
    layers: Sequence[str]
    images: tuple[Any, ...]
    labels: Any
    sources: Sequence[str]
    classes: int


def compare(case: Case, key: jax.Array) -> Iterator[Row]:
    """Measure every method.

    Args:
        case: what they are tried on.
        key: random key, for methods that sample.

    Yields:
        A row for each method.
    """
    count = len(case.sources)
    reference = None
    for method in attributions(case.fun, count, case.classes, key):
        found = method.explain(case.variables, case.images)
        reference = found if reference is None else reference
        yield _attribution(case, method, found, reference)
    for method in scores(case.fun, count, len(case.labels), key):
        yield _score(case, method)


def _attribution(case: Case, method: Attribution, found: Any, reference: Any) -> Row:
    agreement = attribution.agreement(found, reference)
    places = tuple(range(1, 1 + len(case.sources)))
    labels = jnp.asarray(case.labels)
    deletion = attribution.deletion(case.fun, places)(found, labels, case.variables, *case.images)
    randomized = attribution.randomization(
        lambda variables: method.explain(variables, case.images),
        case.variables,
        case.random_variables,
        case.layers,
    )
    of_label = np.stack([plot.select_class(each, case.labels) for each in found])
    return Row(
        method=method.name,
        value=_named(case, of_label.mean(1)),
        share=_named(case, np.median(_shares(of_label), axis=1)),
        **_cost(method.cost, lambda: method.explain(case.variables, case.images)),
        rank_correlation=float(jnp.nanmean(agreement.rank_correlation)),
        l1=float(agreement.l1.mean()),
        first_hurts_most=float(deletion.first_hurts_most.mean()),
        accuracy_without_first=float(deletion.score[1].mean()),
        area=float(deletion.area.mean()),
        randomized=dict(
            zip(randomized.layers, map(float, randomized.rank_correlation), strict=True)
        ),
    )


def _score(case: Case, method: Score) -> Row:
    labels = jnp.asarray(case.labels)
    found = np.array(method.measure(case.variables, case.images, labels))
    return Row(
        method=method.name,
        value=_named(case, found),
        share=_named(case, _shares(found)),
        **_cost(method.cost, lambda: method.measure(case.variables, case.images, labels)),
    )


def _shares(values: np.ndarray) -> np.ndarray:
    """Share of each source, [sources, ...]; NaN where all values are zero."""
    total = np.abs(values).sum(0)
    return np.abs(values) / np.where(total > 0, total, np.nan)


def _named(case: Case, values: np.ndarray) -> dict[str, float]:
    return dict(zip(case.sources, map(float, values), strict=True))


def _cost(cost: Cost, call: Callable[[], Any]) -> dict[str, Any]:
    """Time a call that has been compiled."""
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < SECONDS:
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return {**cost._asdict(), "seconds": float(np.median(times))}
