"""Losses on relevance: train a network so that each source alone speaks for the right class.

A relevance loss for single sources is named in the work that this project builds on, but no
published definition of it was found. The definition here is this project's own. The relevances of
a source are logits of their own, so

    L = loss(sum_s R[s] + bias, y) + weight * mean_s loss(R[s], y)

with `loss` the cross-entropy, or any other loss of logits and targets. The first term is the plain
loss of the network, because relevances and bias add up to its output. The second asks every source
to predict the target from its own share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from rfp_jax._util import shapes
from rfp_jax._util.trees import Tree

__all__ = ["Loss", "RelevanceLike", "cross_entropy", "relevance_loss", "source_losses"]

Loss = Callable[[jax.Array, jax.Array], jax.Array]


@runtime_checkable
class RelevanceLike(Protocol):
    """The result of `rfp_jax.relevance`, as far as a loss needs it.

    Attributes:
        sources: A tree whose leaves are the relevances of the sources, each [B, K].
        bias: What came from no source, [B, K].
    """

    @property
    def sources(self) -> Tree:
        """Relevances of the sources."""
        ...

    @property
    def bias(self) -> Tree:
        """Return what came from no source."""
        ...


def cross_entropy(
    logits: shapes.Float[jax.Array, "B K"], labels: shapes.Integer[jax.Array, " B"]
) -> shapes.Float[jax.Array, ""]:
    """Mean cross-entropy of logits with integer labels.

    Args:
        logits: Floating point, [B, K].
        labels: Classes from 0 to K - 1, integers, [B].

    Returns:
        Scalar, in nats; NaN if there is another label among them, such as -1 for unknown.

    Raises:
        ValueError: If the shapes do not fit or the labels are not integers.

    Examples:
        >>> print(cross_entropy(jnp.zeros((1, 4)), jnp.array([2])))
        1.3862944
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be [B, K] and labels [B], got {logits.shape} and {labels.shape}"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    label_logits = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    label_logits = jnp.where(labels < 0, jnp.nan, label_logits)  # -1 would be the last class
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - label_logits)


def source_losses(
    relevance: RelevanceLike, target: shapes.Shaped[jax.Array, "B ..."], loss: Loss = cross_entropy
) -> Tree:
    """Loss of each source when its relevances alone are taken as the logits.

    Args:
        relevance: What `rfp_jax.relevance` returned.
        target: What to predict; for the cross-entropy the labels, integers, [B].
        loss: Loss of logits and target, a scalar.

    Returns:
        Shaped like `relevance.sources`, a scalar for each source.

    Examples:
        >>> from types import SimpleNamespace
        >>> relevance = SimpleNamespace(sources={"sar": jnp.zeros((1, 2))}, bias=jnp.zeros((1, 2)))
        >>> print(source_losses(relevance, jnp.array([0]))["sar"])
        0.6931472
    """
    return jax.tree.map(lambda share: loss(share, target), relevance.sources)


def relevance_loss(
    relevance: RelevanceLike,
    target: shapes.Shaped[jax.Array, "B ..."],
    weight: float | shapes.Float[jax.Array, ""],
    loss: Loss = cross_entropy,
) -> shapes.Float[jax.Array, ""]:
    """Loss of a prediction plus the mean loss of its sources, see the head of this module.

    The definition is this project's own. With `weight=0` it is the plain loss of the sum of all
    relevances and the bias, the form in which a network is trained through its relevances; with
    another `loss`, such as a mean squared error, it serves regression.

    Args:
        relevance: What `rfp_jax.relevance` returned: every source and the bias shaped [B, K].
        target: What to predict; for the cross-entropy the labels, integers, [B].
        weight: Weight of the sources' own losses (lambda), not negative.
        loss: Loss of logits and target, a scalar.

    Returns:
        Scalar.

    Raises:
        ValueError: If there is no source, or the weight is negative or not a number.

    Examples:
        >>> from types import SimpleNamespace
        >>> zeros = jnp.zeros((1, 2))
        >>> relevance = SimpleNamespace(sources=(zeros, zeros), bias=zeros)
        >>> print(relevance_loss(relevance, jnp.array([0]), weight=1.0))
        1.3862944
    """
    shares = jax.tree.leaves(relevance.sources)
    if not shares:
        raise ValueError("a relevance loss needs at least one source, got none")
    if isinstance(weight, int | float) and not weight >= 0:  # also refuses nan
        raise ValueError(f"weight must not be negative, got {weight}")
    prediction = sum(shares[1:], shares[0]) + relevance.bias
    own = jnp.stack(jax.tree.leaves(source_losses(relevance, target, loss)))
    return loss(prediction, target) + weight * jnp.mean(own)
