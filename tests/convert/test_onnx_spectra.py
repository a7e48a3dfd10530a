"""Fourier transforms, against onnxruntime and the reference."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from tests.convert.onnx_draws import few, normal
from tests.convert.onnx_models import by_onnxruntime, here, one_node


@few
@given(
    st.integers(1, 2),
    st.sampled_from([None, 5, 9]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, -2, 2]),
)
def test_fourier_transform(parts, length, inverse, onesided, axis):
    assume(not onesided or (parts == 1) != inverse)
    x = normal(2, 6, 7, parts)
    more = [None] if length is None else [np.array(length)]
    attributes = {"inverse": int(inverse), "onesided": int(onesided)}
    model = one_node("DFT", [x], [*more, np.array(axis)], opset=20, **attributes)
    (expected,) = ReferenceEvaluator(model).run(None, {"x0": x})
    np.testing.assert_allclose(here(model, {"x0": x})[0], expected, rtol=1e-4, atol=1e-4)
    model = one_node("DFT", [x], more, opset=17, axis=axis, **attributes)
    (expected,) = ReferenceEvaluator(model).run(None, {"x0": x})
    np.testing.assert_allclose(here(model, {"x0": x})[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("has_window", [True, False])
def test_short_time_transform(parts, has_window):
    x = normal(2, 20, parts)
    window = np.hanning(8).astype(np.float32) if has_window else None
    length = None if has_window else np.array(8)
    more = {"opset": 17, "onesided": int(parts == 1)}
    constants = [np.array(3), window] + ([] if has_window else [length])
    model = one_node("STFT", [x], constants, **more)
    expected = by_onnxruntime(model, {"x0": x})[0]
    np.testing.assert_allclose(here(model, {"x0": x})[0], expected, rtol=1e-4, atol=1e-4)
