"""Decompositions as the tests of the engine ask for them and compare them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax import heatmap, relevance


def explain(fun, *args, **options):
    """Relevance forwards; the heatmaps of some weighting of the outputs must add up to it.

    Compiled in one piece: operation by operation a test would compile some hundred programs.
    """
    argnums = tuple(range(len(args)))

    def both(*args):
        rel = relevance(fun, argnums, **options)(*args)
        weights = jnp.cos(1.0 + jnp.arange(rel.output.size)).reshape(rel.output.shape)
        heats = heatmap(fun, argnums, outputs=weights, **options)(*args)
        return rel, [(weights * row).sum() for row in rel.sources], [heat.sum() for heat in heats]

    rel, forward, reverse = jax.jit(both)(*args)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(rel.bias + sum(rel.sources), rel.output, rtol=1e-10, atol=1e-10)
    return rel


def shares(fun, *args, **options):
    """The relevance of each source and the bias, as numbers."""
    rel = explain(fun, *args, **options)
    return [np.asarray(part) for part in (*rel.sources, rel.bias)]


def agree(got, want, atol=1e-10):
    """Compare each part of a decomposition."""
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=atol)


def draw(*shape, seed=0):
    """Random numbers."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def convolve(x, w):
    """A convolution of images, channels last, padded to the same size."""
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
