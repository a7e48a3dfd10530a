"""Sum a network's relevance under clouds, at their edge and beside them, by bins of distance."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rfp_jax
from experiments.segmentation.edges import binned, bins, distance_to_edge
from experiments.segmentation.settings import CONDITIONS, SOURCES, Run
from experiments.segmentation.unet import UNet
from rfp_jax.datasets.sen12ms import Sen12MS

Bias = Literal["share", "propagate"]
BIASES: dict[Bias, str] = {"share": "biases shared", "propagate": "biases on their own"}
"""Choices for biases, and their names."""


class Explained(NamedTuple):
    """Results for every pixel of a batch.

    Attributes:
        prediction: the class that the network names, int [batch, y, x].
        share: of radar in the relevance of that class, by what becomes of biases, [batch, y, x].
        without: the class that it names if the source is that of another place, by source.
        deviation: the largest difference of the output from its parts, biases propagated, scalar.
    """

    prediction: Any
    share: dict[str, Any]
    without: dict[str, Any]
    deviation: Any


class Paired(NamedTuple):
    """A batch of patches that have a cloudy twin.

    Attributes:
        images: of each source, by condition; radar is the same in both.
        land_cover: the class of every pixel, -1 where none is known, int [batch, y, x].
        mask: whether it is under a cloud in the cloudy twin, bool [batch, y, x].
        names: of the patches.
        real: how many of them; the others fill up the batch.
    """

    images: dict[str, tuple[np.ndarray, ...]]
    land_cover: np.ndarray
    mask: np.ndarray
    names: list[str]
    real: int


@lru_cache(maxsize=1)
def explainer(classes: int, width: int) -> Callable[..., Explained]:
    """Make the compiled function that explains a batch, once for all networks of a run.

    Args:
        classes: how many classes the network has.
        width: its width.

    Returns:
        A function of the variables and the sources, [batch, y, x, channels].
    """
    apply: Callable[..., Any] = UNet(classes, width).apply

    def explain(variables: Any, *images: jax.Array) -> Explained:
        found = {
            bias: rfp_jax.relevance(apply, (1, 2), bias=bias)(variables, *images) for bias in BIASES
        }
        checked = found["propagate"]
        best = checked.output.argmax(-1)
        others = [jnp.roll(image, 1, 0) for image in images]
        without = {}
        for place, name in enumerate(SOURCES):
            swapped = [*images[:place], others[place], *images[place + 1 :]]
            without[name] = apply(variables, *swapped).argmax(-1)
        return Explained(
            prediction=best,
            share={bias: radar_share(rel.sources, best) for bias, rel in found.items()},
            without=without,
            deviation=jnp.abs(checked.output - sum(checked.sources) - checked.bias).max(),
        )

    return rfp_jax.jit(explain)


def radar_share(relevance: tuple[jax.Array, jax.Array], classes: jax.Array) -> jax.Array:
    """The share `|R_radar| / (|R_optical| + |R_radar|)` in the relevance of a class.

    Args:
        relevance: of optical and radar, [batch, y, x, classes].
        classes: whose relevance it is, int [batch, y, x].

    Returns:
        From 0 to 1, [batch, y, x]; 1/2 where both are 0.

    Examples:
        >>> optical, radar = jnp.array([[[[3.0, 0.0]]]]), jnp.array([[[[-1.0, 0.0]]]])
        >>> [float(radar_share((optical, radar), jnp.full((1, 1, 1), k))[0, 0, 0]) for k in (0, 1)]
        [0.25, 0.5]
    """
    take = partial(jnp.take_along_axis, indices=classes[..., None], axis=-1)
    optical, radar = (jnp.abs(take(part)[..., 0]) for part in relevance)
    total = optical + radar
    return jnp.where(total == 0, 0.5, radar / jnp.where(total == 0, 1, total))


def pairs(run: Run) -> Iterator[Paired]:
    """Read the test patches that have a cloudy twin, clear and cloudy, in batches of one size.

    Args:
        run: which archive.

    Yields:
        The batches; the last one is filled up with the first patches.

    Raises:
        ValueError: if there are fewer than two such patches.
    """
    clear, cloudy = (
        run.open("test", cloud_fraction=fraction, cloud_mask=fraction == 1)
        for fraction in CONDITIONS.values()
    )
    twins = np.flatnonzero(cloudy.patches.twins)
    if len(twins) < 2:
        raise ValueError(
            f"{len(twins)} test patches have a cloudy twin, and at least 2 are needed: name the "
            "folder of SEN12MS-CR (--cloudy)"
        )
    size = min(run.networks.batch_size, len(twins))
    for start in range(0, len(twins), size):
        chosen = np.take(twins, range(start, start + size), mode="wrap")
        yield read_pairs(clear, cloudy, chosen, real=min(size, len(twins) - start))


def read_pairs(clear: Sen12MS, cloudy: Sen12MS, chosen: np.ndarray, real: int) -> Paired:
    """Read patches in both conditions.

    Args:
        clear: the data set without clouds.
        cloudy: the one with the cloudy twins, and their cloud masks.
        chosen: indices of the patches.
        real: how many of them count.

    Returns:
        The batch.
    """
    samples = {
        name: [data[int(index)] for index in chosen]
        for name, data in zip(CONDITIONS, (clear, cloudy), strict=True)
    }

    def stacked(condition: str, key: str) -> np.ndarray:
        return np.stack([sample[key] for sample in samples[condition]])

    return Paired(
        images={name: tuple(stacked(name, source) for source in SOURCES) for name in CONDITIONS},
        land_cover=stacked("clear", "land_cover"),
        mask=stacked("cloudy", "cloud_mask"),
        names=[sample["id"] for sample in samples["cloudy"]],
        real=real,
    )


def measure(run: Run, variables: Any, advance: Callable[[], None]) -> dict[str, Any]:
    """Explain every pixel under and beside clouds, and sum over bins of distance.

    A pixel counts once in each condition, at its distance from the edge of the cloud in the cloudy
    twin; in the clear image there is no cloud, so this is what the clouds' absence does there.

    Args:
        run: which archive and network.
        variables: of the trained network.
        advance: called after each batch.

    Returns:
        As JSON keeps it: how many patches and pixels there are, and for each condition the sums
        `share` by what becomes of biases, `right`, and `right_without` each source; sums are
        lists over the bins. `deviation` is the largest difference of an output from its parts.
    """
    explain = explainer(run.classes, run.networks.width)
    sums: dict[str, Any] = {}
    patches, deviation = 0, 0.0
    for batch in pairs(run):
        real = slice(batch.real)
        labels, mask = batch.land_cover[real], batch.mask[real]
        places = bins(np.stack([distance_to_edge(each) for each in mask]))
        known = labels >= 0
        patches += batch.real
        _add(sums, ("pixels",), binned(np.ones_like(known), places))
        _add(sums, ("known",), binned(known, places))
        for condition, images in batch.images.items():
            found = jax.device_get(explain(variables, *images))
            deviation = max(deviation, float(found.deviation))
            for bias, share in found.share.items():
                _add(sums, (condition, "share", bias), binned(share[real], places))
            right = (found.prediction[real] == labels) & known
            _add(sums, (condition, "right"), binned(right, places))
            for source, prediction in found.without.items():
                right = (prediction[real] == labels) & known
                _add(sums, (condition, "right_without", source), binned(right, places))
        advance()
    return {"patches": patches, "deviation": deviation, **_lists(sums)}


def _add(sums: dict[str, Any], path: tuple[str, ...], values: np.ndarray) -> None:
    *folders, name = path
    for folder in folders:
        sums = sums.setdefault(folder, {})
    sums[name] = sums.get(name, 0) + values


def _lists(sums: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _lists(value) if isinstance(value, dict) else value.tolist()
        for name, value in sums.items()
    }
