"""Scatters and sparse products, against loops over places and updates."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax
from jax.experimental import sparse
from numpy.typing import ArrayLike

from rfp_jax import audit, heatmap, relevance

RNG = np.random.default_rng(0)
NODES, EDGES = 5, 9
# 3 has none; int32, since JAX 0.10 remembers what an int64 array became in the other precision
SEGMENTS = np.array([0, 2, 2, 0, 4, 2, 1, 4, 4], np.int32)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def winner_loop(
    base: np.ndarray, indices: np.ndarray, updates: np.ndarray, beats: Callable
) -> tuple[np.ndarray, np.ndarray]:
    """For rows that meet at `indices`: the winner's relevance, to the base and to each update."""
    to_base, to_updates = np.zeros_like(base), np.zeros_like(updates)
    for place in np.ndindex(base.shape):
        best, who = base[place], None
        for edge, index in enumerate(indices):
            if index == place[0] and beats(updates[(edge, *place[1:])], best):
                best, who = updates[(edge, *place[1:])], edge
        if who is None:
            to_base[place] = best
        else:
            to_updates[(who, *place[1:])] = best
    return to_base, to_updates


def product_loop(
    base: np.ndarray, indices: np.ndarray, updates: np.ndarray, base_carries: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Equal shares of each product, to the base and to each update."""
    to_base, to_updates = np.zeros_like(base), np.zeros_like(updates)
    for place in np.ndindex(base.shape):
        edges = [e for e, index in enumerate(indices) if index == place[0]]
        y = base[place] * np.prod([updates[(e, *place[1:])] for e in edges])
        count = len(edges) + base_carries
        to_base[place] = y / count if base_carries else 0
        for e in edges:
            to_updates[(e, *place[1:])] = y / count
    return to_base, to_updates


def of_updates(shares: np.ndarray, indices: np.ndarray, size: int) -> np.ndarray:
    """Return what arrived at each place, of what was given to updates."""
    total = np.zeros((size, *shares.shape[1:]))
    for share, index in zip(shares, indices, strict=True):
        if 0 <= index < size:
            total[index] += share
    return total


def both_directions_agree(fun: Callable, *args: ArrayLike) -> None:
    """Weighted outputs: relevance of each source is the sum of its heatmap."""
    argnums = tuple(range(len(args)))
    args = tuple(map(jnp.asarray, args))
    rel = jax.jit(relevance(fun, argnums))(*args)
    pulled = jax.jit(lambda weights, *args: heatmap(fun, argnums, outputs=weights)(*args))
    for _ in range(3):
        weights = numbers(*rel.output.shape)
        heats = pulled(weights, *args)
        for source, heat in zip(rel.sources, heats, strict=True):
            np.testing.assert_allclose((weights * source).sum(), heat.sum(), atol=1e-12)


def conserves(fun: Callable, *args: ArrayLike) -> None:
    """Output is bias and sources; and the certificate, which tests each rule, is passed."""
    args = tuple(map(jnp.asarray, args))
    rel = jax.jit(relevance(fun, tuple(range(len(args)))))(*args)
    np.testing.assert_allclose(rel.output, fun(*args), atol=1e-12)
    np.testing.assert_allclose(rel.output, rel.bias + sum(rel.sources), atol=1e-12)
    assert audit(fun, tuple(range(len(args))))(*args).passed


WINNERS = {"max": np.greater, "min": np.less}
BASE, ROWS = numbers(NODES, 3), numbers(EDGES, 3)
WHOLE_BASE, WHOLE_ROWS = (
    RNG.integers(-1, 2, (NODES, 3)) * 1.0,
    RNG.integers(-1, 2, (EDGES, 3)) * 1.0,
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WINNERS)
@pytest.mark.parametrize(
    ("base", "rows"), [(BASE, ROWS), (WHOLE_BASE, WHOLE_ROWS)], ids=["", "ties"]
)
def test_the_winner_takes_all(x64, kind, base, rows):
    def fun(base: jax.Array, rows: jax.Array) -> jax.Array:
        return getattr(base.at[SEGMENTS], kind)(rows)

    to_base, to_rows = winner_loop(base, SEGMENTS, rows, WINNERS[kind])
    rel = jax.jit(relevance(fun, (0, 1)))(base, rows)
    np.testing.assert_array_equal(rel.sources[0], to_base)
    np.testing.assert_array_equal(rel.sources[1], of_updates(to_rows, SEGMENTS, NODES))
    np.testing.assert_array_equal(rel.bias, 0)
    heats = heatmap(fun, (0, 1), outputs=np.ones_like(base))(base, rows)
    np.testing.assert_array_equal(heats[0], to_base)
    np.testing.assert_array_equal(heats[1], to_rows)  # of equals, to the first
    both_directions_agree(fun, base, rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WINNERS)
def test_a_constant_that_wins_is_bias(x64, kind):
    to_base, to_rows = winner_loop(BASE, SEGMENTS, ROWS, WINNERS[kind])
    arrived = of_updates(to_rows, SEGMENTS, NODES)
    rel = relevance(getattr(jnp.asarray(BASE).at[SEGMENTS], kind))(ROWS)
    np.testing.assert_array_equal(rel.sources, arrived)
    np.testing.assert_array_equal(rel.bias, to_base)
    rel = relevance(lambda base: getattr(base.at[SEGMENTS], kind)(ROWS))(BASE)
    np.testing.assert_array_equal(rel.sources, to_base)
    np.testing.assert_array_equal(rel.bias, arrived)
    conserves(lambda base: getattr(base.at[SEGMENTS], kind)(ROWS), BASE)
    conserves(getattr(jnp.asarray(BASE).at[SEGMENTS], kind), ROWS)


@pytest.mark.parametrize("kind", WINNERS)
def test_segments(x64, kind):
    """An empty segment has no winner: its infinity is not a number, and has no relevance."""
    segment = {"max": jax.ops.segment_max, "min": jax.ops.segment_min}[kind]
    base = np.full((NODES, 3), {"max": -np.inf, "min": np.inf}[kind])
    _, to_rows = winner_loop(base, SEGMENTS, ROWS, WINNERS[kind])
    rel = relevance(lambda rows: segment(rows, SEGMENTS, NODES))(ROWS)
    full = np.array([0, 1, 2, 4])
    np.testing.assert_array_equal(rel.sources[full], of_updates(to_rows, SEGMENTS, NODES)[full])
    np.testing.assert_array_equal(rel.bias[full], 0)
    assert np.isnan(rel.sources[3]).all()
    both_directions_agree(lambda rows: segment(rows, SEGMENTS, NODES)[full], ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["drop", "clip"])
@pytest.mark.parametrize("kind", ["max", "min", "multiply"])
def test_updates_out_of_range(x64, kind, mode):
    """Dropped, or clipped to the last place, as the plain program does."""
    indices = np.array([1, 7, 1, NODES, 4, 9, 0, 4, 4])
    place = np.minimum(indices, NODES - 1) if mode == "clip" else indices

    def fun(base: jax.Array, rows: jax.Array) -> jax.Array:
        return getattr(base.at[indices], kind)(rows, mode=mode)

    if kind == "multiply":
        to_base, to_rows = product_loop(BASE, place, ROWS, base_carries=True)
    else:
        to_base, to_rows = winner_loop(BASE, place, ROWS, WINNERS[kind])
    heats = heatmap(fun, (0, 1), outputs=np.ones_like(BASE))(BASE, ROWS)
    np.testing.assert_allclose(heats[0], to_base, atol=1e-12)
    np.testing.assert_allclose(heats[1], to_rows, atol=1e-12)
    both_directions_agree(fun, BASE, ROWS)
    conserves(fun, BASE, ROWS)


ZEROS = np.where(np.abs(ROWS) < 0.4, 0.0, ROWS)  # places with one zero, with several, with none


@pytest.mark.slow
@pytest.mark.parametrize("rows", [ROWS, ZEROS], ids=["", "zeros"])
def test_factors_share_their_product_alike(x64, rows):
    def fun(base: jax.Array, rows: jax.Array) -> jax.Array:
        return base.at[SEGMENTS].multiply(rows)

    to_base, to_rows = product_loop(BASE, SEGMENTS, rows, base_carries=True)
    rel = relevance(fun, (0, 1))(BASE, rows)
    np.testing.assert_allclose(rel.sources[0], to_base, atol=1e-12)
    np.testing.assert_allclose(rel.sources[1], of_updates(to_rows, SEGMENTS, NODES), atol=1e-12)
    heats = heatmap(fun, (0, 1), outputs=np.ones_like(BASE))(BASE, rows)
    np.testing.assert_allclose(heats[1], to_rows, atol=1e-12)
    both_directions_agree(fun, BASE, rows)
    conserves(fun, BASE, rows)


@pytest.mark.parametrize("rows", [ROWS, ZEROS], ids=["", "zeros"])
def test_segment_products(x64, rows):
    """The 1 that the product begins with carries nothing; alone it is bias."""
    fun = lambda rows: jax.ops.segment_prod(rows, SEGMENTS, NODES)  # noqa: E731
    _, to_rows = product_loop(np.ones((NODES, 3)), SEGMENTS, rows, base_carries=False)
    rel = relevance(fun)(rows)
    np.testing.assert_allclose(rel.sources, of_updates(to_rows, SEGMENTS, NODES), atol=1e-12)
    np.testing.assert_array_equal(rel.bias[3], 1)
    np.testing.assert_allclose(rel.bias[np.array([0, 1, 2, 4])], 0, atol=1e-12)
    both_directions_agree(fun, rows)


def test_a_segment_product_is_the_product_of_its_rows(x64):
    """The same numbers as `jnp.prod` of the segment, for contributions of two sources."""
    a, b = numbers(4, 3), numbers(4, 3)
    written = relevance(lambda a, b: jnp.prod(a + b, 0), (0, 1))(a, b)
    scattered = relevance(lambda a, b: jax.ops.segment_prod(a + b, np.zeros(4, int), 1)[0], (0, 1))
    for one, other in zip(written.sources, scattered(a, b).sources, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_constant_factors_scale(x64):
    rel = relevance(lambda base: base.at[SEGMENTS].multiply(ROWS))(BASE)
    np.testing.assert_allclose(rel.sources, rel.output, atol=1e-12)
    both_directions_agree(lambda base: base.at[SEGMENTS].multiply(ROWS), BASE)


@pytest.mark.slow
@pytest.mark.parametrize("signal_first", [True, False])
def test_gates_carry_nothing_where_they_meet_a_signal(x64, signal_first):
    """As in `x * sigmoid(g)`; where nothing meets a gate it stands for itself."""
    at = np.array([1, 4])

    def fun(base: jax.Array, rows: jax.Array) -> jax.Array:
        if signal_first:
            return base.at[at].multiply(jax.nn.sigmoid(rows))
        return jax.nn.sigmoid(base).at[at].multiply(rows)

    rows = ROWS[:2]
    rel = relevance(fun, (0, 1))(BASE, rows)
    signal, gate = rel.sources if signal_first else rel.sources[::-1]
    np.testing.assert_allclose(signal[at], rel.output[at], atol=1e-12)
    np.testing.assert_array_equal(gate[at], 0)
    alone = np.array([0, 2, 3])
    own = BASE if signal_first else relevance(jax.nn.sigmoid)(BASE).sources
    np.testing.assert_allclose(rel.sources[0][alone], own[alone], atol=1e-12)
    both_directions_agree(fun, BASE, rows)
    conserves(fun, BASE, rows)


def segment_softmax(scores: jax.Array, targets: np.ndarray) -> jax.Array:
    greatest = jax.ops.segment_max(scores, targets, NODES)
    weights = jnp.exp(scores - greatest[targets])
    return weights / jax.ops.segment_sum(weights, targets, NODES)[targets]


def graph_attention(x: jax.Array) -> jax.Array:
    """One layer of graph attention, [nodes, features] -> [nodes, features]."""
    sources, targets = np.array([0, 1, 2, 3, 4, 0, 2, 3, 1]), SEGMENTS
    h = x @ W
    weights = segment_softmax(jax.nn.leaky_relu(h[sources] @ U + h[targets] @ V), targets)
    return jax.ops.segment_sum(weights[:, None] * h[sources], targets, NODES)


W, U, V = numbers(3, 3), numbers(3), numbers(3)


@pytest.mark.slow
def test_graph_attention_is_a_weighted_mean_of_values(x64):
    """Weights of attention are constants: relevance passes by the values alone."""
    a, b = numbers(NODES, 3), numbers(NODES, 3)
    rel = relevance(lambda a, b: graph_attention(a + b), (0, 1))(a, b)
    sources, h = np.array([0, 1, 2, 3, 4, 0, 2, 3, 1]), (a + b) @ W
    scores = np.asarray(jax.nn.leaky_relu(h[sources] @ U + h[SEGMENTS] @ V))
    for part, source in zip((a, b), rel.sources, strict=True):
        expected = np.zeros((NODES, 3))
        for edge, target in enumerate(SEGMENTS):
            weight = np.exp(scores[edge]) / np.exp(scores[target == SEGMENTS]).sum()
            expected[target] += weight * (part @ W)[sources[edge]]
        np.testing.assert_allclose(source, expected, atol=1e-12)
    both_directions_agree(lambda a, b: graph_attention(a + b), a, b)
    conserves(lambda a, b: graph_attention(a + b), a, b)


@pytest.mark.parametrize("kind", ["max", "min", "multiply"])
def test_windows_and_batches(x64, kind):
    """Scatters as `jax.vmap` makes them, and of windows, are the same rows in another order."""
    base, rows = numbers(2, NODES, 3), numbers(2, EDGES, 3)

    def fun(base: jax.Array, rows: jax.Array) -> jax.Array:
        return getattr(base.at[SEGMENTS], kind)(rows)

    batched = jax.jit(relevance(jax.vmap(fun), (0, 1)))(base, rows)
    one = jax.jit(relevance(fun, (0, 1)))
    each = [one(*pair) for pair in zip(base, rows, strict=True)]
    columns = jax.jit(
        relevance(lambda base, rows: getattr(base.at[:, SEGMENTS], kind)(rows), (0, 1))
    )(base, rows)
    for k in (0, 1):
        stacked = np.stack([rel.sources[k] for rel in each])
        np.testing.assert_allclose(batched.sources[k], stacked, atol=1e-12)
        np.testing.assert_allclose(columns.sources[k], stacked, atol=1e-12)


def test_windows_that_move(x64):
    """A window of two rows at each index: overlapping ones meet at one row."""
    indices = np.array([[0], [1], [3]])
    updates = numbers(3, 2, 3)
    numbers_of = lax.ScatterDimensionNumbers((1, 2), (), (0,))

    def fun(base: jax.Array, updates: jax.Array) -> jax.Array:
        return lax.scatter_max(base, indices, updates, numbers_of)

    rows, at = updates.reshape(6, 3), (indices + np.arange(2)).reshape(-1)
    to_base, to_rows = winner_loop(BASE, at, rows, np.greater)
    heats = heatmap(fun, (0, 1), outputs=np.ones_like(BASE))(BASE, updates)
    np.testing.assert_array_equal(heats[0], to_base)
    np.testing.assert_array_equal(heats[1].reshape(6, 3), to_rows)


@functools.cache
def scattered(kind: str) -> Callable:
    """Relevance and heatmaps of rows scattered at indices that are given; compiled once."""

    def both(at: jax.Array, base: jax.Array, rows: jax.Array):
        fun = lambda base, rows: getattr(base.at[at], kind)(rows, mode="drop")  # noqa: E731
        rel = relevance(fun, (0, 1))(base, rows)
        return rel.sources, heatmap(fun, (0, 1), outputs=jnp.ones(5))(base, rows)

    return jax.jit(both)


@given(
    st.lists(st.integers(0, 6), min_size=6, max_size=6),
    st.sampled_from(["max", "min", "multiply"]),
    st.integers(0, 2**16),
)
def test_random_scatters(indices: Sequence[int], kind: str, seed: int):
    """Small whole numbers, so that zeros and ties are everywhere; indices past the end are lost."""
    rng = np.random.default_rng(seed)
    at = np.array(indices)
    base, rows = rng.integers(-1, 2, 5) * 1.0, rng.integers(-2, 3, len(at)) * 1.0
    if kind == "multiply":
        to_base, to_rows = product_loop(base, at, rows, base_carries=True)
    else:
        to_base, to_rows = winner_loop(base, at, rows, WINNERS[kind])
    with jax.enable_x64(True):
        sources, heats = scattered(kind)(at, base, rows)
    np.testing.assert_allclose(heats[0], to_base, atol=1e-12)
    np.testing.assert_allclose(heats[1], to_rows, atol=1e-12)
    np.testing.assert_allclose(sources[0], to_base, atol=1e-12)
    np.testing.assert_allclose(sources[1], of_updates(to_rows, at, 5), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["max", "min", "multiply"])
def test_bfloat16_with_contributions_in_float32(kind):
    base, rows = (jnp.asarray(a, jnp.bfloat16) for a in (BASE, ROWS))

    def fun(base: jax.Array, rows: jax.Array) -> jax.Array:
        return getattr(base.at[SEGMENTS], kind)(rows)

    rel = relevance(fun, (0, 1), dtype=jnp.float32)(base, rows)
    assert all(source.dtype == jnp.float32 for source in rel.sources)
    np.testing.assert_allclose(sum(rel.sources), rel.output, rtol=0.02, atol=1e-6)


MATRIX = np.where(RNG.random((4, NODES)) < 0.5, numbers(4, NODES), 0.0)
FORMATS = [sparse.BCOO, sparse.BCSR, sparse.COO, sparse.CSR]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.__name__)
def test_a_constant_sparse_matrix_is_its_dense_form(x64, kind):
    matrix = kind.fromdense(jnp.asarray(MATRIX))
    a, b = numbers(NODES, 3), numbers(NODES, 3)

    def net(matrix: jax.Array) -> Callable:
        return lambda a, b: jax.nn.relu(matrix @ (a @ W) - 0.5) + matrix @ b

    rel = jax.jit(relevance(net(matrix), (0, 1)))(a, b)
    dense = jax.jit(relevance(net(jnp.asarray(MATRIX)), (0, 1)))(a, b)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-12), rel, dense)
    both_directions_agree(net(matrix), a, b)
    conserves(net(matrix), a, b)


def test_sparse_vectors_batches_and_the_other_side(x64):
    matrix, x = sparse.BCOO.fromdense(jnp.asarray(MATRIX)), numbers(2, NODES)
    forms = {
        "vector": (lambda x: matrix @ x[0], MATRIX @ x[0]),
        "batch": (jax.vmap(lambda x: matrix @ x), x @ MATRIX.T),
        "right": (lambda x: x @ matrix.T, x @ MATRIX.T),
    }
    for fun, expected in forms.values():
        rel = relevance(fun)(x)
        np.testing.assert_allclose(rel.sources, expected, atol=1e-12)
        np.testing.assert_allclose(rel.bias, 0, atol=1e-12)
        both_directions_agree(fun, x)


def test_a_sparse_matrix_of_a_source(x64):
    """Numbers of the matrix and the dense array share as in a dense product."""
    places = np.argwhere(MATRIX)
    x = numbers(NODES, 3)

    def fun(data: jax.Array, x: jax.Array) -> jax.Array:
        return sparse.BCOO((data, jnp.asarray(places)), shape=MATRIX.shape) @ x

    rel = relevance(fun, (0, 1))(MATRIX[tuple(places.T)], x)
    for source in rel.sources:
        np.testing.assert_allclose(source, MATRIX @ x / 2, atol=1e-12)
    both_directions_agree(fun, MATRIX[tuple(places.T)], x)
