"""Measurements of each method: sums on one network, means over all of them."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.compare.maps.methods import REFERENCE, Method
from experiments.segmentation.explaining import Paired
from experiments.segmentation.summary import mean_and_error
from rfp_jax import attribution

QUANTITIES = (
    "agrees",
    "dominating",
    "other",
    "difference",
    "within",
    "pearson",
    "mse",
    "pearson_itself",
    "mse_itself",
    "seconds",
)
"""Names of the numbers that `numbers` returns of each method."""

Sums = dict[str, Any]
"""Sums of one method, network and condition; arrays over sources."""


class Bench:
    """The network with everything that is compiled for it, once for all batches and variables.

    Args:
        apply: the network, `apply(variables, *sources)`.
        tried: the methods; the reference is among them.
        sources: how many sources.
    """

    def __init__(self, apply: Callable[..., Any], tried: Sequence[Method], sources: int):
        places = tuple(range(1, 1 + sources))
        self._methods = sorted(tried, key=lambda each: each.name != REFERENCE)  # it comes first
        self._dominance = attribution.dominance(apply, places)
        self._replacements = {
            each.name: attribution.replacement(each.explain, places) for each in tried
        }

    def measure(
        self, variables: Any, batches: Iterable[Paired], advance: Callable[[], None]
    ) -> dict[str, dict[str, Sums]]:
        """Try every method on every batch, clear and cloudy.

        Args:
            variables: of the network.
            batches: patches; a source is replaced by that of the next patch of the batch.
            advance: called after each batch in each condition.

        Returns:
            By condition and method: `changed` [replaced source, dominating source] and `pixels`
            [dominating source] count pixels; `pearson`, `mse`, `size` are sums over patches of what
            `attribution.replacement` returns, and `known` counts those with a correlation;
            `agrees` counts the pixels at which the reference finds the same dominating source.
        """
        found: dict[str, dict[str, Sums]] = {}
        for batch in batches:
            others = np.roll(np.arange(len(batch.mask)), -1)
            for condition, images in batch.images.items():
                sums = found.setdefault(condition, {})
                first = None
                for method in self._methods:
                    args = (variables, *images)
                    replaced = self._replacements[method.name](others, *args)
                    start = time.perf_counter()  # it is compiled now
                    said = jax.block_until_ready(method.explain(*args))
                    seconds = time.perf_counter() - start
                    tested = self._dominance(said, others, *args)
                    source = np.asarray(tested.source)[: batch.real]
                    first = source if first is None else first
                    changed = np.asarray(tested.changed)[:, : batch.real]
                    each = {
                        **_counted(source, changed),
                        **_summed(replaced, batch.real),
                        "agrees": float((source == first).sum()),
                        "seconds": [seconds],
                    }
                    sums[method.name] = _added(sums.get(method.name), each)
                advance()
        return found


def _counted(source: np.ndarray, changed: np.ndarray) -> Sums:
    """Count pixels by the source that dominates them."""
    every = range(len(changed))
    return {
        "changed": np.array([[(row & (source == d)).sum() for d in every] for row in changed]),
        "pixels": np.array([(source == d).sum() for d in every]),
    }


def _summed(found: attribution.Replacement, real: int) -> Sums:
    pearson, mse, size = (np.asarray(each, float)[..., :real] for each in found)
    return {
        "pearson": np.nansum(pearson, -1),
        "known": np.isfinite(pearson).sum(-1),
        "mse": mse.sum(-1),
        "size": size.sum(-1),
    }


def _added(before: Sums | None, more: Sums) -> Sums:
    return more if before is None else {name: before[name] + more[name] for name in more}


def numbers(sums: Sums) -> dict[str, float]:
    """Put the sums of one method on one network into numbers.

    Args:
        sums: as `Bench.measure` returns them.

    Returns:
        `agrees`: at which fraction of the pixels the reference finds the same dominating source.
        `dominating`, `other`: how often the class changes if the source that dominates the pixel,
        or another one, is replaced, and the `difference` of both. `within`: how much more often
        replacing *the same* source changes the class where it dominates than where it does not,
        mean over the sources; NaN if a source dominates everywhere or nowhere. `pearson`, `mse`:
        what is said of a source before and after another one is replaced; the MSE as a part of the
        mean square before. `pearson_itself`, `mse_itself`: of the replaced source. `seconds` of a
        batch.
    """
    changed, pixels = np.asarray(sums["changed"], float), np.asarray(sums["pixels"], float)
    count = len(pixels)
    itself = np.eye(count, dtype=bool)
    dominating = changed[itself].sum() / pixels.sum()
    other = changed[~itself].sum() / pixels.sum() / (count - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        where = changed[itself] / pixels
        elsewhere = (changed.sum(1) - changed[itself]) / (pixels.sum() - pixels)
        pearson = sums["pearson"] / sums["known"]
        mse = sums["mse"] / sums["size"][None]
    return {
        "agrees": sums["agrees"] / pixels.sum(),
        "dominating": dominating,
        "other": other,
        "difference": dominating - other,
        "within": float((where - elsewhere).mean()),
        "pearson": float(pearson[~itself].mean()),
        "mse": float(mse[~itself].mean()),
        "pearson_itself": float(pearson[itself].mean()),
        "mse_itself": float(mse[itself].mean()),
        "seconds": float(np.median(sums["seconds"])),
    }


def summarize(networks: Sequence[Mapping[str, Mapping[str, Sums]]]) -> dict[str, Any]:
    """Put all networks into means and standard errors.

    Args:
        networks: what `Bench.measure` returned of each, at least two.

    Returns:
        By condition, method and quantity of `numbers`: `mean` and `standard_error`, None where a
        network has no such number.
    """
    return {
        condition: {
            name: _over_networks([numbers(found[condition][name]) for found in networks])
            for name in tried
        }
        for condition, tried in networks[0].items()
    }


def _over_networks(each: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    found = {}
    for quantity in QUANTITIES:
        mean, error = map(float, mean_and_error(np.array([one[quantity] for one in each])))
        known = bool(np.isfinite(mean))
        found[quantity] = {
            "mean": mean if known else None,
            "standard_error": error if known else None,
        }
    return found
