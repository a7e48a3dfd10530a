"""The methods, under one signature, and what each costs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

import rfp_jax
from rfp_jax import attribution, rules

STEPS = 50
PERMUTATIONS = 4
DRAWS = 10


class Cost(NamedTuple):
    """The cost of a method for one batch, or for one data set if it scores accuracies.

    Attributes:
        passes: evaluations of the network.
        linear: derivatives of it, or relevances through it, in one direction.
    """

    passes: int
    linear: int = 0


class Attribution(NamedTuple):
    """A method that shares every output of every sample out among the sources.

    Attributes:
        name: of the method.
        cost: of one batch.
        explain: function of variables and a tuple of sources; it returns [batch, classes] for each
            source.
    """

    name: str
    cost: Cost
    explain: Callable[[Any, tuple[Any, ...]], tuple[jax.Array, ...]]


class Score(NamedTuple):
    """A method that shares the accuracy out among the sources.

    Attributes:
        name: of the method.
        cost: of one data set.
        measure: function of variables, a tuple of sources, and labels; a scalar for each source.
    """

    name: str
    cost: Cost
    measure: Callable[[Any, tuple[Any, ...], Any], tuple[jax.Array, ...]]


def attributions(
    fun: Callable[..., Any], sources: int, classes: int, key: jax.Array
) -> list[Attribution]:
    """List the methods that attribute outputs; the first one is relevance forward propagation.

    Args:
        fun: the network, `fun(variables, *sources)`.
        sources: how many sources, S.
        classes: how many outputs, K.
        key: random key, for those that sample.

    Returns:
        The methods. The last one, random numbers, is a control: it must fail where others pass.
    """
    places = tuple(range(1, 1 + sources))

    def explains(method: Callable[..., Any], **options: Any) -> Any:
        explain = method(fun, places, **options)
        return lambda variables, images: explain(variables, *images)

    def relevance(fun: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
        explain = rfp_jax.jit(rfp_jax.relevance(fun, argnums))
        return lambda *args: explain(*args).sources

    def sampled(fun: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
        explain = attribution.shapley_sampled(fun, argnums, permutations=PERMUTATIONS)
        return lambda *args: explain(key, *args)

    def random(variables: Any, images: tuple[Any, ...]) -> tuple[jax.Array, ...]:
        shape = jax.eval_shape(fun, variables, *images).shape
        return tuple(jax.random.normal(each, shape) for each in jax.random.split(key, sources))

    return [
        Attribution("RFP", Cost(1, sources), explains(relevance)),
        Attribution("LRP by output", Cost(1, classes), explains(attribution.lrp)),
        Attribution(
            "LRP, EpsilonPlus",
            Cost(1, classes),
            explains(attribution.lrp, rules=rules.EpsilonPlus()),
        ),
        Attribution("gradient × input", Cost(1, sources), explains(attribution.gradient_x_input)),
        Attribution(
            "integrated gradients",
            Cost(STEPS, STEPS * sources),
            explains(attribution.integrated_gradients, steps=STEPS),
        ),
        Attribution("occlusion", Cost(sources + 1), explains(attribution.occlusion)),
        Attribution("Shapley value", Cost(2**sources), explains(attribution.shapley)),
        Attribution(
            "Shapley value, sampled", Cost(2 * PERMUTATIONS * (sources - 1) + 2), explains(sampled)
        ),
        Attribution("random numbers", Cost(0), random),
    ]


def scores(fun: Callable[..., Any], sources: int, samples: int, key: jax.Array) -> list[Score]:
    """List the methods that attribute the accuracy.

    Args:
        fun: the network, `fun(variables, *sources)`.
        sources: how many sources, S.
        samples: how many samples, N.
        key: random key, for those that sample.

    Returns:
        The methods.
    """
    options: Any = {"argnums": tuple(range(1, 1 + sources)), "batch_size": 512}

    def scores(
        measure: Callable[..., Any], *before: Any, read: Callable[[Any], Any] = tuple
    ) -> Any:
        return lambda variables, images, labels: read(measure(*before, labels, variables, *images))

    def score(found: attribution.PerceptualScore) -> tuple[jax.Array, ...]:
        return tuple(found.score)

    return [
        Score(
            "perceptual score",
            Cost(sources * samples + 1),
            scores(attribution.perceptual_score_exact(fun, **options), read=score),
        ),
        Score(
            "perceptual score, sampled",
            Cost(sources * DRAWS + 1),
            scores(attribution.perceptual_score(fun, draws=DRAWS, **options), key, read=score),
        ),
        Score("SHAPE score", Cost(2**sources), scores(attribution.shape_score(fun, **options))),
        Score(
            "SHAPE score, sampled",
            Cost(2 * PERMUTATIONS * (sources - 1) + 2),
            scores(attribution.shape_score_sampled(fun, permutations=PERMUTATIONS, **options), key),
        ),
    ]
