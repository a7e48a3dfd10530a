"""Perceptual score and SHAPE of the same network, to compare with the published numbers."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import Progress

from experiments.results import write_json
from experiments.sen12ms.checkpoint import Network
from experiments.sen12ms.settings import CONDITIONS, Evaluate, recorded
from experiments.sen12ms.training import correct
from rfp_jax.attribution import perceptual_score, shape_score

INSIDE = 32
"""Patches that go through the network at a time."""


def scores(
    config: Evaluate, condition: str, network: Network, path: Path, console: Console
) -> dict[str, Any]:
    """Compute both scores over batches of patches, or take them from a file that has them.

    SHAPE is a mean over patches, so the mean over batches is that over all. For the perceptual
    score a source changes places among the patches of one batch. A patch that cannot be read is
    left out of its batch.

    Args:
        config: how many patches, draws and seed.
        condition: clear or cloudy.
        network: the network.
        path: file to keep them in; it appears when they are complete.
        console: where to show progress.

    Returns:
        `patches`, `accuracy`, `perceptual` and `shape` with a number for each source, and the
        `settings` that they were computed with.
    """
    settings = recorded(config, "out", "chunk", "batch_size", "float64", "conditions")
    if path.is_file() and (there := json.loads(path.read_text())).get("settings") == settings:
        return there
    data = config.data.open(config.split, cloud_fraction=CONDITIONS[condition], seed=config.seed)
    sources = data.config.sources
    argnums = tuple(range(1, len(sources) + 1))

    def score(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return correct(logits, labels).astype(np.float32)

    shape = shape_score(network.model.apply, argnums, score=score, batch_size=INSIDE)
    perceptual = perceptual_score(
        network.model.apply, argnums, draws=config.draws, score=score, batch_size=INSIDE
    )
    order = np.random.default_rng(config.seed).permutation(len(data))[: config.scores]
    weights, found = [], []
    with Progress(console=console, transient=True) as progress:
        starts = range(0, len(order), config.scores_batch)
        for start in progress.track(starts, description=f"Scores, {condition}"):
            batch = _read(data, order[start : start + config.scores_batch])
            if batch is None:
                continue
            labels, images = batch["label"], [batch[name] for name in sources]
            key = jax.random.fold_in(jax.random.key(config.seed), start)
            sampled = perceptual(key, labels, network.variables, *images)
            shapley = shape(labels, network.variables, *images)
            weights.append(len(labels))
            found.append([float(sampled.accuracy), *map(float, (*sampled.score, *shapley))])
    if not found:
        raise ValueError("none of the patches chosen for the scores can be read")
    accuracy, *each = np.average(found, axis=0, weights=weights).tolist()
    result = {
        "patches": int(sum(weights)),
        "accuracy": accuracy,
        "perceptual": dict(zip(sources, each[: len(sources)], strict=True)),
        "shape": dict(zip(sources, each[len(sources) :], strict=True)),
        "settings": settings,
    }
    write_json(path, result)
    return result


def _read(data: Any, indices: np.ndarray) -> dict[str, np.ndarray] | None:
    """A batch of those of the patches that can be read."""
    samples = []
    for index in indices:
        try:
            samples.append(data[index])
        except (ValueError, LookupError):  # recorded as failures in the relevance table
            continue
    if not samples:
        return None
    return {key: np.stack([np.asarray(sample[key]) for sample in samples]) for key in samples[0]}
