"""Targets that may be asked for: integers, labels, masks, weights."""
# ruff: noqa: E501  (tables: one case a line)

import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import heatmap, relevance
from tests.oracles.decomposition import agree, draw

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize(
    "index", [np.int64(1), np.int32(1), np.array(1), jnp.array(1), 1, np.uint8(1)]
)
def test_an_output_by_any_integer(index):
    x = jnp.array([[1.0, 2, 3], [4, 5, 6]])
    rel = relevance(lambda x, y: x + y, (0, 1), outputs=index)(x, 2 * x)
    agree([rel.output, *rel.sources], [[6.0, 15], [2.0, 5], [4.0, 10]])


def test_labels_with_an_ignored_value():
    x = jnp.array([[1.0, 2, 3], [4, 5, 6]])
    for labels in (jnp.array([1, 255]), np.array([1, 255], np.uint8), np.array([1, 255])):
        for direction in ("forward", "reverse"):
            rel = relevance(lambda x, y: x + y, (0, 1), outputs=labels, ignore_index=255, direction=direction)(x, 2 * x)  # fmt: skip
            agree([rel.output, *rel.sources], [[6.0, 0], [2.0, 0], [4.0, 0]])
    negative = relevance(lambda x: 1 * x, outputs=np.array([-1, 2]), ignore_index=-1)(x)
    agree([negative.sources], [[0.0, 6.0]])
    with pytest.raises(ValueError, match="255"):
        relevance(lambda x: 1 * x, outputs=np.array([1, 255]))(x)
    heat = heatmap(lambda x: 2 * x, outputs=np.array([1, 255]), ignore_index=255)(x)
    np.testing.assert_array_equal(heat, [[0.0, 4, 0], [0, 0, 0]])


def test_labels_of_pixels_with_an_ignored_value():
    x = draw(2, 3, 4, 5)
    labels = np.array([[[0, 1, 255, 4]] * 3] * 2)
    rel = relevance(lambda x, y: x @ draw(5, 5, seed=1) + y, (0, 1), outputs=labels, ignore_index=255)(x, x)  # fmt: skip
    assert rel.output.shape == (2, 3, 4)
    np.testing.assert_array_equal(rel.sources[0][..., 2], np.zeros((2, 3)))
    np.testing.assert_allclose(rel.sources[1][..., 1], x[..., 1, 1])


def test_weights_and_masks():
    x = jnp.array([[1.0, 2, 3], [4, 5, 6]])
    weights = [
        (jnp.array([0.5, 0.5, 0]), [1.5, 4.5]),
        (np.array([True, False, True]), [4.0, 10.0]),
        (jnp.array([[1.0, 0, 0], [0, 0, 1]]), [1.0, 6.0]),
        (np.array([[True, True, False], [False, False, False]]), [3.0, 0.0]),
    ]
    for chosen, want in weights:
        for direction in ("forward", "reverse"):
            rel = relevance(lambda x: 1 * x, outputs=chosen, direction=direction)(x)
            agree([rel.output, rel.sources], [want, want])


@pytest.mark.parametrize("outputs", [1.5, "top", np.array([0, 1, 2]), np.array([True]), None])
def test_what_does_not_fit_is_refused(outputs):
    with pytest.raises((TypeError, ValueError), match="outputs="):
        relevance(lambda x: 1 * x, outputs=outputs)(jnp.ones((2, 3)))
