"""Sources inside one array, in any number and any chunk, and sharing out the bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rfp_jax
from rfp_jax import sources

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(0)
KERNEL, HEAD = RNG.normal(size=(6, 7)), RNG.normal(size=(7, 3))
IMAGE = RNG.normal(size=(2, 4, 4, 6))


def net(x):
    """[2, 4, 4, 6] -> [2, 3], with ReLU and biases."""
    return jax.nn.relu(x @ KERNEL + 0.2).mean((1, 2)) @ HEAD + 0.1


def _of(mask):
    """Relevance of what a mask shows, by hand: the network is linear between its gates."""
    on = IMAGE @ KERNEL + 0.2 >= 0
    return (((IMAGE * mask) @ KERNEL) * on).mean((1, 2)) @ HEAD


def test_axis():
    rel = jax.jit(rfp_jax.relevance(net, split=sources.axis(-1)))(IMAGE)
    expected = [_of(np.arange(6) == band) for band in range(6)]
    np.testing.assert_allclose(rel.sources, expected, atol=1e-12)
    np.testing.assert_allclose(rel.output, rel.bias + rel.sources.sum(0), atol=1e-12)


def test_groups_keep_their_names():
    split = sources.groups({"S2": slice(0, 4), "S1": [4, 5]})
    rel = rfp_jax.relevance(net, split=split)(IMAGE)
    assert list(rel.sources) == ["S2", "S1"]
    np.testing.assert_allclose(rel.sources["S2"], _of(np.arange(6) < 4), atol=1e-12)
    np.testing.assert_allclose(rel.sources["S1"], _of(np.arange(6) >= 4), atol=1e-12)


def test_segments_of_each_sample_and_outside_of_any():
    ids = RNG.integers(-1, 3, size=(2, 4, 4, 1))
    rel = rfp_jax.relevance(net, split=sources.segments(ids, 3))(IMAGE)
    np.testing.assert_allclose(rel.sources, [_of(ids == i) for i in range(3)], atol=1e-12)
    outside = rfp_jax.relevance(net)(IMAGE).bias + _of(ids == -1)
    np.testing.assert_allclose(rel.bias, outside, atol=1e-12)


def test_soft_masks():
    masks = RNG.random((3, 4, 4, 1))
    rel = rfp_jax.relevance(net, split=sources.masks(masks))(IMAGE)
    np.testing.assert_allclose(rel.sources, [_of(mask) for mask in masks], atol=1e-12)


@pytest.mark.slow
@given(memory=st.integers(1, 10**6))
def test_the_same_numbers_whatever_the_chunk(memory):
    split = sources.segments(np.arange(16).reshape(4, 4, 1))
    rel = rfp_jax.relevance(net, split=split, max_bytes=memory)(IMAGE)
    expected = [_of((np.arange(16) == i).reshape(4, 4, 1)) for i in range(16)]
    np.testing.assert_allclose(rel.sources, expected, atol=1e-12)


def _loop_lengths(memory):
    split = sources.segments(np.arange(16).reshape(4, 4, 1))
    jaxpr = jax.make_jaxpr(rfp_jax.relevance(net, split=split, max_bytes=memory))(IMAGE)
    return [eqn.params["length"] for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "scan"]


def test_memory_decides_how_many_at_a_time():
    assert _loop_lengths(1) == [16]
    assert _loop_lengths(2**40) in ([], [1])
    assert 1 < _loop_lengths(40_000)[0] < 16


def test_one_argument_split_the_other_whole():
    rel = rfp_jax.relevance(lambda x, y: net(x + y), (0, 1), split=(sources.axis(1), None))(
        IMAGE, IMAGE
    )
    assert [r.shape for r in rel.sources] == [(4, 2, 3), (2, 3)]
    np.testing.assert_allclose(rel.sources[0].sum(0), rel.sources[1], atol=1e-12)


@pytest.mark.slow
def test_a_split_under_grad_and_vmap():
    split = sources.axis(-1)

    def loss(head):
        def fun(x):
            return (jax.nn.relu(x @ KERNEL) @ head).sum()

        return (rfp_jax.relevance(fun, split=split)(IMAGE[0, 0, 0]).sources ** 2).sum()

    gradient = jax.grad(loss)(HEAD)
    step = 1e-6 * np.eye(21)[4].reshape(7, 3)
    np.testing.assert_allclose(gradient[1, 1], (loss(HEAD + step) - loss(HEAD - step)) / 2e-6)
    each = jax.vmap(lambda x: rfp_jax.relevance(net, split=split)(x[None]).sources[:, 0])(IMAGE)
    together = rfp_jax.relevance(net, split=split)(IMAGE).sources
    np.testing.assert_allclose(jnp.moveaxis(each, 0, 1), together, atol=1e-12)


@pytest.mark.parametrize(
    ("split", "error", "message"),
    [
        (lambda: sources.groups({}), ValueError, "at least one name"),
        (lambda: sources.groups({"a": slice(0, 2), "b": 1}), ValueError, r"overlap at index \[1\]"),
        (lambda: sources.groups({"a": 9}), ValueError, "points past the axis of length 6"),
        (lambda: sources.groups({"a": slice(8, 9)}), ValueError, "is empty"),
        (lambda: sources.segments(np.zeros(6)), TypeError, "must be integers"),
        (lambda: sources.masks(np.zeros((0, 6))), ValueError, "at least one mask"),
        (
            lambda: sources.masks(np.full((2, 6), 255, np.uint8)),
            TypeError,
            r"uint8 up to 255: pass masks > 0",
        ),
        (lambda: (sources.axis(), sources.axis()), TypeError, "structured like argnums"),
        (lambda: "bands", TypeError, "got 'bands'"),
        (lambda: sources.axis(4), ValueError, r"axis 4: the source of shape \[2, 4, 4, 6\] has no"),
        (lambda: sources.groups({"a": 0}, axis=-5), ValueError, "axis -5: the source of shape"),
        (lambda: sources.segments(np.zeros(5, int)), ValueError, r"\[5\] cannot be broadcast to"),
        (lambda: sources.masks(np.ones((2, 7))), ValueError, r"each mask of shape \[7\] cannot be"),
    ],
)
def test_bad_splits(split, error, message):
    with pytest.raises(error, match=message):
        rfp_jax.relevance(net, split=split())(IMAGE)


def _shared_by_hand(x, y):
    """The reference's option: at each layer the bias goes to the slots by their magnitude."""

    def share(slots, b):
        sizes = np.abs(slots)
        return slots + b * sizes / sizes.sum(0)

    slots = share(np.stack([x @ KERNEL, y @ KERNEL]), 0.2)
    slots = slots * (slots.sum(0) >= 0)
    return share(slots.mean((2, 3)) @ HEAD, 0.1)


