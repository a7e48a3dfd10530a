"""Deletion of sources in the order of their relevance: removing the first should hurt the most."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rfp_jax._core.argnums import Argnums
from rfp_jax._util import shapes
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._coalitions import SourceCall, all_but_one
from rfp_jax.attribution._scores import Score, accuracy


class Deletion(NamedTuple):
    """Follow each sample while its sources are removed one after the other.

    Attributes:
        order: The sources in the order of their removal, int, [B, S]; a source is named by its
            place among the arrays that `argnums` points to.
        output: Output for the target after the first 0, 1, ..., S sources are removed, [S + 1, B].
        score: Score of the sample at the same points, [S + 1, B].
        drop: How much the output for the target falls when one source alone is removed, [B, S].
        first_hurts_most: Whether no other source alone makes it fall more than the first does,
            bool, [B].
    """

    order: shapes.Integer[jax.Array, "B S"]
    output: shapes.Float[jax.Array, "S+1 B"]
    score: shapes.Float[jax.Array, "S+1 B"]
    drop: shapes.Float[jax.Array, "B S"]
    first_hurts_most: shapes.Bool[jax.Array, " B"]

    @property
    def area(self) -> shapes.Float[jax.Array, " B"]:
        """Mean height of the curve of outputs (trapezoid rule), [B]; low if the order is good."""
        return jnp.mean((self.output[1:] + self.output[:-1]) / 2, axis=0)


def deletion(
    fun: Callable[..., Tree],
    argnums: Argnums = 0,
    *,
    baseline: Given = 0.0,
    score: Score = accuracy,
) -> Callable[..., Deletion]:
    """Transform a network into a function that deletes sources in the order of their relevance.

    In each sample the sources are removed one after the other, the one with the largest relevance
    for the target first. If the relevance is faithful, the output for the target falls early. Pass
    the negative of the relevance for the reverse order, or random numbers for a random one, as
    controls. It costs 2 * S + 1 passes through the network.

    Args:
        fun: The network; it returns outputs [B, K].
        argnums: Which positional arguments of the network are sources; every array in them is a
            source with a leading axis of B samples.
        baseline: What a removed source is replaced with: a number, or one array per source,
            arranged like the sources.
        score: Score of each sample, from outputs and targets, [B].

    Returns:
        A compiled function `(relevance, target, *args)`, where `relevance` is arranged like what
        `argnums` points to, with an array [B, K] for each source, `target` holds an output for each
        sample, integers, [B], and `args` are the arguments of the network.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers.
        ValueError: At the call, if relevance or target do not fit the output, a target is none of
            its classes, or the arguments do not fit.

    References:
        Samek, Binder, Montavon, Lapuschkin & Mueller, "Evaluating the visualization of what a deep
        neural network has learned", IEEE TNNLS 2017, section III (region perturbation, here with
        sources for regions).

    Examples:
        >>> network = lambda a, b: jnp.concatenate([a + 3 * b, -b], axis=1)
        >>> a, b = jnp.ones((1, 1)), jnp.ones((1, 1))
        >>> relevance = (jnp.array([[1.0, 0.0]]), jnp.array([[3.0, -1.0]]))
        >>> result = deletion(network, argnums=(0, 1))(relevance, jnp.array([0]), a, b)
        >>> result.order.tolist(), result.output[:, 0].tolist(), result.first_hurts_most.tolist()
        ([[1, 0]], [4.0, 1.0, 0.0], [True])
    """

    @jax.jit
    def compiled(relevance: Tree, target: jax.Array, *args: Given) -> Deletion:
        call = SourceCall.from_call(fun, argnums, args)
        count, samples = len(call.leaves), target.shape[0]
        ranked = _of_target(call, relevance, target)
        order = jnp.argsort(-ranked, axis=1)
        rank = jnp.argsort(order, axis=1)
        one_after_the_other = rank[None] >= jnp.arange(count + 1)[:, None, None]
        one_alone = jnp.broadcast_to(all_but_one(count)[:, None], (count, samples, count))
        masks = jnp.concatenate([one_after_the_other, one_alone])
        outputs = call.outputs(masks, call.background(baseline))
        of_target = jax.vmap(lambda output: _pick(output, target))(outputs)
        curve, alone = of_target[: count + 1], of_target[count + 1 :]
        drop = (curve[:1] - alone).T
        return Deletion(
            order=order,
            output=curve,
            score=jax.vmap(lambda output: score(output, target))(outputs[: count + 1]),
            drop=drop,
            first_hurts_most=_pick(drop, order[:, 0]) >= jnp.max(drop, axis=1),
        )

    def delete(relevance: Tree, target: Given, *args: Given) -> Deletion:
        result = compiled(relevance, target, *args)
        if not isinstance(target, Tracer) and np.size(target):
            classes = jax.tree.leaves(relevance)[0].shape[1]
            least, most = int(np.min(target)), int(np.max(target))
            if least < 0 or most >= classes:
                raise ValueError(
                    f"targets must be 0 to {classes - 1}, got {least} to {most}: "
                    "leave out samples that have none"
                )
        return result

    return delete


def _of_target(
    call: SourceCall, relevance: Tree, target: shapes.Integer[jax.Array, " B"]
) -> shapes.Inexact[jax.Array, "B S"]:
    """Relevance of each source for each sample's target, [B, S]."""
    shape = jax.eval_shape(call, call.leaves).shape
    if jax.tree.structure(relevance) != call.result:
        raise ValueError(
            f"relevance must be arranged like the sources ({call.result}), got "
            f"{jax.tree.structure(relevance)}"
        )
    shares = jax.tree.leaves(relevance)
    if len(shape) != 2 or target.shape != shape[:1] or any(s.shape != shape for s in shares):
        raise ValueError(
            f"outputs {shape} must be [B, K], each relevance shaped like them and target [B]; got "
            f"relevances {[share.shape for share in shares]} and target {target.shape}"
        )
    return jnp.stack([_pick(share, target) for share in shares], axis=1)


def _pick(
    values: shapes.Shaped[jax.Array, "B K"], column: shapes.Integer[jax.Array, " B"]
) -> shapes.Shaped[jax.Array, " B"]:
    return jnp.take_along_axis(values, column[:, None], axis=1)[:, 0]
