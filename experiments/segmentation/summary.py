"""From the sums of several networks to means with standard errors."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from experiments.segmentation.edges import EDGES, UNDER, centers
from experiments.segmentation.explaining import BIASES
from experiments.segmentation.settings import CONDITIONS, SOURCES

PLACES = {"under clouds": UNDER, "beside clouds": ~UNDER}
Measured = Mapping[str, Any]
"""The result of `explaining.measure` for one network."""

Quantity = Callable[..., np.ndarray]
"""A number of each network, [networks], at the bins `place`."""


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over networks and its standard error.

    Args:
        values: [networks, ...], at least two networks.

    Returns:
        Both, [...].

    Examples:
        >>> [float(each) for each in mean_and_error(np.array([1.0, 3.0]))]
        [2.0, 1.0]
    """
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))


def of_place(networks: Sequence[Measured], *path: str, among: str, place: np.ndarray) -> np.ndarray:
    """A quantity of each network in some bins together.

    Args:
        networks: what was measured of each.
        path: to the sums.
        among: the counts that they are divided by, `"pixels"` or `"known"`.
        place: which bins, bool.

    Returns:
        [networks]; NaN where nothing was counted.
    """
    counts = np.array([np.dot(found[among], place) for found in networks])
    sums = np.array([np.dot(_at(found, path), place) for found in networks])
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def over_distance(networks: Sequence[Measured], *path: str, among: str) -> np.ndarray:
    """A quantity of each network in each bin between two edges.

    Args:
        networks: what was measured of each.
        path: to the sums.
        among: the counts that they are divided by, `"pixels"` or `"known"`.

    Returns:
        [networks, len(EDGES) - 1]; NaN where nothing was counted.
    """
    each = np.eye(len(EDGES) + 1, dtype=bool)[1:-1]
    return np.stack([of_place(networks, *path, among=among, place=place) for place in each], 1)


def summarize(networks: Sequence[Measured], note: str) -> dict[str, Any]:
    """Put all networks into numbers.

    Args:
        networks: what was measured of each.
        note: what must be said about the data.

    Returns:
        What `summary.json` holds: means over the networks and standard errors. `effect` is what
        clouds add to the share of radar at the same pixels; `uses` is the accuracy that is lost
        with a source of another place.
    """

    def share(condition: str, bias: str) -> Quantity:
        return partial(of_place, networks, condition, "share", bias, among="pixels")

    def accuracy(condition: str, *path: str) -> Quantity:
        return partial(of_place, networks, condition, *path, among="known")

    summary: dict[str, Any] = {
        "data": note or "SEN12MS",
        "networks": len(networks),
        "patches": networks[0]["patches"],
        "pixels": {name: int(np.dot(networks[0]["pixels"], p)) for name, p in PLACES.items()},
        "largest_deviation": max(found["deviation"] for found in networks),
        "share_of_radar": {},
        "accuracy": {c: _numbers(accuracy(c, "right")) for c in CONDITIONS},
        "uses": {},
        "over_distance": _over_distance(networks),
    }
    for bias in BIASES:
        clear, cloudy = (share(condition, bias) for condition in CONDITIONS)
        summary["share_of_radar"][bias] = {
            "clear": _numbers(clear),
            "cloudy": _numbers(cloudy),
            "effect": _numbers(cloudy, less=clear),
        }
    for condition in CONDITIONS:
        whole = accuracy(condition, "right")
        without = {source: accuracy(condition, "right_without", source) for source in SOURCES}
        summary["uses"][condition] = {
            source: _numbers(whole, less=found) for source, found in without.items()
        }
    return summary


def _numbers(read: Quantity, *, less: Quantity | None = None) -> dict[str, dict[str, float | None]]:
    """Mean and standard error of a quantity of each place, or of its difference from another."""
    found = {}
    for name, place in PLACES.items():
        values = read(place=place)
        mean, error = mean_and_error(values if less is None else values - less(place=place))
        found[name] = {"mean": _known(mean), "standard_error": _known(error)}
    return found


def _over_distance(networks: Sequence[Measured]) -> dict[str, Any]:
    """Return means and standard errors over the distance from the edge, a list each."""

    def curve(*path: str, among: str) -> dict[str, list[float | None]]:
        mean, error = mean_and_error(over_distance(networks, *path, among=among))
        return {"mean": [*map(_known, mean)], "standard_error": [*map(_known, error)]}

    def accuracies(condition: str) -> dict[str, Any]:
        found = {"whole": curve(condition, "right", among="known")}
        return found | {
            f"{source} of another place": curve(condition, "right_without", source, among="known")
            for source in SOURCES
        }

    return {
        "meters": centers().tolist(),
        "share_of_radar": {
            bias: {c: curve(c, "share", bias, among="pixels") for c in CONDITIONS}
            for bias in BIASES
        },
        "accuracy": {condition: accuracies(condition) for condition in CONDITIONS},
    }


def _known(value: np.ndarray) -> float | None:
    """A number, None where nothing was counted: JSON knows no NaN."""
    return None if np.isnan(value) else float(value)


def _at(found: Any, path: Sequence[str]) -> np.ndarray:
    for name in path:
        found = found[name]
    return np.asarray(found)
