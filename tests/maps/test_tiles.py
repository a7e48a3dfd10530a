"""Tiles equal the whole, and what happens where they cannot."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from networks import conv, kernels, strided, strided_params

import rfp_jax
from rfp_jax import maps
from rfp_jax.maps import _tiles as tiles

PARAMS = strided_params(5)


def two(shape, seed=3):
    draw = np.random.default_rng(seed)
    return [draw.normal(size=(n, *shape)).astype(np.float32) for n in (3, 2)]


@functools.cache
def explained(fun, bias):
    return jax.jit(rfp_jax.relevance(fun, (1, 2), bias=bias))


def whole(fun, params, arrays, bias="keep"):
    """Relevance [class, source, y, x] and output [class, y, x] of the whole scene at once."""
    inputs = [jnp.moveaxis(jnp.asarray(a), 0, -1)[None] for a in arrays]
    rel = explained(fun, bias)(params, *inputs)
    parts = np.stack([*rel.sources, rel.bias])
    return np.moveaxis(parts[:, 0], -1, 0), np.moveaxis(np.asarray(rel.output)[0], -1, 0)


def test_two_pixels_by_hand(raster):
    def network(_, a, s):
        return jnp.concatenate([2 * a + 3 * s + 1, -a + 0.5], -1)

    sources = {"optical": raster(np.full((3, 4), 4.0)), "sar": raster(np.full((3, 4), 5.0))}
    scene = maps.relevance(network, None, sources, outputs="all", progress=False)
    assert scene.output[:, 1, 2].values.tolist() == [24, -3.5]
    parts = {name: scene.relevance.sel(source=name)[:, 1, 2].values.tolist() for name in sources}
    assert parts == {"optical": [8, -4], "sar": [15, 0]}
    assert scene.relevance.sel(source="bias")[:, 1, 2].values.tolist() == [1, 0.5]
    assert (scene.prediction == 0).all()
    share = maps.share(scene)[0, :, 1, 2]
    np.testing.assert_allclose(share.values, [8 / 23, 15 / 23], rtol=1e-7)
    assert list(share.source.values) == ["optical", "sar"]


@pytest.mark.parametrize(("shape", "bias"), [((224, 296), "keep"), ((229, 301), "propagate")])
def test_tiled_is_whole(raster, shape, bias):
    arrays = two(shape)
    sources = dict(zip(("optical", "sar"), map(raster, arrays), strict=True))
    scene = maps.relevance(
        strided, PARAMS, sources, outputs="all", tile=64, bias=bias, progress=False
    )
    relevance, output = whole(strided, PARAMS, arrays, bias=bias)
    scale = abs(relevance).max()
    assert scene.attrs["tile"] == "[64, 64]"
    assert abs(scene.relevance.values - relevance).max() <= 1e-5 * scale
    assert abs(scene.output.values - output).max() <= 1e-5 * abs(output).max()
    np.testing.assert_array_equal(scene.prediction.values, scene.output.values.argmax(0))
    np.testing.assert_allclose(scene.relevance.sum("source"), scene.output, atol=1e-5 * scale)
    assert scene.attrs["largest_residual"] < 1e-5


def test_the_explained_class_is_the_predicted_one(raster):
    arrays = two((80, 72))
    sources = dict(zip(("optical", "sar"), map(raster, arrays), strict=True))
    scene = maps.relevance(strided, PARAMS, sources, tile=32, progress=False)
    relevance, output = whole(strided, PARAMS, arrays)
    best = output.argmax(0)
    chosen = np.take_along_axis(relevance, best[None, None], 0)[0]
    assert scene.relevance.dims == ("source", "y", "x")
    assert abs(scene.relevance.values - chosen).max() <= 1e-5 * abs(relevance).max()
    np.testing.assert_array_equal(scene.prediction, best)
    names = list("abcdef")
    some = maps.relevance(
        strided, PARAMS, sources, tile=32, classes=names, outputs=["d", 1], progress=False
    )
    assert list(some["class"].values) == ["d", "b"]
    assert abs(some.relevance.values - relevance[[3, 1]]).max() <= 1e-5 * abs(relevance).max()
    np.testing.assert_array_equal(some.prediction, best)


def test_a_window_out_of_phase_is_refused_and_would_differ():
    shape = (229, 301)
    arrays = two(shape)
    network = jax.jit(strided)

    def outputs(arrays):
        found = network(PARAMS, *(np.moveaxis(a, 0, -1)[None] for a in arrays))
        return np.moveaxis(np.asarray(found)[0], -1, 0)

    output = outputs(arrays)
    field = maps.field(strided, PARAMS, [np.moveaxis(a, 0, -1)[None] for a in arrays])
    top, bottom, left, right = field.margins
    assert field.stride == (8, 8)

    def differs(y0, x0, size, crop):
        height, width = size
        part = [a[:, y0 : y0 + height, x0 : x0 + width] for a in arrays]
        own, (above, below, before, after) = outputs(part), crop
        inside = slice(above, height - below), slice(before, width - after)
        there = output[:, y0 : y0 + height, x0 : x0 + width]
        return abs(own[:, *inside] - there[:, *inside]).max() > 1e-5 * abs(output).max()

    size = 96 + 229 % 8, 96 + 301 % 8
    for y0, x0 in ((24, 40), (64, 8)):
        tiles.check_origin(y0, 8)
        assert not differs(y0, x0, size, field.margins)
        assert differs(y0, x0, size, (top - 1, bottom, left, right))
        assert differs(y0, x0, size, (top, bottom, left - 1, right))
        assert differs(y0 + 1, x0, size, field.margins)
    with pytest.raises(maps.SceneError, match=r"out of phase.*multiples of 8, such as 24"):
        tiles.check_origin(25, 8)
    # the far margins are the worst of all phases of the window's end
    assert any(differs(24, 40, (96 + k, size[1]), (top, bottom - 1, left, right)) for k in range(8))


def dense(_, a, b):
    """Depends on the whole window, by its mean."""
    x = jnp.concatenate([a, b], -1)
    x = x - x.mean((1, 2), keepdims=True)
    return x @ jnp.asarray(np.random.default_rng(5).normal(size=(5, 4)), jnp.float32) + 0.3


def test_global_networks_name_their_line_and_need_a_window(raster):
    arrays = two((64, 80))
    sources = dict(zip(("optical", "sar"), map(raster, arrays), strict=True))
    with pytest.raises(maps.GlobalNetworkError, match=r"reduce_sum.*test_tiles.py"):
        maps.relevance(dense, None, sources, progress=False)
    with pytest.raises(maps.SceneError, match="margin="):
        maps.relevance(dense, None, sources, window=32, progress=False)
    with pytest.raises(maps.SceneError, match="64 pixels along an axis, the window 65"):
        maps.relevance(dense, None, sources, window=65, margin=0, progress=False)


def test_trimmed_windows_of_a_global_network(raster):
    arrays = two((64, 80))
    sources = dict(zip(("optical", "sar"), map(raster, arrays), strict=True))
    scene = maps.relevance(dense, None, sources, window=32, margin=4, outputs="all", progress=False)
    part = [a[:, 24 - 4 : 24 + 28, 48 - 4 : 48 + 28] for a in arrays]
    relevance, _ = whole(dense, None, part)
    inside = scene.relevance.values[:, :, 24:48, 48:72]
    np.testing.assert_allclose(inside, relevance[:, :, 4:28, 4:28], atol=1e-5)


@pytest.mark.parametrize("outputs", ["argmax", "all"])
def test_blended_parts_add_up_to_the_blended_output(raster, outputs):
    arrays = two((72, 90))
    sources = dict(zip(("optical", "sar"), map(raster, arrays), strict=True))
    scene = maps.relevance(
        dense, None, sources, window=32, blend=0.5, tile=48, outputs=outputs, progress=False
    )
    # by the definition: windows every 16 pixels, the last one at the edge, weights of a tent
    total, weight = np.zeros((4, 3, 72, 90)), np.zeros((72, 90))
    tent = np.minimum(np.arange(32) + 0.5, 31.5 - np.arange(32))
    for y in (0, 16, 32, 40):
        for x in (0, 16, 32, 48, 58):
            relevance, _ = whole(dense, None, [a[:, y : y + 32, x : x + 32] for a in arrays])
            total[:, :, y : y + 32, x : x + 32] += relevance * np.outer(tent, tent)
            weight[y : y + 32, x : x + 32] += np.outer(tent, tent)
    blended = total / weight
    output = blended.sum(1)
    np.testing.assert_array_equal(scene.prediction, output.argmax(0))
    np.testing.assert_allclose(scene.relevance.sum("source"), scene.output, atol=1e-5)
    if outputs == "all":
        np.testing.assert_allclose(scene.relevance, blended, atol=1e-5)
    else:
        best = output.argmax(0)[None, None]
        np.testing.assert_allclose(
            scene.relevance, np.take_along_axis(blended, best, 0)[0], atol=1e-5
        )


def test_patches(raster):
    (kernel,) = kernels((16, 16, 2, 3))

    def classify(_, x):
        return conv(x, kernel, padding="VALID")[:, 0, 0] + 0.1

    array = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    scene = maps.relevance(
        classify, None, {"x": raster(array)}, window=16, stride=8, tile=4, outputs="all",
        progress=False,
    )  # fmt: skip
    assert dict(scene.sizes) == {"class": 3, "source": 2, "y": 7, "x": 7}
    assert scene.rio.resolution() == (80, -80)
    assert (scene.x[0].item(), scene.y[0].item()) == (600080, 5199920)
    left, _, _, top = scene.rio.bounds()
    assert (left, top) == (600040, 5199960)
    slid = conv(jnp.moveaxis(array, 0, -1)[None], kernel, 8, 1, "VALID")
    expected = np.moveaxis(np.asarray(slid[0]), -1, 0)
    np.testing.assert_allclose(scene.relevance[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(scene.output, expected + 0.1, atol=1e-5)


def test_two_resolutions_as_they_are(raster):
    (fine, coarse) = kernels((3, 3, 1, 4), (3, 3, 1, 4), seed=2)

    def network(_, ten, twenty):
        wide = jnp.repeat(jnp.repeat(conv(twenty, coarse), 2, 1), 2, 2)
        return jax.nn.relu(conv(ten, fine) + wide + 0.1)

    draw = np.random.default_rng(7)
    ten = draw.normal(size=(1, 100, 140)).astype(np.float32)
    twenty = draw.normal(size=(1, 50, 70)).astype(np.float32)
    sources = {"ten": raster(ten), "twenty": maps.Source(raster(twenty, 20.0), ratio=2)}
    scene = maps.relevance(network, None, sources, tile=32, outputs="all", progress=False)
    relevance, _ = whole(network, None, [ten, twenty])
    assert abs(scene.relevance.values - relevance).max() <= 1e-5 * abs(relevance).max()


def test_constants_have_no_place_and_no_relevance(raster):
    def network(_, a, date, latitude):
        return jnp.concatenate([a * date[0], a * 0 + latitude], -1)

    values = np.arange(48.0, dtype=np.float32).reshape(6, 8)
    constants = np.array([2.0, 3.0], np.float32), np.float32(48.5)
    scene = maps.relevance(
        network, None, {"a": raster(values)}, constants=constants, outputs="all", progress=False
    )
    np.testing.assert_array_equal(scene.relevance.sel(source="a"), [2 * values, 0 * values])
    np.testing.assert_array_equal(scene.relevance.sel(source="bias")[1], np.full((6, 8), 48.5))
    assert scene.attrs["constants"]


def test_channels_first(raster):
    def first(p, *sources):
        return jnp.moveaxis(strided(p, *(jnp.moveaxis(s, 1, -1) for s in sources)), -1, 1)

    arrays = two((100, 72))
    sources = {
        name: maps.Source(raster(a), dims="bcyx")
        for name, a in zip(("optical", "sar"), arrays, strict=True)
    }
    scene = maps.relevance(first, PARAMS, sources, tile=32, outputs="all", progress=False)
    relevance, _ = whole(strided, PARAMS, arrays)
    assert abs(scene.relevance.values - relevance).max() <= 1e-5 * abs(relevance).max()


def test_automatic_tiles_fit_the_memory(raster):
    (kernel,) = kernels((3, 3, 5, 8))

    def network(_, a, b):
        return jax.nn.relu(conv(jnp.concatenate([a, b], -1), kernel))

    sources = dict(zip(("optical", "sar"), map(raster, two((400, 420))), strict=True))
    sizes = []
    for mebibytes in (8, 32, 1024):
        scene = maps.relevance(network, None, sources, max_bytes=mebibytes << 20, progress=False)
        sizes.append(json.loads(scene.attrs["tile"]))
    assert sizes[0] < sizes[1] < sizes[2] == [400, 420]
    with pytest.raises(maps.SceneError, match="max_bytes"):
        maps.relevance(network, None, sources, max_bytes=1 << 10, progress=False)


def test_a_region_is_a_part_of_the_scene(raster):
    arrays = two((64, 64))
    sources = dict(zip(("optical", "sar"), map(raster, arrays), strict=True))
    region = (600105, 5199700, 600400, 5199960)  # left, bottom, right, top
    scene = maps.relevance(strided, PARAMS, sources, region=region, progress=False)
    whole_scene = raster(arrays[0])
    np.testing.assert_array_equal(scene.y, whole_scene.y[4:30])
    np.testing.assert_array_equal(scene.x, whole_scene.x[10:40])
    relevance, _ = whole(strided, PARAMS, [a[:, 4:30, 10:40] for a in arrays])
    best = scene.prediction.values[None, None].astype(int)
    np.testing.assert_allclose(
        scene.relevance, np.take_along_axis(relevance, best, 0)[0], atol=1e-5
    )


@given(
    size=st.integers(1, 400),
    strides=st.integers(1, 12),
    stride=st.sampled_from([1, 2, 3, 8, 12]),
    margins=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_windows_of_any_plan_are_in_phase_and_hold_their_margins(size, strides, stride, margins):
    before, after = margins
    axis = tiles.trimmed(size, strides * stride, before, after, stride)
    covered = []
    for piece in axis.pieces:
        (view,) = piece.views
        end = view.origin + axis.window
        assert view.origin % stride == 0
        assert (size - axis.window) % stride == 0
        assert 0 <= view.origin <= view.start < view.stop <= end <= size
        assert view.offset == view.start - view.origin
        assert view.origin == 0 or view.offset >= before
        assert end == size or end - view.stop >= after
        covered += range(piece.start, piece.stop)
    assert covered == list(range(size))


@given(
    size=st.integers(1, 300),
    window=st.integers(1, 300),
    overlap=st.floats(0, 0.95),
    tile=st.integers(1, 300),
)
def test_blended_windows_cover_every_pixel(size, window, overlap, tile):
    assume(window <= size)
    weight = np.zeros(size)
    for piece in tiles.blended(size, window, overlap, tile).pieces:
        for view in piece.views:
            assert 0 <= view.origin <= size - window
            assert view.offset == view.start - view.origin >= 0
            weight[view.start : view.stop] += view.weight()
    assert (weight > 0).all()
