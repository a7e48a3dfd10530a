"""Layers of integers with scales, against onnxruntime and the reference."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from tests.convert.onnx_draws import few, windows
from tests.convert.onnx_models import assert_node_agrees, feeds_of, here, one_node


def small(high, *shape, seed=0, dtype=np.uint8):
    info = np.iinfo(dtype)
    low = max(info.min, -high)
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


@few
@given(windows(), st.sampled_from([np.uint8, np.int8]), st.booleans(), st.booleans())
def test_quantized_convolution(window, dtype, per_channel, has_bias):
    attributes, spatial = window
    kernel = attributes["kernel_shape"]
    assume(len(kernel) == 2)  # onnxruntime has no other
    x, w = small(99, 2, 3, *spatial, dtype=dtype), small(99, 4, 3, *kernel, seed=1, dtype=dtype)
    scale = np.linspace(0.01, 0.03, 4 if per_channel else 1).astype(np.float32)
    points = [np.asarray(value, dtype) for value in (5, 7, 11)]
    scales = [np.array(v, np.float32) for v in (0.02, scale if per_channel else scale[0], 0.5)]
    zeros = np.full(4, points[1]) if per_channel else points[1]
    more = [small(999, 4, dtype=np.int32)] if has_bias else []
    assert_node_agrees(
        "QLinearConv",
        [x, scales[0], points[0], w, scales[1], zeros, scales[2], points[2], *more],
        **attributes,
    )


@few
@given(windows(), st.integers(1, 2))
def test_convolution_of_integers(window, groups):
    attributes, spatial = window
    kernel = attributes["kernel_shape"]
    x, w = small(255, 2, 2 * groups, *spatial), small(255, 2 * groups, 2, *kernel, seed=1)
    points = [np.array(value, np.uint8) for value in (3, 200)]
    model = one_node("ConvInteger", [x, w, *points], group=groups, **attributes)
    (expected,) = ReferenceEvaluator(model).run(None, feeds_of(x, w, *points))
    np.testing.assert_array_equal(here(model, feeds_of(x, w, *points))[0], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("shape", [(2, 3), (4, 2, 3)])
def test_quantized_product(shape, dtype):
    a, b = small(99, *shape, dtype=dtype), small(99, *shape[:-2], 3, 4, seed=1, dtype=dtype)
    scales = [np.array(value, np.float32) for value in (0.02, 0.03, 0.4)]
    points = [np.asarray(value, dtype) for value in (5, 7, 11)]
    assert_node_agrees(
        "QLinearMatMul", [a, scales[0], points[0], b, scales[1], points[1], scales[2], points[2]]
    )
