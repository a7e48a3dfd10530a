"""Helpers of the tests whose answers are known by hand."""

import jax
import numpy as np

from rfp_jax import relevance


def shares(fun, *parts):
    """Each part's relevance for `fun` of their sum, and the bias."""
    rel = relevance(lambda *each: fun(sum(each)), tuple(range(len(parts))))(*parts)
    return [np.asarray(source) for source in rel.sources], np.asarray(rel.bias)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def init(module, *args):
    """Random variables, float64, biases and statistics included."""
    variables = jax.eval_shape(module.init, jax.random.key(0), *args)
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(1)
    return tree.unflatten([rng.uniform(0.5, 1.5, leaf.shape) for leaf in leaves])


def two(fun, x, y):
    rel = relevance(fun, (0, 1))(np.asarray(x), np.asarray(y))
    return [*map(np.asarray, rel.sources), np.asarray(rel.bias)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))
