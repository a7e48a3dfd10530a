"""Regions of images and boxes that stay, against onnxruntime and the reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from tests.convert.onnx_draws import few, normal
from tests.convert.onnx_models import assert_node_agrees, by_onnxruntime, feeds_of, here, one_node


def boxes(count, size, seed=0):
    """Boxes (first, second, first, second corner) of all sizes within an image."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, size, (count, 2, 2)), axis=1)
    return corners.reshape(count, 4).astype(np.float32)


@few
@given(
    st.sampled_from([0, 1, 3]),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from([11, 16]),
    st.booleans(),
    st.sampled_from(["half_pixel", "output_half_pixel"]),
)
def test_regions(ratio, scale, opset, is_known, transformation):
    x, rois, image = normal(2, 3, 9, 7), boxes(4, 7 / scale), np.array([0, 1, 1, 0])
    more = {"output_height": 3, "output_width": 2, "sampling_ratio": ratio, "spatial_scale": scale}
    if opset > 15:
        more["coordinate_transformation_mode"] = transformation
    if is_known:
        assert_node_agrees("RoiAlign", [x], [rois, image], opset=opset, **more)
    else:
        assert_node_agrees("RoiAlign", [x, rois, image], opset=opset, **more)


@pytest.mark.parametrize("ratio", [0, 2])
def test_greatest_parts_of_regions(ratio):
    x, rois, image = normal(2, 3, 9, 7), boxes(4, 7), np.array([0, 1, 1, 0])
    more = {"output_height": 3, "output_width": 2, "sampling_ratio": ratio, "mode": "max"}
    model = one_node("RoiAlign", [x, rois, image], opset=16, **more)
    (expected,) = ReferenceEvaluator(model).run(None, feeds_of(x, rois, image))
    got = here(model, feeds_of(x, rois, image))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_region_of_more_samples_than_there_can_be_is_no_number():
    x, rois, image = normal(1, 1, 4, 4), np.array([[0, 0, 9, 9]], np.float32), np.array([0])
    more = {"output_height": 2, "output_width": 2}
    got = here(one_node("RoiAlign", [x, rois, image], opset=16, **more), feeds_of(x, rois, image))
    assert np.isnan(got[0]).all()
    assert_node_agrees("RoiAlign", [x], [rois, image], opset=16, **more)


@few
@given(
    st.integers(0, 9),
    st.sampled_from([None, 0.0, 0.4, 0.9]),
    st.sampled_from([None, 0.3]),
    st.booleans(),
)
def test_boxes_that_stay(most, overlap, least, is_centered):
    """The rows of onnxruntime, then rows of -1."""
    given = np.stack([boxes(6, 1), boxes(6, 1, seed=1)])
    if is_centered:
        given[..., 2:] -= given[..., :2]
    scores = np.random.default_rng(2).uniform(size=(2, 3, 6)).astype(np.float32)
    options = [None if v is None else np.array([v], np.float32) for v in (overlap, least)]
    constants = [np.array([most]), *options]
    model = one_node("NonMaxSuppression", [given, scores], constants, center_point_box=is_centered)
    feeds = feeds_of(given, scores)
    expected, got = by_onnxruntime(model, feeds)[0], np.asarray(here(model, feeds)[0])
    assert got.shape == (2 * 3 * min(most, 6), 3)
    np.testing.assert_array_equal(got[: len(expected)], expected)
    assert (got[len(expected) :] == -1).all()
