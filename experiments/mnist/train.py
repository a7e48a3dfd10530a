"""Training: a checkpoint and the metrics after every epoch; a training that was cut off goes on."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import checkpoints
from experiments.command import bar
from experiments.mnist.settings import Settings
from experiments.results import write_json
from experiments.training import Epoch, epochs, outputs
from rfp_jax import losses
from rfp_jax.datasets import Sample

CHECKPOINTS = "checkpoints"
METRICS = "metrics.json"


def train(settings: Settings, out: Path, console: Console) -> Any:
    """Train a network.

    Args:
        settings: what is trained.
        out: the folder of results; if it holds a part of this training, the training goes on.
        console: where to show how far it is.

    Returns:
        The variables of the network.

    Raises:
        OtherExperimentError: if the folder holds something else.
        FileNotFoundError: if MNIST is not where it should be.
        ValueError: if the data or the checkpoint do not fit.
    """
    data, test = settings.load("train"), settings.load("test").arrays()
    settings.claim(out)
    optimizer = settings.optimizer
    variables = settings.network.init(
        jax.random.key(settings.samples.seed), *(image[None] for image in data[0]["images"])
    )
    start, history = Epoch(0, variables, optimizer.init(variables), float("nan")), []
    with checkpoints.opened(out / CHECKPOINTS) as saved, bar(console) as progress:
        if found := saved.latest(start):
            start, history = found
            console.print(f"{out}: {start.number} of {settings.epochs} epochs are there")
        last = start
        for last in epochs(
            settings.objective,
            start,
            data,
            optimizer,
            until=settings.epochs,
            batch_size=settings.batch_size,
            progress=progress,
        ):
            history.append({"epoch": last.number, **measured(settings, last, test)})
            saved.save(last, history)
            write_json(out / METRICS, history)
            progress.console.print(_line(history[-1]))
    return last.variables


def trained(settings: Settings, out: Path) -> Any:
    """Load the variables of a trained network.

    Args:
        settings: what was trained.
        out: the folder of results.

    Returns:
        The variables.

    Raises:
        CheckpointError: if the training has not ended, or the checkpoint is of another network.
    """
    images = settings.load("test")[0]["images"]
    network, optimizer = settings.network, settings.optimizer

    def start() -> Epoch:
        variables = network.init(jax.random.key(0), *(image[None] for image in images))
        return Epoch(0, variables, optimizer.init(variables), float("nan"))

    found = None
    if (out / CHECKPOINTS).is_dir():
        with checkpoints.opened(out / CHECKPOINTS) as saved:
            found = saved.latest(jax.eval_shape(start))
    done = found.epoch.number if found else 0
    if found is None or done < settings.epochs:
        raise checkpoints.CheckpointError(
            f"{out} holds {done} of {settings.epochs} epochs: run `train` again to go on"
        )
    return found.epoch.variables


def measured(settings: Settings, epoch: Epoch, test: Sample) -> dict[str, float]:
    """Measure a network on the test samples.

    Args:
        settings: which network.
        epoch: its state.
        test: all test samples.

    Returns:
        The metrics of the epoch.
    """
    logits = np.asarray(outputs(settings.network.apply, epoch.variables, test["images"]))
    return {
        "training_loss": epoch.loss,
        "test_loss": float(losses.cross_entropy(jnp.asarray(logits), jnp.asarray(test["label"]))),
        "test_accuracy": float(np.mean(np.argmax(logits, axis=1) == test["label"])),
    }


def _line(metrics: dict[str, float]) -> str:
    return (
        f"epoch {metrics['epoch']:>3}   training loss {metrics['training_loss']:.4f}   "
        f"test loss {metrics['test_loss']:.4f}   test accuracy {metrics['test_accuracy']:.4f}"
    )
