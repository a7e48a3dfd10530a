"""Operations whose shapes have rules of their own, at sizes that hypothesis chooses."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from rfp_jax.convert._aten import find

torch = pytest.importorskip("torch")

EXAMPLES = settings(max_examples=6)
SMALL = st.integers(1, 3)
DTYPES = st.sampled_from(["float64", "float32", "int64", "int32", "bool"])


@pytest.fixture(autouse=True)
def _double(x64):
    pass


def drawn(shape, dtype="float64"):
    rng = np.random.default_rng(sum(shape) + 1)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    values = 3 * rng.standard_normal(shape)
    return (np.trunc(values) if "int" in dtype else values).astype(dtype)


def assert_same(name, *args, tolerance=1e-12, **kwargs):
    """Compare an operation with PyTorch's on these arguments; it must accept them."""
    try:
        tensors = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in args]
        theirs = getattr(torch.ops.aten, name)(*tensors, **kwargs)
    except (RuntimeError, IndexError):
        assume(False)
        raise
    arrays = [jnp.asarray(x) if isinstance(x, np.ndarray) else x for x in args]
    ours = find(f"aten.{name}")(*arrays, **kwargs)
    several = isinstance(theirs, (list, tuple))
    for mine, other in zip(*((ours, theirs) if several else ([ours], [theirs])), strict=True):
        assert mine.shape == other.shape
        cast = np.asarray(mine).astype(other.numpy().dtype)
        np.testing.assert_allclose(cast, other.numpy(), rtol=tolerance, atol=tolerance)


@EXAMPLES
@given(
    mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3),
    st.sampled_from("add sub mul div maximum minimum eq lt ge where".split()),
    DTYPES,
    DTYPES,
)
def test_operands_of_any_shapes_and_dtypes(shapes, name, left, right):
    a, b = (drawn(s, t) for s, t in zip(shapes.input_shapes, (left, right), strict=True))
    a, b = np.asarray(a), np.asarray(b)
    if name == "where":
        assert_same(name, np.asarray(drawn(shapes.result_shape, "bool")), a, b, tolerance=1e-6)
    else:
        assume(name != "div" or np.all(b != 0))
        assert_same(name, a, b, tolerance=1e-6 if "float64" not in (left, right) else 1e-12)


@EXAMPLES
@given(st.integers(1, 2), SMALL, SMALL, st.integers(0, 2), SMALL, st.integers(5, 9), st.data())
def test_convolutions_of_any_size(groups, kernel, stride, pad, dilation, size, data):
    shape, extra = (2, 2 * groups, size, size + 1), data.draw(st.integers(0, 1))
    weight, bias = drawn((2 * groups, 2, kernel, kernel)), drawn((2 * groups,))
    steps = [stride, 1], [pad, 0], [dilation, 1]
    assert_same("conv2d", drawn(shape), weight, bias, *steps, groups)
    steps = [stride, 1], [pad, 0], [extra, 0], groups, [dilation, 1]
    assert_same("conv_transpose2d", drawn(shape), weight, drawn((2 * groups,)), *steps)


@EXAMPLES
@given(SMALL, SMALL, st.integers(0, 1), SMALL, st.booleans(), st.integers(5, 9), st.booleans())
def test_pooling_of_any_size(kernel, stride, pad, dilation, ceil, size, counts_pad):
    x = drawn((2, 3, size, size + 1))
    window = [kernel, 2], [stride, 2], [pad, 1]
    assert_same("max_pool2d_with_indices", x, *window, [dilation, 1], ceil)
    assert_same("avg_pool2d", x, *window, ceil, counts_pad)


@EXAMPLES
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))
def test_adaptive_pooling_of_any_size(size, height, width):
    x = drawn((2, 3, size, 7))
    assert_same("adaptive_avg_pool2d", x, [height, width])
    assert_same("adaptive_max_pool2d", x, [min(height, size), width])


@EXAMPLES
@given(
    st.integers(1, 6), st.integers(1, 9), st.booleans(), st.sampled_from(["bilinear", "bicubic"])
)
def test_resizing_to_any_size(size, wanted, corners, name):
    x = drawn((1, 2, size, 4))
    assert_same(f"upsample_{name}2d", x, [wanted, 5], corners)
    assert_same(f"_upsample_{name}2d_aa", x, [wanted, 5], corners)
    assert_same("upsample_nearest2d", x, [wanted, 5])
    assert_same("_upsample_nearest_exact2d", x, [wanted, 5])


@EXAMPLES
@given(st.integers(-7, 7), st.integers(-7, 7), SMALL, st.integers(-2, 1))
def test_slices_of_any_bounds(start, end, step, dim):
    x = drawn((5, 6))
    assert_same("slice", x, dim, start, end, step)
    part = torch.ops.aten.slice(torch.from_numpy(x), dim, start, end, step)
    assert_same("slice_scatter", x, 2 * part.numpy(), dim, start, end, step)
    assert_same("narrow", x, dim, start, step)
    assert_same("roll", x, [start], [dim])


@EXAMPLES
@given(st.integers(1, 8), st.integers(1, 5), st.integers(-2, 1))
def test_parts_of_any_size(size, count, dim):
    x = drawn((size, size + 1))
    assert_same("split", x, count, dim)
    assert_same("chunk", x, count, dim)
    assert_same("tensor_split", x, count, dim)
    assert_same("unfold", x, dim, count, 2)