def test_shared_bias():
    x, y = IMAGE, RNG.normal(size=IMAGE.shape)
    rel = rfp_jax.relevance(lambda x, y: net(x + y), (0, 1), bias="share")(x, y)
    np.testing.assert_allclose(rel.sources, _shared_by_hand(x, y), atol=1e-12)
    np.testing.assert_allclose(rel.bias, 0, atol=1e-12)


def test_shared_bias_inside_one_array_equals_several_arrays():
    split = sources.groups({"a": slice(0, 3), "b": slice(3, 6)})
    inside = rfp_jax.relevance(net, split=split, bias="share")(IMAGE).sources
    parts = (IMAGE[..., :3], IMAGE[..., 3:])
    apart = rfp_jax.relevance(lambda x, y: net(jnp.concatenate([x, y], -1)), (0, 1), bias="share")
    np.testing.assert_allclose([inside["a"], inside["b"]], apart(*parts).sources, atol=1e-12)


def test_a_bias_that_nobody_can_be_given_stays():
    rel = rfp_jax.relevance(lambda x: x + 3.0, bias="share")(np.zeros(2))
    np.testing.assert_allclose(rel.sources, [0.0, 0.0])
    np.testing.assert_allclose(rel.bias, [3.0, 3.0])


def test_unknown_bias():
    with pytest.raises(ValueError, match="pass 'keep', 'share' or 'propagate'"):
        rfp_jax.relevance(net, bias="drop")
