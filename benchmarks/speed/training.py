"""Relevance inside a training step: with a relevance loss, beside plain training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import workloads
from benchmarks.speed.contestants import Contestant, in_double
from benchmarks.speed.measure import Result, Turns, race
from benchmarks.speed.program import build
from benchmarks.speed.workloads import Workload
from rfp_jax.losses import cross_entropy, relevance_loss

WEIGHT = 0.5
"""The weight of the relevance loss."""

TOLERANCE = 1e-2
"""The greatest error of a gradient with which it counts as right, in float32."""

TRAININGS: Mapping[str, Callable[[], Workload]] = {
    "training-smallnet": lambda: workloads.smallnet(64),
    "training-resnet50": lambda: workloads.resnet50(4, 128),
}
"""The networks that are trained, by the names of the command line."""


def steps(work: Workload) -> dict[str, Callable[..., Any]]:
    """Gradients of the weights of a batch, by the loss: the plain one, and one on relevance."""
    labels = jnp.arange(work.batch) % 10

    def plain(variables: Any, *sources: jax.Array) -> jax.Array:
        return cross_entropy(work.fun(variables, *sources), labels)

    def explained(variables: Any, *sources: jax.Array) -> jax.Array:
        return relevance_loss(work.explain()(variables, *sources), labels, WEIGHT)

    return {"plain": jax.grad(plain), "explained": jax.grad(explained)}


def contestants(work: Workload) -> Iterator[Contestant]:
    """Training steps with both losses, compiled by `jax.jit` and by `rfp_jax.jit`."""
    names = {"plain": "training step", "explained": "with relevance loss"}
    for loss, step in steps(work).items():
        for suited in (False, True):
            program = build(step, work.arguments, suited=suited)
            if suited and not program.options:
                continue

            def gradient(program: Any = program) -> np.ndarray:
                return flat(program())

            way = ", rfp_jax.jit" if suited else ""
            is_unit = loss == "plain"
            yield Contestant(f"{names[loss]}{way}", gradient, loss, program.cost, is_unit)


def flat(tree: Any) -> np.ndarray:
    """All numbers of a tree, in one row."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def train(
    work: Workload,
    *,
    rounds: int,
    seconds: float,
    tick: Callable[[], object] = lambda: None,
) -> Result:
    """Check gradients against float64, and time training steps in turn.

    Args:
        work: a network and its batch.
        rounds: how many turns each step gets.
        seconds: about how long that may take.
        tick: called after each round.

    Returns:
        What was measured; the unit is the best plain step.
    """
    with jax.enable_x64(True):
        double = in_double(work.arguments)
        right = {loss: flat(jax.jit(step)(*double)) for loss, step in steps(work).items()}
    turns = Turns(rounds, seconds, tick)
    taking_part = list(contestants(work))
    name = f"training, {work.name}"
    return race(name, work.batch, taking_part, right, tolerance=TOLERANCE, turns=turns)
