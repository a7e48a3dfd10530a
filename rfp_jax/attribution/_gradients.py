"""Attributions made of gradients, per source and for all outputs at once.

The sum over a source's elements of gradient times difference is a directional derivative. Forward
mode gives it for every output in one pass, where reverse mode needs a pass per output.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax._core.argnums import Argnums
from rfp_jax._util import shapes
from rfp_jax._util.trees import Given, Tree
from rfp_jax.attribution._coalitions import SourceCall


def gradient_x_input(
    fun: Callable[..., Tree], argnums: Argnums = 0, *, window: int | None = None
) -> Callable[..., Tree]:
    """Transform a network into a function that returns gradient times input, summed by source.

    For source s and output k: sum over the elements i of s of x_i * d f_k / d x_i. In a network of
    linear layers, ReLU and max-pooling this is LRP-0, and so relevance forward propagation under
    its default rules. It costs one pass and S linear ones.

    Args:
        fun: The network. Bind arguments that are not arrays beforehand.
        argnums: Which positional arguments are sources; every array in them is a source.
        window: For outputs with places, [B, *places, K]: explain the sum of the outputs of each
            block of so many places a side instead, as those must who take one backward pass for
            each window and class. The last blocks hold what there is.

    Returns:
        A compiled function of the same positional arguments; it returns, arranged like what
        `argnums` points to, for each source an array shaped like the output, or
        [B, *blocks, K] with a window.

    Raises:
        TypeError: At the call, if `argnums` holds anything but integers or a source is no
            floating-point array.
        ValueError: If `window` is smaller than 1; at the call, if `argnums` does not fit the
            arguments, or the output has no places for a window.

    References:
        Shrikumar, Greenside, Shcherbina & Kundaje, "Not just a black box: learning important
        features through propagating activation differences", 2016; Ancona, Ceolini, Öztireli &
        Gross, "Towards better understanding of gradient-based attribution methods", ICLR 2018.

    Examples:
        >>> product = lambda a, b: a * b + a
        >>> [float(value) for value in gradient_x_input(product, argnums=(0, 1))(3.0, 2.0)]
        [9.0, 6.0]
    """
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1, got {window}")

    @jax.jit
    def attribute(*args: Given) -> Tree:
        call = differentiable(fun, argnums, args)
        found = call.unstack(_derivatives(call, call.leaves, call.leaves))
        return found if window is None else _window_sums(found, window)

    return attribute


def integrated_gradients(
    fun: Callable[..., Tree], argnums: Argnums = 0, *, baseline: Given = 0.0, steps: int = 50
) -> Callable[..., Tree]:
    """Transform a network into a function that returns integrated gradients, summed by source.

    For source s and output k: sum over the elements i of s of (x_i - b_i) times the mean of
    d f_k / d x_i on the straight line from the baseline b to x, where all sources move together.
    The attributions sum to f(x) - f(b) (completeness), up to the error of the quadrature: Gauss and
    Legendre's with `steps` nodes. It costs `steps` passes and S * steps linear ones.

    Args:
        fun: The network. Bind arguments that are not arrays beforehand.
        argnums: Which positional arguments are sources; every array in them is a source.
        baseline: Where the line starts: a number, or one array per source, arranged like the
            sources.
        steps: Nodes of the quadrature, at least 1.

    Returns:
        A function like that of `gradient_x_input`: for each source an array shaped like the output.

    Raises:
        TypeError: At the call, as that of `gradient_x_input`.
        ValueError: If `steps` is smaller than 1; at the call, if `argnums` or the baseline does not
            fit the arguments.

    References:
        Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017, sections 3
        and 5.

    Examples:
        >>> product = lambda a, b: a * b + a
        >>> attribute = integrated_gradients(product, argnums=(0, 1))
        >>> [round(float(value), 4) for value in attribute(3.0, 2.0)]
        [6.0, 3.0]
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    nodes, weights = np.polynomial.legendre.leggauss(steps)  # on [-1, 1], where weights sum to 2

    @jax.jit
    def attribute(*args: Given) -> Tree:
        call = differentiable(fun, argnums, args)
        start = call.background(baseline)
        line = [leaf - origin for leaf, origin in zip(call.leaves, start, strict=True)]

        def add_step(total: Tree, step: tuple[jax.Array, jax.Array]) -> tuple[Tree, None]:
            position, weight = step
            leaves = [
                origin + position.astype(way.dtype) * way
                for origin, way in zip(start, line, strict=True)
            ]
            derivatives = _derivatives(call, leaves, line)
            return jax.tree.map(
                lambda so_far, each: so_far + weight.astype(each.dtype) * each, total, derivatives
            ), None

        shapes = jax.eval_shape(lambda: _derivatives(call, start, line))
        nothing = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        path = (jnp.asarray((nodes + 1) / 2), jnp.asarray(weights / 2))
        total, _ = jax.lax.scan(add_step, nothing, path)
        return call.unstack(total)

    return attribute


def _derivatives(call: SourceCall, at: list[jax.Array], along: list[jax.Array]) -> Tree:
    """Differentiate by one source at a time, along its part of a direction; stacked by source."""
    _, push = jax.linearize(lambda *leaves: call(leaves), *at)

    def push_one(chosen: jax.Array) -> Tree:
        return push(
            *(jnp.where(chosen[s], part, jnp.zeros_like(part)) for s, part in enumerate(along))
        )

    return jax.lax.map(push_one, jnp.eye(len(at), dtype=bool))


def _window_sums(found: Tree, window: int) -> Tree:
    """Sum blocks of so many places a side; the derivative of a sum is the sum of derivatives."""

    def blocks(
        values: shapes.Float[jax.Array, "B *places K"],
    ) -> shapes.Float[jax.Array, "B *blocks K"]:
        if values.ndim < 3:
            raise ValueError(
                f"a window needs an output with places, [B, *places, K], got {values.shape}"
            )
        block = (1, *[window] * (values.ndim - 2), 1)
        missing = [(0, -size % side) for size, side in zip(values.shape, block, strict=True)]
        return lax.reduce_window(values, 0.0, lax.add, block, block, missing)

    return jax.tree.map(blocks, found)


def differentiable(
    fun: Callable[..., Tree], argnums: Argnums, args: tuple[Given, ...]
) -> SourceCall:
    """Look at a call as a function of its sources, all of which are floating-point arrays.

    Args:
        fun: The function.
        argnums: Which positional arguments are sources.
        args: All arguments of the call.

    Returns:
        The call.

    Raises:
        TypeError: If a source is not a floating-point array.
        TypeError, ValueError: See `SourceCall.from_call`.
    """
    call = SourceCall.from_call(fun, argnums, args)
    for leaf in call.leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise TypeError(
                f"gradients need floating-point sources, got {leaf.dtype} of shape {leaf.shape}"
            )
    return call
