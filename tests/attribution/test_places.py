"""Attributions with places, and the replacement tests, against slow definitions in NumPy.

The network blurs the bands of three sources over neighboring places and has one hidden layer; its
Jacobian is written down by hand.
"""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import rfp_jax
from rfp_jax.attribution import (
    dominance,
    grad_cam,
    gradient_x_input,
    occlusion,
    replacement,
    shapley,
)

pytestmark = pytest.mark.usefixtures("x64")

BANDS = (3, 2, 1)
SAMPLES, ROWS, COLUMNS, HIDDEN, CLASSES = 4, 5, 7, 6, 3
PLACES = list(np.ndindex(ROWS, COLUMNS))
NEAR = np.array([[max(abs(a - c), abs(b - d)) <= 1 for c, d in PLACES] for a, b in PLACES]) / 9.0
"""The part of each place that is seen at each place, [places, places]."""

DRAW = np.random.default_rng(0)
PARAMS = {
    "w1": DRAW.normal(size=(sum(BANDS), HIDDEN)),
    "b1": DRAW.normal(size=HIDDEN) / 4,
    "w2": DRAW.normal(size=(HIDDEN, CLASSES)),
}
SOURCES = [DRAW.normal(size=(SAMPLES, ROWS, COLUMNS, bands)) for bands in BANDS]
OTHERS = np.array([2, 3, 1, 0])


def network(params, images, last):
    """Two sources in a dict and one more; outputs [batch, y, x, class]."""
    x = jnp.concatenate([images["a"], images["b"], last], -1)
    seen = jnp.einsum("pq,nqc->npc", NEAR, x.reshape(len(x), -1, x.shape[-1]))
    hidden = jax.nn.relu(seen @ params["w1"] + params["b1"].reshape(1, 1, -1))
    return (hidden @ params["w2"]).reshape(len(x), ROWS, COLUMNS, CLASSES)


def slow(sources):
    """Outputs, and the Jacobian of each source [sample, place, class, place, band]."""
    x = np.concatenate(sources, -1).reshape(len(sources[0]), len(PLACES), -1)
    before = np.einsum("pq,nqc->npc", NEAR, x) @ PARAMS["w1"] + PARAMS["b1"]
    output = np.maximum(before, 0) @ PARAMS["w2"]
    jacobian = np.einsum("nph,hk,ch,pq->npkqc", before > 0, PARAMS["w2"], PARAMS["w1"], NEAR)
    ends = np.cumsum(BANDS)[:-1]
    return output.reshape(-1, ROWS, COLUMNS, CLASSES), np.split(jacobian, ends, axis=-1)


def arranged(values):
    return {"a": values[0], "b": values[1]}, values[2]


def args(sources=SOURCES):
    return (PARAMS, *arranged(sources))


def leaves(found):
    return [np.asarray(each) for each in jax.tree.leaves(found)]


def without(missing, sources=SOURCES):
    return [0 * x if s in missing else x for s, x in enumerate(sources)]


def swapped(s):
    return [x[OTHERS] if t == s else x for t, x in enumerate(SOURCES)]


def contributions(sources):
    """Gradient times input of every output, [source][sample, y, x, class]."""
    _, jacobians = slow(sources)
    shape = (SAMPLES, ROWS, COLUMNS, CLASSES)
    return [
        np.einsum("npkqc,nqc->npk", jacobian, x.reshape(len(x), len(PLACES), -1)).reshape(shape)
        for jacobian, x in zip(jacobians, sources, strict=True)
    ]


def test_the_written_network_is_the_network():
    np.testing.assert_allclose(network(*args()), slow(SOURCES)[0], atol=1e-12)


