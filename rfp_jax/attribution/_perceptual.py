"""Perceptual scores: how much accuracy is lost when one source shows other samples' data."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rfp_jax._core.argnums import Argnums
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._coalitions import SourceCall, all_but_one
from rfp_jax.attribution._scores import Score, accuracy, after_labels, mean_score, samples


class PerceptualScore(NamedTuple):
    """Perceptual scores of all sources, not normalized.

    Attributes:
        score: `accuracy - replaced`, a scalar per source, arranged like what `argnums` points to.
        accuracy: Mean score with all sources as they are, a scalar.
        replaced: Mean score with one source's data replaced, a scalar per source, arranged alike.
    """

    score: Tree
    accuracy: jax.Array
    replaced: Tree


def perceptual_score(
    fun: Callable[..., Tree],
    argnums: Argnums = 0,
    *,
    draws: int = 10,
    score: Score = accuracy,
    batch_size: int | None = None,
) -> Callable[..., PerceptualScore]:
    """Transform a network into a function that samples the perceptual score of each source.

    The perceptual score of a source is the accuracy minus the mean accuracy with the source's data
    permuted among the samples, all other sources left as they are. A permutation may leave a sample
    its own data. Scores are not normalized: divide by `accuracy` for the share of the accuracy that
    rests on the source. It costs S * draws + 1 passes over the data.

    Args:
        fun: The network; `fun(*args)` returns outputs for as many samples as its sources have.
        argnums: Which positional arguments are sources, counted without the labels; every array in
            them is a source with a leading axis of N samples.
        draws: How many random permutations, at least 1.
        score: Score of each sample, from outputs and labels, [B].
        batch_size: Samples that go through the network at a time; all N if None.

    Returns:
        A compiled function `(key, labels, *args)`.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers.
        ValueError: If `draws` is smaller than 1; at the call, if the arguments do not fit.

    References:
        Gat, Schwartz & Schwing, "Perceptual score: what data modalities does your model perceive?",
        NeurIPS 2021.

    Examples:
        >>> network = lambda a, b: a + 0 * b  # looks at source a alone
        >>> a, b, labels = jnp.eye(5), jnp.ones((5, 5)), jnp.arange(5)
        >>> measure = perceptual_score(network, argnums=(0, 1), draws=100)
        >>> result = measure(jax.random.key(0), labels, a, b)
        >>> [round(float(value), 1) for value in result.score]
        [0.8, 0.0]
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    scored = mean_score(fun, argnums, score=score, batch_size=batch_size)

    @jax.jit
    def measure(key: jax.Array, labels: jax.Array, *args: Given) -> PerceptualScore:
        def order(each: jax.Array, count: int) -> jax.Array:
            return jax.random.permutation(each, count)

        call = SourceCall.from_call(scored, after_labels(argnums), (labels, *args))
        return _measure(call, samples(call, labels), order, jax.random.split(key, draws))

    return measure


def perceptual_score_exact(
    fun: Callable[..., Tree],
    argnums: Argnums = 0,
    *,
    score: Score = accuracy,
    batch_size: int | None = None,
) -> Callable[..., PerceptualScore]:
    """Transform a network into a function that returns the expectation of the perceptual score.

    This is what `perceptual_score` tends to with more and more draws. In a random permutation each
    sample is given the data of any of the N samples with equal chances, its own included, so the
    expected accuracy of a sample is K / N if K of the N replacements are classified right. All N
    are tried, by moving the source's data round by 0 to N - 1 places. It costs S * N + 1 passes
    over the data, that is about S * N * N samples.

    Args:
        fun: The network; `fun(*args)` returns outputs for as many samples as its sources have.
        argnums: Which positional arguments are sources, counted without the labels; every array in
            them is a source with a leading axis of N samples.
        score: Score of each sample, from outputs and labels, [B].
        batch_size: Samples that go through the network at a time; all N if None.

    Returns:
        A compiled function `(labels, *args)`.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers.
        ValueError: At the call, if the arguments do not fit.

    References:
        Gat, Schwartz & Schwing, "Perceptual score: what data modalities does your model perceive?",
        NeurIPS 2021; the closed form of the expectation is the RFP authors'.

    Examples:
        >>> network = lambda a, b: a + 0 * b  # looks at source a alone
        >>> a, b, labels = jnp.eye(4), jnp.ones((4, 4)), jnp.arange(4)
        >>> result = perceptual_score_exact(network, argnums=(0, 1))(labels, a, b)
        >>> [float(value) for value in result.score]
        [0.75, 0.0]
    """
    scored = mean_score(fun, argnums, score=score, batch_size=batch_size)

    @jax.jit
    def measure(labels: jax.Array, *args: Given) -> PerceptualScore:
        def order(shift: jax.Array, count: int) -> jax.Array:
            return (jnp.arange(count) + shift) % count

        call = SourceCall.from_call(scored, after_labels(argnums), (labels, *args))
        count = samples(call, labels)
        return _measure(call, count, order, jnp.arange(count))

    return measure


def _measure(
    call: SourceCall,
    count: int,
    order: Callable[[jax.Array, int], jax.Array],
    draws: jax.Array,
) -> PerceptualScore:
    """Score with each source's data put in the order of each draw, and average over the draws."""

    def replaced_score(draw: jax.Array) -> jax.Array:
        others = [leaf[order(draw, count)] for leaf in call.leaves]
        return call.outputs(all_but_one(len(call.leaves)), others)

    whole = call(call.leaves)
    replaced = jnp.mean(jax.lax.map(replaced_score, draws), axis=0)
    return PerceptualScore(
        score=call.unstack(whole - replaced), accuracy=whole, replaced=call.unstack(replaced)
    )
