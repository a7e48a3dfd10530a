"""Shapley values of sources, exact over all coalitions and estimated from random orders.

The Shapley value of source s is its mean marginal contribution over all orders in which the sources
can be added. With v(T) the value of the coalition T of the S sources (Shapley, "A value for
n-person games", 1953):

    phi_s = sum over T without s of  |T|! (S - |T| - 1)! / S!  *  ( v(T + s) - v(T) )

It is the only attribution that is efficient (the phi_s sum to v(all) - v(none)), symmetric, linear
and zero for a source that never changes anything. Here v(T) is whatever a function returns with the
sources of T present: the outputs of a network, or its accuracy (see `shape`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._core.argnums import Argnums
from rfp_jax._util import shapes
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._coalitions import SourceCall, all_coalitions

MOST_SOURCES = 16


def shapley(
    fun: Callable[..., Tree], argnums: Argnums = 0, *, baseline: Given = 0.0
) -> Callable[..., Tree]:
    """Transform a function into one that returns the exact Shapley value of each source.

    Every one of the 2^S coalitions is evaluated: 2^S passes through the network.

    Args:
        fun: The function, such as a network. Bind arguments that are not arrays beforehand.
        argnums: Which positional arguments are sources; every array in them is a source.
        baseline: What an absent source is replaced with: a number, or one array per source,
            arranged like the sources.

    Returns:
        A compiled function of the same positional arguments; it returns, arranged like what
        `argnums` points to, for each source an array shaped like the output.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers.
        ValueError: At the call, if there are more than 16 sources (use `shapley_sampled`), or if
            `argnums` or the baseline does not fit the arguments.

    References:
        Shapley, "A value for n-person games", Contributions to the Theory of Games II, 1953.

    Examples:
        >>> product = lambda a, b: a * b + a
        >>> [float(value) for value in shapley(product, argnums=(0, 1))(3.0, 2.0)]
        [6.0, 3.0]
    """

    @jax.jit
    def attribute(*args: Given) -> Tree:
        call = SourceCall.from_call(fun, argnums, args)
        count = len(call.leaves)
        if count > MOST_SOURCES:
            raise ValueError(
                f"exact Shapley values of {count} sources need 2^{count} passes; from "
                f"{MOST_SOURCES + 1} sources on, use the sampled estimate"
            )
        values = call.outputs(all_coalitions(count), call.background(baseline))
        weights = shapley_weights(count)
        return call.unstack(jax.tree.map(lambda value: _weighted_sums(weights, value), values))

    return attribute


def shapley_sampled(
    fun: Callable[..., Tree], argnums: Argnums = 0, *, permutations: int = 16, baseline: Given = 0.0
) -> Callable[..., Tree]:
    """Transform a function into one that estimates the Shapley value of each of many sources.

    Sources are added one after the other in random orders, and each is credited with the change
    that it makes. Every random order is used forwards and backwards, which lowers the variance (and
    makes the estimate exact for two sources). The estimate is unbiased, and the values sum to
    v(all) - v(none) whatever the orders. It costs 2 * permutations * (S - 1) + 2 passes.

    Args:
        fun: The function, such as a network. Bind arguments that are not arrays beforehand.
        argnums: Which positional arguments are sources; every array in them is a source.
        permutations: How many random orders, at least 1.
        baseline: What an absent source is replaced with: a number, or one array per source,
            arranged like the sources.

    Returns:
        A compiled function `(key, *args)`; it returns the same as that of `shapley`.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers.
        ValueError: If `permutations` is smaller than 1; at the call, if `argnums` or the baseline
            does not fit the arguments.

    References:
        Castro, Gomez & Tejada, "Polynomial calculation of the Shapley value based on sampling",
        Computers & Operations Research, 2009; antithetic orders: Mitchell, Cooper, Frank & Holmes,
        "Sampling permutations for Shapley value estimation", JMLR 2022.

    Examples:
        >>> product = lambda a, b: a * b + a
        >>> estimate = shapley_sampled(product, argnums=(0, 1), permutations=1)
        >>> [float(value) for value in estimate(jax.random.key(0), 3.0, 2.0)]
        [6.0, 3.0]
    """
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")

    @jax.jit
    def attribute(key: jax.Array, *args: Given) -> Tree:
        call = SourceCall.from_call(fun, argnums, args)
        count = len(call.leaves)
        background = call.background(baseline)
        ends = call.outputs(np.repeat([[False], [True]], count, axis=1), background)

        def add_contributions(total: Tree, order: jax.Array) -> tuple[Tree, None]:
            rank = jnp.argsort(order)
            some = call.outputs(rank[None] < jnp.arange(1, count)[:, None], background)
            values = jax.tree.map(
                lambda end, between: jnp.concatenate([end[:1], between, end[1:]]), ends, some
            )
            contributions = jax.tree.map(lambda value: jnp.diff(value, axis=0)[rank], values)
            return jax.tree.map(jnp.add, total, contributions), None

        keys = jax.random.split(key, permutations)
        forwards = jax.vmap(lambda each: jax.random.permutation(each, count))(keys)
        orders = jnp.concatenate([forwards, forwards[:, ::-1]])
        nothing = jax.tree.map(lambda end: jnp.zeros((count, *end.shape[1:]), end.dtype), ends)
        total, _ = jax.lax.scan(add_contributions, nothing, orders)
        return call.unstack(jax.tree.map(lambda each: each / len(orders), total))

    return attribute


def shapley_weights(sources: int) -> shapes.Float[np.ndarray, "{sources} 2**{sources}"]:
    """Compute the weight of every coalition's value in every source's Shapley value.

    Args:
        sources: How many sources, S.

    Returns:
        Weights, float64, [S, 2^S], with coalitions in the order of `all_coalitions`.

    Examples:
        >>> shapley_weights(2).tolist()
        [[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5]]
    """
    present = all_coalitions(sources)
    others = present.sum(axis=1) - present.T  # size of the coalition without the source, [S, 2^S]
    by_size = np.array(
        [factorial(size) * factorial(sources - size - 1) for size in range(sources)]
    ) / float(factorial(sources))
    return np.where(present.T, 1.0, -1.0) * by_size[others]


def _weighted_sums(
    weights: shapes.Float[np.ndarray, "S M"],
    values: shapes.Inexact[jax.Array, "M *output"],  # noqa: F821
) -> shapes.Inexact[jax.Array, "S *output"]:  # noqa: F821
    matrix = jnp.asarray(weights, values.dtype)
    return jnp.tensordot(matrix, values, axes=1, precision="highest")
