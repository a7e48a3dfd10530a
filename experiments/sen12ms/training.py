"""Training: cross-entropy or relevance loss, clear and cloudy patches, resumable by epoch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from rich.console import Console

import rfp_jax
from experiments import checkpoints
from experiments.command import bar
from experiments.results import claim, write_json
from experiments.sen12ms import checkpoint
from experiments.sen12ms.settings import Train, recorded
from experiments.training import Epoch, Step, resume
from rfp_jax.datasets.sen12ms import Sen12MS
from rfp_jax.losses import Loss, cross_entropy, relevance_loss

METRICS, CHECKPOINT, STATES = "metrics.json", "checkpoint", "states"


def binary_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy of independent classes, for several labels a sample.

    Args:
        logits: [B, K].
        labels: bool, [B, K].

    Returns:
        Scalar, in nats.
    """
    return optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype)).mean()


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Tell which samples are predicted right, every class of them.

    With several labels per sample a class is predicted where its sigmoid is at least 0.5.

    Args:
        logits: [B, K].
        labels: classes, [B], or one bool a class, [B, K].

    Returns:
        Bool, [B].
    """
    if labels.ndim == 1:
        return logits.argmax(-1) == labels
    return ((logits >= 0) == labels).all(-1)


def train(config: Train, console: Console) -> Path:
    """Train a network; go on where an earlier call with the same settings was interrupted.

    Args:
        config: what can be set.
        console: where to show progress.

    Returns:
        The folder of the checkpoint: the network after the epoch with the best validation accuracy.

    Raises:
        OtherExperimentError: if `config.out` holds something else; nothing is overwritten.
        FileNotFoundError, ValueError: if the data are not there or do not fit.
    """
    training = config.data.open("train", cloud_fraction=config.cloud_fraction, seed=config.seed)
    validation = config.data.open("val", cloud_fraction=config.cloud_fraction, seed=config.seed)
    steps = len(training) // config.batch_size
    if not steps:
        raise ValueError(f"{len(training)} training patches make no batch of {config.batch_size}")
    claim(config.out, "sen12ms", recorded(config, "out"))
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps * config.epochs)
    optimizer = optax.adamw(schedule, weight_decay=config.weight_decay)
    dtype = jnp.bfloat16 if config.bfloat16 else None
    model = checkpoint.build(config.architecture, config.data.classes, config.width, dtype)
    step = make_step(config, model.apply, optimizer)
    look = jax.jit(model.apply)
    size = training.patches.size
    images = [jnp.zeros((1, size, size, channels)) for channels in training.config.channels]
    variables = jax.jit(model.init)(jax.random.key(config.seed), *images)
    start = Epoch(0, variables, optimizer.init(variables["params"]), float("nan"))
    history: list[dict[str, float]] = []
    with checkpoints.opened(config.out / STATES) as saved, bar(console) as progress:
        if found := saved.latest(start):
            start, history = found
            console.print(f"{config.out}: {start.number} of {config.epochs} epochs are there")

        def batches(number: int) -> Iterator[tuple[Any, ...]]:
            loader = training.loader(
                config.batch_size,
                epoch=number,
                shuffle=True,
                drop_remainder=True,
                threads=config.data.threads,
            )
            what = f"Epoch {number + 1} of {config.epochs}"
            for at, batch in enumerate(progress.track(loader, steps, description=what)):
                key = jax.random.fold_in(jax.random.key(config.seed + 1), number * steps + at)
                images = tuple(batch[name] for name in training.config.sources)
                yield images, batch["label"], key

        for last in resume(step, start, batches, until=config.epochs):
            accuracy = _validate(look, last.variables, validation, config)
            best = max((line["accuracy"] for line in history), default=-1.0)
            line = {"epoch": last.number, "loss": last.loss, "accuracy": accuracy}
            history.append(line)
            if accuracy >= best:
                _save(config, training, last, accuracy, model)
            saved.save(last, history)
            write_json(config.out / METRICS, history)
            console.print(
                f"epoch {last.number}: loss {last.loss:.4f}, validation accuracy {accuracy:.4f}"
            )
    return config.out / CHECKPOINT


def make_step(
    config: Train, apply: Callable[..., Any], optimizer: optax.GradientTransformation
) -> Step:
    """Make the compiled training step.

    Args:
        config: which loss, and whether to augment.
        apply: of the network.
        optimizer: the optimizer.

    Returns:
        A function of variables, the optimizer's state, images, labels and a random key; it returns
        the new variables and state, and the loss before the step.
    """
    criterion: Loss = binary_cross_entropy if config.data.multi_label else cross_entropy

    def loss(params: Any, statistics: Any, images: Any, labels: Any) -> tuple[jax.Array, Any]:
        def forward(params: Any, *images: jax.Array) -> tuple[jax.Array, Any]:
            variables = {"params": params, **statistics}
            logits, updates = apply(variables, *images, train=True, mutable=list(statistics))
            return logits.astype(jnp.float32), updates

        if not config.relevance_loss:
            logits, statistics_now = forward(params, *images)
            return criterion(logits, labels), statistics_now
        argnums = tuple(range(1, len(images) + 1))
        explained = rfp_jax.relevance(forward, argnums, has_aux=True)
        relevance, statistics_now = explained(params, *images)
        return relevance_loss(relevance, labels, config.relevance_loss, criterion), statistics_now

    def step(
        variables: Any, state: Any, images: tuple[Any, ...], labels: Any, key: jax.Array
    ) -> tuple[Any, Any, jax.Array]:
        if config.augment:
            images = augment(key, images)
        params = variables["params"]
        statistics = {name: tree for name, tree in variables.items() if name != "params"}
        (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(
            params, statistics, images, labels
        )
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return {"params": params, **statistics}, state, value

    return rfp_jax.jit(step)


def augment(key: jax.Array, images: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """Mirror and transpose each sample at random, all its sources alike.

    Args:
        key: random key.
        images: sources, [B, size, size, channels].

    Returns:
        The same, changed.
    """
    flips = jax.random.bernoulli(key, shape=(3, len(images[0])))[..., None, None, None]

    def change(image: jax.Array) -> jax.Array:
        image = jnp.where(flips[0], image[:, ::-1], image)
        image = jnp.where(flips[1], image[:, :, ::-1], image)
        return jnp.where(flips[2], image.swapaxes(1, 2), image)

    return tuple(map(change, images))


def _validate(look: Callable[..., Any], variables: Any, data: Sen12MS, config: Train) -> float:
    hits: list[np.ndarray] = []
    for batch in data.loader(config.batch_size, threads=config.data.threads):
        labels = batch["label"]
        short = config.batch_size - len(labels)  # filled up: one shape, one compilation
        images = [
            np.pad(batch[name], ((0, short), (0, 0), (0, 0), (0, 0)))
            for name in data.config.sources
        ]
        hits.append(np.asarray(correct(look(variables, *images)[: len(labels)], labels)))
    return float(np.concatenate(hits).mean())


def _save(config: Train, data: Sen12MS, epoch: Epoch, accuracy: float, model: nn.Module) -> None:
    channels, size = list(data.config.channels), data.patches.size
    manifest = {
        "architecture": config.architecture,
        "width": config.width,
        "inputs": sum(channels),
        "channels": channels if config.branched else [sum(channels)],
        "classes": config.data.classes,
        "input_size": [size, size] if config.architecture == "smallnet" else None,
        "epoch": epoch.number,
        "best_prec": accuracy,
        "data": data.patches.note or "SEN12MS",
        "settings": recorded(config, "out"),
    }
    network = checkpoint.Network(model, jax.device_get(epoch.variables), manifest)
    checkpoint.save(config.out / CHECKPOINT, network)
