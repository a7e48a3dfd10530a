"""Measurements of each rule.

With the output y of the true class, the relevance R_s of a source s for it, and a prime for the
same sample with source s replaced by that of another sample:

    effect   correlation of  y - y'  and  R_s - R_s'       over samples and sources
    others   correlation of  R_t  and  R_t'  for t != s    likewise

Relevance is faithful in the first sense if its change is the change of the output, and in the
second (the check of Layer-Wise Modality Decomposition, arXiv 2511.00859) if the relevance of what
was not touched stays. Correlations know no scale: a rule that gives away less than the output is
not punished for it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rfp_jax
from experiments.compare.measure import Case
from rfp_jax import attribution, rules
from rfp_jax.rules import Composite, LayerRule

RANDOM = "random numbers"
"""A control: it must fail where others pass."""

Explain = Callable[[Any, tuple[jax.Array, ...]], tuple[jax.Array, ...]]
"""Relevance of each source for each class, [batch, classes], of variables and sources."""


@dataclass(frozen=True)
class Row:
    """Measurements of one rule on one network.

    Attributes:
        rule: its name.
        effect: see above.
        others: see above; NaN where a network has one source.
        first_hurts_most: how often no other source's removal hurts more than that of the source
            ranked first.
        accuracy_without_first: accuracy with the source ranked first removed from each sample.
        area: mean height of the curve of outputs while sources are removed in order, in units of
            the mean output with all sources.
        randomized: rank correlation with itself in a network whose parameters are drawn anew.
        flops: operations by XLA's count, in those of the network's own pass.
    """

    rule: str
    effect: float
    others: float
    first_hurts_most: float
    accuracy_without_first: float
    area: float
    randomized: float
    flops: float


def rules_for(low: float, high: float) -> dict[str, str | Composite | LayerRule]:
    """List the rules to try: presets, single rules for all layers, composites.

    Two would come twice: `cp_lrp` is `lrp0` by definition, and `zplus()` for all layers is
    `ExcitationBackprop`.

    Args:
        low: the smallest value of the sources, for the z-box.
        high: the greatest.

    Returns:
        Name to rules.
    """
    presets = ("lrp0", "uniform", "attnlrp")
    others = (
        rules.epsilon(0.1),
        rules.gamma(0.25),
        rules.alpha_beta(2, 1),
        rules.EpsilonPlus(),
        rules.EpsilonPlusFlat(),
        rules.EpsilonAlpha2Beta1(),
        rules.EpsilonAlpha2Beta1Flat(),
        rules.EpsilonGammaBox(low, high),
        rules.ExcitationBackprop(),
    )
    return {**{name: name for name in presets}, **{each.name: each for each in others}}


NAMES = (*rules_for(0.0, 1.0), RANDOM)
"""Names of all rows."""


def measure(case: Case, done: Collection[str] = ()) -> Iterator[Row]:
    """Measure every rule, and random numbers for control.

    Args:
        case: what they are tried on.
        done: names of rows that are not wanted again.

    Yields:
        A row for each rule.
    """
    count = len(case.sources)
    places = tuple(range(1, 1 + count))
    labels = jnp.asarray(case.labels)
    forward = _compiled(lambda variables, images: case.fun(variables, *images), case)
    delete = attribution.deletion(case.fun, places)
    replaced = [_replaced(case.images, place) for place in range(count)]

    def target(outputs: Any) -> np.ndarray:
        return np.asarray(jnp.take_along_axis(outputs, labels[:, None], axis=1)[:, 0], np.float64)

    whole = target(forward(case.variables, case.images))
    change = np.stack([whole - target(forward(case.variables, each)) for each in replaced])

    def row(name: str, explain: Any, flops: float) -> Row:
        def relevance(images: tuple[jax.Array, ...]) -> np.ndarray:
            return np.stack([target(each) for each in explain(case.variables, images)])

        found = explain(case.variables, case.images)
        before = np.stack([target(each) for each in found])
        after = np.stack([relevance(each) for each in replaced])  # [replaced, source, batch]
        same = np.eye(count, dtype=bool)
        deleted = delete(found, labels, case.variables, *case.images)
        other = explain(case.random_variables, case.images)
        return Row(
            rule=name,
            effect=correlation(change, before - after[same]),
            others=correlation(np.broadcast_to(before, after.shape)[~same], after[~same]),
            first_hurts_most=float(deleted.first_hurts_most.mean()),
            accuracy_without_first=float(deleted.score[1].mean()),
            area=float(deleted.area.mean() / whole.mean()),
            randomized=float(jnp.nanmean(attribution.agreement(found, other).rank_correlation)),
            flops=flops,
        )

    operations = _flops(forward)
    low = min(float(jnp.min(image)) for image in case.images)
    high = max(float(jnp.max(image)) for image in case.images)
    for name, chosen in rules_for(low, high).items():
        if name in done:
            continue
        explain = _compiled(explainer(case.fun, places, chosen), case)
        yield row(name, explain, _flops(explain) / operations)
    if RANDOM not in done:
        yield row(RANDOM, jax.jit(_random(count, case.classes)), 0.0)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of two arrays of one shape; NaN where one does not vary."""
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else float("nan")


def explainer(
    fun: Callable[..., Any], places: tuple[int, ...], chosen: str | Composite | LayerRule
) -> Explain:
    """Return relevance by one rule as a function of variables and sources."""
    explain = rfp_jax.relevance(fun, places, rules=chosen)
    return lambda variables, images: explain(variables, *images).sources


def _compiled(fun: Callable[..., Any], case: Case) -> Any:
    return jax.jit(fun).lower(case.variables, case.images).compile()


def _flops(compiled: Any) -> float:
    return float(compiled.cost_analysis()["flops"])


def _replaced(images: tuple[jax.Array, ...], place: int) -> tuple[jax.Array, ...]:
    """All samples, one source of which is that of the sample before."""
    return tuple(
        jnp.roll(image, 1, axis=0) if at == place else image for at, image in enumerate(images)
    )


def _random(count: int, classes: int) -> Explain:
    """Return random numbers that are drawn anew for other sources, also for a changed order."""

    def explain(variables: Any, images: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        given = [jnp.ravel(leaf) for leaf in jax.tree.leaves((variables, images))]
        total = sum(jnp.vdot(leaf, jnp.arange(1.0, 1 + len(leaf))) for leaf in given)
        seed = jax.lax.bitcast_convert_type(jnp.float32(total), jnp.uint32)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), seed), count)
        return tuple(jax.random.normal(key, (len(images[0]), classes)) for key in keys)

    return explain
