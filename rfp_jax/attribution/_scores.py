"""Scores of predictions, averaged over a data set batch by batch."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rfp_jax._core.argnums import Argnums
from rfp_jax._util import shapes
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._coalitions import SourceCall

Score = Callable[[Tree, jax.Array], jax.Array]


def accuracy(
    output: shapes.Float[jax.Array, "B K"], labels: shapes.Integer[jax.Array, " B"]
) -> shapes.Float[jax.Array, " B"]:
    """Tell for each sample whether the largest output is the label.

    Args:
        output: Logits or probabilities, [B, K].
        labels: Classes, integers, [B].

    Returns:
        1 where right and 0 where wrong, [B].

    Raises:
        ValueError: If the shapes do not fit.

    Examples:
        >>> accuracy(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])).tolist()
        [1.0, 0.0]
    """
    if output.ndim != 2 or labels.shape != output.shape[:1]:
        raise ValueError(
            f"output must be [B, K] and labels [B], got {output.shape} and {labels.shape}"
        )
    right = jnp.argmax(output, axis=1) == labels  # bfloat16 has two digits of their mean
    return right.astype(jnp.promote_types(output.dtype, jnp.float32))


def mean_score(
    fun: Callable[..., Tree],
    argnums: Argnums = 0,
    *,
    score: Score = accuracy,
    batch_size: int | None = None,
) -> Callable[..., shapes.Float[jax.Array, ""]]:
    """Transform a network into a function that returns its mean score over N samples.

    Args:
        fun: The network; `fun(*args)` returns outputs for as many samples as its sources have.
        argnums: Which positional arguments hold sources, each with a leading axis of samples.
        score: Score of each sample, from outputs and labels, [B].
        batch_size: Samples that go through the network at a time; all N if None.

    Returns:
        A function `(labels, *args)` that returns a scalar; labels have a leading axis N.

    Raises:
        ValueError: At the call, if the sources and labels differ in their number of samples; or if
            `batch_size` is smaller than 1.

    Examples:
        >>> network = lambda x: x @ jnp.eye(2)
        >>> print(mean_score(network)(jnp.array([0, 0]), jnp.array([[2.0, 1.0], [1.0, 2.0]])))
        0.5
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")

    def scored(labels: jax.Array, *args: Given) -> jax.Array:
        call = SourceCall.from_call(fun, argnums, args)
        labels = jnp.asarray(labels)
        count = samples(call, labels)
        size = min(batch_size or count, count)
        starts = -(-count // size)
        # The last batch is filled up with samples from the front, whose scores are cut off again.
        batches = jnp.arange(starts * size).reshape(starts, size) % count

        def batch_score(batch: jax.Array) -> jax.Array:
            return score(call([leaf[batch] for leaf in call.leaves]), labels[batch])

        return jnp.mean(jax.lax.map(batch_score, batches).reshape(-1)[:count])

    return scored


def samples(call: SourceCall, labels: jax.Array) -> int:
    """Count the samples of a call, all of whose sources have them on the leading axis.

    Args:
        call: The call.
        labels: Labels of the samples, [N, ...].

    Returns:
        N.

    Raises:
        ValueError: If sources and labels differ in their number of samples, or there is none.
    """
    counts = {array.shape[:1] for array in (*call.leaves, labels)}
    if len(counts) != 1 or counts & {(), (0,)}:
        raise ValueError(
            "every source and the labels need the same number of samples, at least one, on their "
            f"first axis; got shapes {[leaf.shape for leaf in call.leaves]} and {labels.shape}"
        )
    return labels.shape[0]


def after_labels(argnums: Argnums) -> Argnums:
    """Shift `argnums` for a function that takes labels before all other arguments.

    Args:
        argnums: Positions among the other arguments.

    Returns:
        Positions among all arguments.

    Examples:
        >>> after_labels((0, 2, -1))
        (1, 3, -1)
    """
    if isinstance(argnums, int):
        return argnums + 1 if argnums >= 0 else argnums
    return tuple(place + 1 if place >= 0 else place for place in argnums)
