"""Training one network, resumable by epoch."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

import rfp_jax
from experiments import checkpoints
from experiments.command import bar
from experiments.segmentation.settings import SOURCES, Run
from experiments.segmentation.unet import UNet
from experiments.training import Epoch, Step, resume

STATES = "states"


def pixel_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy of all pixels whose class is known.

    Args:
        logits: [batch, y, x, classes].
        labels: classes, int [batch, y, x]; -1 where none is known.

    Returns:
        Scalar, in nats; 0 if no class is known.
    """
    known = labels >= 0
    each = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(known, labels, 0))
    return jnp.where(known, each, 0).sum() / jnp.maximum(known.sum(), 1)


def train(run: Run, seed: int, folder: Path, console: Console) -> Any:
    """Train a network; go on where an earlier call was interrupted.

    Args:
        run: what can be set.
        seed: of the weights, of the order of the patches and of which are cloudy.
        folder: for its checkpoint.
        console: where to show progress.

    Returns:
        Its variables after the last epoch.

    Raises:
        FileNotFoundError, ValueError: if the data are not there or do not fit.
    """
    networks = run.networks
    data = run.open("train", cloud_fraction=networks.cloud_fraction, seed=seed)
    steps = len(data) // networks.batch_size
    if not steps:
        raise ValueError(f"{len(data)} training patches make no batch of {networks.batch_size}")
    optimizer, step = make_step(
        run.classes, networks.width, networks.learning_rate, steps * networks.epochs
    )
    images = [jnp.zeros((1, run.size, run.size, channels)) for channels in data.config.channels]
    variables = jax.jit(run.model.init)(jax.random.key(seed), *images)
    start = Epoch(0, variables, optimizer.init(variables), float("nan"))
    history: list[dict[str, float]] = []
    with checkpoints.opened(folder / STATES) as saved, bar(console) as progress:
        if found := saved.latest(start):
            start, history = found
            console.print(f"{folder}: {start.number} of {networks.epochs} epochs are there")
        total = steps * networks.epochs
        task = progress.add_task(f"Network {seed}", total=total, completed=steps * start.number)

        def batches(number: int) -> Iterator[list[np.ndarray]]:
            loader = data.loader(
                networks.batch_size,
                epoch=number,
                shuffle=True,
                drop_remainder=True,
                threads=run.threads,
            )
            for at, batch in enumerate(loader):
                rng = np.random.default_rng([seed, number, at])
                images = [batch[name] for name in (*SOURCES, "land_cover")]
                yield augment(images, rng, networks.crop or run.size)
                progress.advance(task)

        last = start
        for last in resume(step, start, batches, until=networks.epochs):
            history.append({"epoch": last.number, "loss": last.loss})
            saved.save(last, history)
    return last.variables


@lru_cache(maxsize=1)
def make_step(
    classes: int, width: int, learning_rate: float, steps: int
) -> tuple[optax.GradientTransformation, Step]:
    """Make the optimizer and the compiled training step, once for all networks of a run.

    Args:
        classes: how many classes the network has.
        width: its width.
        learning_rate: step size of Adam at the start.
        steps: after so many it is zero.

    Returns:
        The optimizer, and a function of variables, the optimizer's state, the sources and the
        labels; it returns the new variables and state, and the loss before the step.
    """
    model = UNet(classes, width)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def loss(variables: Any, optical: jax.Array, sar: jax.Array, labels: jax.Array) -> jax.Array:
        logits: Any = model.apply(variables, optical, sar)
        return pixel_cross_entropy(logits, labels)

    def step(variables: Any, state: Any, *batch: jax.Array) -> tuple[Any, Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(variables, *batch)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(variables, updates), state, value

    return optimizer, rfp_jax.jit(step)


def augment(images: Sequence[np.ndarray], rng: np.random.Generator, crop: int) -> list[np.ndarray]:
    """Cut out a part of each patch, turn and mirror it; the whole batch alike.

    Args:
        images: the sources and the labels, [batch, size, size, ...].
        rng: where chance comes from.
        crop: height and width of the part.

    Returns:
        The same of each, [batch, crop, crop, ...].
    """
    y, x = rng.integers(images[0].shape[1] - crop + 1, size=2)
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    parts = (image[:, y : y + crop, x : x + crop] for image in images)
    turned = (np.rot90(part, turns, axes=(1, 2)) for part in parts)
    return [np.ascontiguousarray(part[:, ::-1] if mirrored else part) for part in turned]
