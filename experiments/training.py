"""Training on batches of two sources, epoch by epoch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from rich.progress import Progress

from rfp_jax.datasets import MultiSource

Loss = Callable[[Any, tuple[Any, ...], Any], jax.Array]
"""Mean loss of a batch, a scalar, from variables, images of each source, and labels."""

Step = Callable[..., tuple[Any, Any, jax.Array]]
"""A step of training: of variables, the optimizer's state and a batch to both after it and the loss
before it."""


class Epoch(NamedTuple):
    """Results after an epoch.

    Attributes:
        number: how many epochs there have been.
        variables: of the network.
        optimizer: the optimizer's state.
        loss: mean loss of the epoch's batches, each before the step that it led to.
    """

    number: int
    variables: Any
    optimizer: Any
    loss: float


def epochs(
    loss: Loss,
    start: Epoch,
    data: MultiSource,
    optimizer: optax.GradientTransformation,
    *,
    until: int,
    batch_size: int,
    progress: Progress,
) -> Iterator[Epoch]:
    """Train epoch by epoch.

    Args:
        loss: what to minimize.
        start: the state to start from; `Epoch(0, variables, optimizer.init(variables), nan)` for a
            new network.
        data: the training samples, which come in another order in every epoch.
        optimizer: takes the steps.
        until: how many epochs there shall have been in the end.
        batch_size: samples in one batch.
        progress: where to show how far it is.

    Yields:
        The state after each epoch. It is the same whether all epochs came from one call or the
        later ones from another call that started where the first had ended.

    Raises:
        ValueError: if the loss of an epoch is not finite.
    """

    @jax.jit
    def step(variables: Any, state: Any, images: Any, labels: Any) -> tuple[Any, Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(variables, images, labels)
        updates, state = optimizer.update(gradient, state, variables)
        return optax.apply_updates(variables, updates), state, value

    batches = data.batches(batch_size, epochs=until, shuffle=True)
    size = len(batches) // until
    task = progress.add_task("Training", total=len(batches), completed=start.number * size)

    def of_epoch(number: int) -> Iterator[tuple[Any, Any]]:
        for batch in batches.slice(slice(number * size, (number + 1) * size)):
            yield batch["images"], batch["label"]
            progress.advance(task)

    yield from resume(step, start, of_epoch, until=until)


def resume(
    step: Step, start: Epoch, batches: Callable[[int], Iterable[Sequence[Any]]], *, until: int
) -> Iterator[Epoch]:
    """Train epoch by epoch, from any epoch on.

    Args:
        step: the training step, of variables, the optimizer's state and what makes a batch.
        start: the state to start from.
        batches: the batches of an epoch, given how many there have been before.
        until: how many epochs there shall have been in the end.

    Yields:
        The state after each epoch.

    Raises:
        ValueError: if the loss of an epoch is not finite.
    """
    last = start
    while last.number < until:
        number, variables, state, _ = last
        losses = []
        for batch in batches(number):
            variables, state, loss = step(variables, state, *batch)
            losses.append(loss)
        last = Epoch(number + 1, variables, state, float(np.mean(losses)))
        if not np.isfinite(last.loss):
            raise ValueError(
                f"the loss of epoch {last.number} is {last.loss}: try a smaller learning rate"
            )
        yield last


@partial(jax.jit, static_argnums=0)
def outputs(apply: Callable[..., Any], variables: Any, images: tuple[Any, ...]) -> jax.Array:
    """Compute a network's outputs for any number of samples, some of them at a time.

    Args:
        apply: the network, `apply(variables, *images)`.
        variables: its variables.
        images: images of each source, [samples, height, width, channels].

    Returns:
        Outputs, [samples, classes].
    """

    def one(image: tuple[jax.Array, ...]) -> jax.Array:
        return apply(variables, *(source[None] for source in image))[0]

    return jax.lax.map(one, images, batch_size=128)
