"""The direction never changes the answer: chosen outputs, samples and positions that interact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.nn import relu, softmax

from rfp_jax import relevance, sources
from tests.oracles.decomposition import agree, convolve, draw

pytestmark = pytest.mark.usefixtures("x64")


def check_chosen(fun, *args, split=None):
    """The chosen outputs have the relevance that all outputs have there."""
    argnums = tuple(range(len(args)))
    every = relevance(fun, argnums, split=split)(*args)
    chosen = relevance(fun, argnums, split=split, outputs="argmax")(*args)
    place = jnp.argmax(every.output, -1)[..., None]

    def pick(row):
        index = jnp.broadcast_to(place, (*row.shape[:-1], 1))
        return jnp.take_along_axis(row, index, -1)[..., 0]

    agree(jax.tree.leaves(chosen), [pick(row) for row in jax.tree.leaves(every)])


def test_outputs_along_time_depend_on_one_another():
    a, b = jnp.array([[[1.0], [2.0]]]), jnp.array([[[10.0], [20.0]]])

    def delayed(a, b):
        return jnp.roll(a, 1, axis=1) + b

    for outputs in ("all", "argmax"):
        rel = relevance(delayed, (0, 1), outputs=outputs)(a, b)
        agree([rel.sources[0].ravel(), rel.sources[1].ravel()], [[2.0, 1.0], [10.0, 20.0]])
        np.testing.assert_array_equal(rel.bias, np.zeros_like(rel.bias))


def test_contrastive_logits():
    u, v = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([[0.0, 1.0], [3.0, 0.0]])
    rel = relevance(lambda u, v: u @ v.T, (0, 1), outputs="argmax")(u, v)
    agree([*rel.sources, rel.bias], [[1.5, 1.0], [1.5, 1.0], [0.0, 0.0]])


def _labeled(x, y):
    """A recurrent labeling [batch, time, K]."""
    w, v, k = draw(3, 4, seed=1), draw(4, 4, seed=2), draw(4, 5, seed=3)

    def step(h, now):
        h = jnp.tanh(now @ w + h @ v + 0.1)
        return h, h @ k

    joined = jnp.swapaxes(x + y, 0, 1)
    return jnp.swapaxes(lax.scan(step, jnp.zeros((2, 4)), joined)[1], 0, 1)


def _batch_norm(x, y):
    mean, var = x.mean(0, keepdims=True), x.var(0, keepdims=True)
    return ((x - mean) / jnp.sqrt(var + 1e-5) + y) @ draw(3, 4, seed=4) + 0.3


MIXING = {
    "segmentation": (
        lambda x, y: convolve(
            relu(convolve(x + 2 * y, draw(3, 3, 3, 4, seed=1)) + 0.1), draw(3, 3, 4, 5)
        ),
        (2, 4, 5, 3),
    ),
    "pixels alone": (
        lambda x, y: relu(x @ draw(3, 4, seed=1) + y @ draw(3, 4, seed=2)) @ draw(4, 5),
        (2, 4, 5, 3),
    ),
    "recurrent labeling": (_labeled, (2, 6, 3)),
    "batch norm in training": (_batch_norm, (4, 3)),
    "contrastive": (lambda x, y: jnp.tanh(x) @ jnp.tanh(y).T, (4, 3)),
    "attention over samples": (lambda x, y: softmax(x @ x.T) @ y, (4, 3)),
    "running sum": (lambda x, y: jnp.cumsum(x, 1) + y, (2, 6, 3)),
    "sorted": (lambda x, y: jnp.sort(x, 0) + y, (4, 3)),
    "flipped": (lambda x, y: x[::-1] * 2 + y, (4, 3)),
    "reshaped": (lambda x, y: x.T.reshape(3, 3) @ draw(3, 3) + y, (3, 3)),
    "transposed": (lambda x, y: x.T + 2 * y, (3, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("splits", [False, True])
def test_chosen_outputs_are_those_of_all(name, splits):
    fun, shape = MIXING[name]
    split = (sources.axis(-1), None) if splits else None
    check_chosen(fun, draw(*shape, seed=7), draw(*shape, seed=8), split=split)


def test_reverse_where_samples_do_not_interact():
    fun, shape = MIXING["pixels alone"]
    x, y = draw(*shape, seed=7), draw(*shape, seed=8)
    one = relevance(fun, (0, 1), outputs="argmax", direction="forward")(x, y)
    other = relevance(fun, (0, 1), outputs="argmax", direction="reverse")(x, y)
    agree(jax.tree.leaves(one), jax.tree.leaves(other))