def test_occlusion_and_shapley_values_have_places():
    whole = slow(SOURCES)[0]
    for s, found in enumerate(leaves(occlusion(network, (1, 2))(*args()))):
        np.testing.assert_allclose(found, whole - slow(without({s}))[0], atol=1e-12)
    expected = np.zeros((3, *whole.shape))
    for order in permutations(range(3)):
        for at, s in enumerate(order):
            before, after = set(order[at:]), set(order[at + 1 :])
            expected[s] += (slow(without(after))[0] - slow(without(before))[0]) / 6
    np.testing.assert_allclose(leaves(shapley(network, (1, 2))(*args())), expected, atol=1e-12)


def test_gradient_x_input_has_places_and_is_relevance_and_linearize():
    found = leaves(gradient_x_input(network, (1, 2))(*args()))
    np.testing.assert_allclose(found, contributions(SOURCES), atol=1e-12)
    rel = rfp_jax.relevance(network, (1, 2))(*args())
    np.testing.assert_allclose(found, leaves(rel.sources), atol=1e-12)


@pytest.mark.parametrize("window", [1, 3, 100])
def test_a_window_is_explained_by_its_sum(window):
    """One backward pass for each window and class, times the input."""
    found = leaves(gradient_x_input(network, (1, 2), window=window)(*args()))
    rows, columns = -(-ROWS // window), -(-COLUMNS // window)
    assert {each.shape for each in found} == {(SAMPLES, rows, columns, CLASSES)}
    _, pull = jax.vjp(lambda *x: network(PARAMS, *arranged(x)), *SOURCES)
    pull = jax.jit(pull)
    for row, column, k in np.ndindex(rows, columns, CLASSES):
        summed = np.zeros((SAMPLES, ROWS, COLUMNS, CLASSES))
        down, across = (slice(n * window, (n + 1) * window) for n in (row, column))
        summed[:, down, across, k] = 1
        for each, x, gradient in zip(found, SOURCES, pull(summed), strict=True):
            expected = np.sum(x * np.asarray(gradient), axis=(1, 2, 3))
            np.testing.assert_allclose(each[:, row, column, k], expected, atol=1e-12)


def test_a_window_of_a_sequence():
    found = gradient_x_input(lambda x: 2 * x, window=2)(jnp.arange(5.0).reshape(1, 5, 1))
    np.testing.assert_array_equal(found[0, :, 0], [2, 10, 8])


def test_grad_cam_is_its_definition():
    output, jacobians = slow(SOURCES)
    best = output.argmax(-1).reshape(SAMPLES, -1)
    expected = [np.zeros((SAMPLES, len(PLACES), CLASSES)) for _ in BANDS]
    for s, (jacobian, x) in enumerate(zip(jacobians, SOURCES, strict=True)):
        for n, k in np.ndindex(SAMPLES, CLASSES):
            weights = jacobian[n, best[n] == k, k].sum(0).mean(0)  # of each band
            score = x[n].reshape(len(PLACES), -1) @ weights
            expected[s][n, :, k] = np.maximum(score, 0)
    for found, each in zip(leaves(grad_cam(network, (1, 2))(*args())), expected, strict=True):
        np.testing.assert_allclose(found.reshape(each.shape), each, atol=1e-12)
        assert (found > 0).any()


def test_replacement_is_a_loop_over_sources_and_samples():
    found = replacement(gradient_x_input(network, (1, 2)), (1, 2))(OTHERS, *args())
    before = contributions(SOURCES)
    assert found.pearson.shape == found.mse.shape == (3, 3, SAMPLES)
    for s, t, n in np.ndindex(3, 3, SAMPLES):
        one, other = before[t][n].ravel(), contributions(swapped(s))[t][n].ravel()
        assert float(found.pearson[s, t, n]) == pytest.approx(
            scipy.stats.pearsonr(one, other).statistic, abs=1e-10
        )
        assert float(found.mse[s, t, n]) == pytest.approx(np.mean((one - other) ** 2), abs=1e-12)
        assert float(found.size[t, n]) == pytest.approx(np.mean(one**2), abs=1e-12)


def test_a_network_whose_sources_do_not_meet_separates_them():
    def apart(a, b):
        return jnp.tanh(a) + b**3

    given = (SOURCES[0], SOURCES[0][::-1].copy())
    found = replacement(occlusion(apart, (0, 1)), (0, 1))(OTHERS, *given)
    np.testing.assert_allclose(found.pearson[[0, 1], [1, 0]], 1, atol=1e-12)
    np.testing.assert_allclose(found.mse[[0, 1], [1, 0]], 0, atol=1e-24)
    assert (found.mse[[0, 1], [0, 1]] > 0.1).all()  # of the replaced source something else


def test_dominance_is_a_loop_over_places():
    said = contributions(SOURCES)
    found = dominance(network, (1, 2))(arranged(said), OTHERS, *args())
    best = slow(SOURCES)[0].argmax(-1)
    changed = np.stack([slow(swapped(s))[0].argmax(-1) != best for s in range(3)])
    np.testing.assert_array_equal(found.changed, changed)
    dominating, others = np.zeros(SAMPLES), np.zeros(SAMPLES)
    for n, y, x in np.ndindex(SAMPLES, ROWS, COLUMNS):
        first = int(np.argmax([abs(each[n, y, x, best[n, y, x]]) for each in said]))
        assert found.source[n, y, x] == first
        for s in range(3):
            (dominating if s == first else others)[n] += changed[s, n, y, x]
    np.testing.assert_allclose(found.dominating, dominating / len(PLACES), atol=1e-12)
    np.testing.assert_allclose(found.others, others / len(PLACES) / 2, atol=1e-12)


def test_dominance_of_outputs_without_places():
    a, b = jnp.array([[5.0, 0], [0, 5.0]]), jnp.array([[1.0, 0], [1.0, 0]])
    found = dominance(lambda a, b: a + b, (0, 1))((a, b), [1, 0], a, b)
    assert found.source.tolist() == [0, 0]
    assert (found.dominating.tolist(), found.others.tolist()) == ([1, 1], [0, 0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradient_x_input(network, window=0), ValueError, "window must be at least 1"),
        (
            lambda: gradient_x_input(lambda x: x, window=2)(jnp.ones((2, 3))),
            ValueError,
            r"needs an output with places, \[B, \*places, K\], got \(2, 3\)",
        ),
        (lambda: grad_cam(lambda x: x)(jnp.ones((2, 3))), ValueError, r"output \(2, 3\)"),
        (
            lambda: grad_cam(lambda x: x[:, ::2])(jnp.ones((2, 4, 3))),
            ValueError,
            "with the same places",
        ),
        (lambda: grad_cam(lambda x: 1.5 * x)(jnp.ones((2, 4, 3), int)), TypeError, "got int"),
        (
            lambda: dominance(network, (1, 2))(arranged(SOURCES), OTHERS, *args()),
            ValueError,
            r"shaped like the output \(4, 5, 7, 3\)",
        ),
        (
            lambda: dominance(lambda x: x)(SOURCES[0], OTHERS, SOURCES[0]),
            ValueError,
            "two sources or more",
        ),
        (
            lambda: replacement(lambda x: x)([0, 1, 2, 4], SOURCES[0]),
            ValueError,
            r"names one of them for each.*others \[0, 1, 2, 4\]",
        ),
        (
            lambda: replacement(lambda x: x)([0, 1], SOURCES[0]),
            ValueError,
            "the same number B of samples",
        ),
        (
            lambda: replacement(lambda x: x)([0.5] * 4, SOURCES[0]),
            TypeError,
            "others must be integers",
        ),
        (
            lambda: replacement(lambda x: (x, x))(OTHERS, SOURCES[0]),
            ValueError,
            "arranged like the sources",
        ),
        (
            lambda: replacement(lambda x: x.sum(0))(OTHERS, SOURCES[0]),
            ValueError,
            "a leading axis of 4 samples",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
