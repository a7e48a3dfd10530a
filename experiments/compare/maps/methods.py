"""The methods that give a map of each source, under one signature, and controls."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

import rfp_jax
from rfp_jax import attribution

WINDOW = 16
"""Pixels a side of the windows whose outputs are summed."""

REFERENCE = "RFP, bias kept"
"""The method that the others are compared with."""

Bias = Literal["keep", "share", "propagate"]

Maps = tuple[jax.Array, ...]
"""For each source the attribution of every output, [batch, y, x, class]."""


class Method(NamedTuple):
    """A method that shares every pixel's outputs out among the sources.

    Attributes:
        name: of the method.
        explain: function of variables and sources, compiled.
        control: whether it knows nothing of the network, or of the pixel.
    """

    name: str
    explain: Callable[..., Maps]
    control: bool = False


def methods(apply: Callable[..., Any], sources: Sequence[str], key: jax.Array) -> list[Method]:
    """List the methods.

    Args:
        apply: the network, `apply(variables, *sources)`, outputs [batch, y, x, class].
        sources: names of the sources.
        key: random key of the control.

    Returns:
        The methods, then the controls: random numbers, and the same source everywhere.
    """
    places = tuple(range(1, 1 + len(sources)))
    always = [
        Method(f"always {name}", partial(_always, apply, at), control=True)
        for at, name in enumerate(sources)
    ]
    return [
        Method(REFERENCE, _relevance(apply, places, "keep")),
        Method("RFP, bias shared", _relevance(apply, places, "share")),
        Method("RFP, bias propagated", _relevance(apply, places, "propagate")),
        Method("jax.linearize", attribution.gradient_x_input(apply, places)),
        Method(f"gradient × input, windows of {WINDOW}", _windows(apply, places)),
        Method("Grad-CAM of bands", attribution.grad_cam(apply, places)),
        Method("occlusion", attribution.occlusion(apply, places)),
        Method("Shapley value", attribution.shapley(apply, places)),
        Method("random numbers", partial(_random, apply, key), control=True),
        *always,
    ]


def _relevance(
    apply: Callable[..., Any], places: tuple[int, ...], bias: Any
) -> Callable[..., Maps]:
    explain = rfp_jax.jit(rfp_jax.relevance(apply, places, bias=bias))
    return lambda *args: explain(*args).sources


def _windows(apply: Callable[..., Any], places: tuple[int, ...]) -> Callable[..., Maps]:
    """The sum over its window at every pixel."""
    explain = attribution.gradient_x_input(apply, places, window=WINDOW)

    def explain_pixels(variables: Any, *images: jax.Array) -> Maps:
        rows, columns = images[0].shape[1:3]

        def spread(sums: jax.Array) -> jax.Array:
            each = jnp.repeat(jnp.repeat(sums, WINDOW, axis=1), WINDOW, axis=2)
            return each[:, :rows, :columns]

        return tuple(map(spread, explain(variables, *images)))

    return explain_pixels


def _random(apply: Callable[..., Any], key: jax.Array, variables: Any, *images: jax.Array) -> Maps:
    shape = jax.eval_shape(apply, variables, *images).shape
    return tuple(jax.random.normal(each, shape) for each in jax.random.split(key, len(images)))


def _always(apply: Callable[..., Any], source: int, variables: Any, *images: jax.Array) -> Maps:
    shape = jax.eval_shape(apply, variables, *images).shape
    return tuple(jnp.full(shape, float(at == source)) for at in range(len(images)))
