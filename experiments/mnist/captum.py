"""Relevance of a trained network beside Captum's LRP of the same weights in PyTorch."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import rfp_jax
from experiments.mnist.evaluate import Precision
from experiments.mnist.settings import CLASSES, Settings
from experiments.mnist.train import trained
from experiments.results import write_json
from rfp_jax._util.extras import needs_extra
from rfp_jax.convert import flax

ARCHITECTURE = "smallnet"
BATCH = 250

Explain = Callable[[tuple[np.ndarray, ...]], np.ndarray]
"""Relevance [sources, batch, classes] of images [batch, height, width, channels]."""


def compare(
    settings: Settings, out: Path, console: Console, *, dtype: Precision = "float32"
) -> dict[str, Any]:
    """Compute the relevance of all classes of all test samples by both, and how far they differ.

    Writes `captum.json`; in double precision `captum_float64.json`.

    Args:
        settings: what was trained.
        out: the folder of results.
        console: where to show the numbers.
        dtype: precision of the computation.

    Returns:
        What the file holds: number of samples, mean and greatest difference over all samples,
        classes and sources, and the greatest relevance.

    Raises:
        CheckpointError: if the network is not trained, or the checkpoint is of another one.
        ValueError: if the network is not `SmallNet`, which alone is written out in PyTorch.
    """
    if settings.data != "mnist":
        raise ValueError(
            f"{out} holds a network of {settings.data!r}: Captum is compared on the network of "
            "MNIST, so train with --data mnist"
        )
    images = [np.asarray(source, dtype) for source in settings.load("test").arrays()["images"]]
    batches = [
        tuple(source[start : start + BATCH] for source in images)
        for start in range(0, len(images[0]), BATCH)
    ]
    with jax.enable_x64(dtype == "float64"):
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), trained(settings, out))
        ours, theirs = (
            np.concatenate([explain(batch) for batch in batches], axis=1)
            for explain in (_relevance(settings, variables), _captum(variables, batches[0]))
        )
    difference = np.abs(ours - theirs)
    found = {
        "dtype": dtype,
        "samples": ours.shape[1],
        "mean_difference": float(difference.mean()),
        "largest_difference": float(difference.max()),
        "largest_relevance": float(np.abs(theirs).max()),
    }
    write_json(out / ("captum.json" if dtype == "float32" else f"captum_{dtype}.json"), found)
    console.print(
        f"relevance minus Captum's LRP: mean {found['mean_difference']:.1e}, greatest "
        f"{found['largest_difference']:.1e}, in {dtype}; relevance reaches "
        f"{found['largest_relevance']:.1f}"
    )
    return found


def _relevance(settings: Settings, variables: Any) -> Explain:
    """Explain forwards, all classes at once."""
    places = tuple(range(1, 1 + len(settings.sources)))
    explain = rfp_jax.jit(rfp_jax.relevance(settings.network.apply, places))
    return lambda images: np.stack(explain(variables, *images).sources)


def _captum(variables: Any, images: tuple[np.ndarray, ...]) -> Explain:
    """Explain backwards, class by class, by Captum's own rules, and sum each heatmap."""
    with needs_extra("Comparing with Captum", "tutorials"):
        import torch
        from captum.attr import LRP

        from rfp_jax.convert.flax._torch_libraries import MODELS
    weights = flax.to_torch(ARCHITECTURE, variables)
    positions = weights["fc1.weight"].shape[1] // (64 * len(images))
    network = MODELS[ARCHITECTURE]([x.shape[-1] for x in images], len(CLASSES), positions)
    network.load_state_dict(
        {key: torch.from_numpy(each) for key, each in weights.items()}, assign=True
    )
    lrp = LRP(network.eval())

    def explain(images: tuple[np.ndarray, ...]) -> np.ndarray:
        given = [torch.from_numpy(np.moveaxis(source, -1, 1).copy()) for source in images]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own hooks
            heats = [
                lrp.attribute(tuple(x.clone().requires_grad_() for x in given), target=number)
                for number in range(len(CLASSES))
            ]
        sums = [[heat.detach().sum((1, 2, 3)).numpy() for heat in each] for each in heats]
        return np.moveaxis(np.array(sums), 0, -1)

    return explain
