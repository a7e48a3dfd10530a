"""SHAPE scores: Shapley values of sources where the value of a coalition is an accuracy."""

from collections.abc import Callable

from rfp_jax._core.argnums import Argnums
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._scores import Score, accuracy, after_labels, mean_score
from rfp_jax.attribution._shapley import shapley, shapley_sampled


def shape_score(
    fun: Callable[..., Tree],
    argnums: Argnums = 0,
    *,
    baseline: Given = 0.0,
    score: Score = accuracy,
    batch_size: int | None = None,
) -> Callable[..., Tree]:
    """Transform a network into a function that returns the SHAPE score of each source.

    The SHAPE score is the exact Shapley value of a source where the value of a coalition is the
    accuracy that the network reaches with it. For two sources and accuracies V:
    S_1 = 1/2 [V(1, 2) - V(0, 2) + V(1, 0) - V(0, 0)]. It costs 2^S passes over the data.

    Args:
        fun: The network; `fun(*args)` returns outputs for as many samples as its sources have.
        argnums: Which positional arguments are sources, counted without the labels; every array in
            them is a source with a leading axis of N samples.
        baseline: What an absent source is replaced with: a number, or one array per source,
            arranged like the sources; the paper uses zero.
        score: Score of each sample, from outputs and labels, [B].
        batch_size: Samples that go through the network at a time; all N if None.

    Returns:
        A compiled function `(labels, *args)`; it returns a scalar for each source, arranged like
        what `argnums` points to. They sum to the score with all sources minus that with none.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers.
        ValueError: At the call, if there are more than 16 sources (use `shape_score_sampled`), or
            the arguments do not fit.

    References:
        Hu, Li & Zhou, "SHAPE: an unified approach to evaluate the contribution and cooperation of
        individual modalities", IJCAI 2022.

    Examples:
        >>> import jax.numpy as jnp
        >>> network = lambda a, b: jnp.concatenate([a, b], axis=1)  # two classes, one source each
        >>> a, b, labels = jnp.array([[1.0], [1.0]]), jnp.array([[2.0], [0.0]]), jnp.array([1, 0])
        >>> [float(value) for value in shape_score(network, argnums=(0, 1))(labels, a, b)]
        [0.0, 0.5]
    """
    scored = mean_score(fun, argnums, score=score, batch_size=batch_size)
    return shapley(scored, after_labels(argnums), baseline=baseline)


def shape_score_sampled(
    fun: Callable[..., Tree],
    argnums: Argnums = 0,
    *,
    permutations: int = 16,
    baseline: Given = 0.0,
    score: Score = accuracy,
    batch_size: int | None = None,
) -> Callable[..., Tree]:
    """Transform a network into a function that estimates the SHAPE score of each of many sources.

    See `shape_score` for what is estimated and `shapley_sampled` for how and at what cost.

    Args:
        fun: The network; `fun(*args)` returns outputs for as many samples as its sources have.
        argnums: Which positional arguments are sources, counted without the labels; every array in
            them is a source with a leading axis of N samples.
        permutations: How many random orders, at least 1; each is used forwards and backwards.
        baseline: What an absent source is replaced with: a number, or one array per source,
            arranged like the sources.
        score: Score of each sample, from outputs and labels, [B].
        batch_size: Samples that go through the network at a time; all N if None.

    Returns:
        A compiled function `(key, labels, *args)`; it returns the same as that of `shape_score`.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers.
        ValueError: If `permutations` is smaller than 1; at the call, if the arguments do not fit.

    References:
        Hu, Li & Zhou, "SHAPE", IJCAI 2022; Castro, Gomez & Tejada, 2009.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> network = lambda a, b: jnp.concatenate([a, b], axis=1)  # two classes, one source each
        >>> a, b, labels = jnp.array([[1.0], [1.0]]), jnp.array([[2.0], [0.0]]), jnp.array([1, 0])
        >>> estimate = shape_score_sampled(network, argnums=(0, 1), permutations=1)
        >>> [float(value) for value in estimate(jax.random.key(0), labels, a, b)]
        [0.0, 0.5]
    """
    scored = mean_score(fun, argnums, score=score, batch_size=batch_size)
    return shapley_sampled(
        scored, after_labels(argnums), permutations=permutations, baseline=baseline
    )
