"""Calls of PyTorch's operations: for each operation of the table the arguments of a few.

`x(2, 3)` is a random array; `ints(n, *shape)` are integers below n; `bools(*shape)`; `positive`
numbers lie in (0.1, 2), `unit` ones in (-0.9, 0.9). A `dict` at the end holds keyword arguments.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)


def x(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.1, 2, shape)


def unit(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.9, 0.9, shape)


def ints(high: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, high, shape)


def bools(*shape: int) -> np.ndarray:
    return RNG.random(shape) < 0.5


def z(*shape: int) -> np.ndarray:
    return x(*shape) + 1j * x(*shape)


Call = tuple[Any, ...]
Calls = dict[str, list[Call]]


def _each(names: str, calls: Callable[[], list[Call]]) -> Calls:
    return {name: calls() for name in names.split()}


def _one(make: Callable[..., np.ndarray]) -> Callable[[], list[Call]]:
    return lambda: [(make(3, 4),), (make(2, 1, 5),)]


def _two(make: Callable[..., np.ndarray]) -> Callable[[], list[Call]]:
    return lambda: [(make(3, 4), make(4)), (make(2, 1, 3), make(4, 1)), (make(3), 1.5)]


ELEMENTWISE: Calls = {
    **_each(
        """neg positive abs sign square exp exp2 expm1 sin cos tan atan sinh cosh tanh asinh erf erfc
        special_expit sinc special_ndtr special_log_ndtr floor ceil round trunc frac isnan isinf
        isfinite relu relu6 selu silu mish sigmoid log_sigmoid hardsigmoid hardswish softshrink
        hardshrink leaky_relu elu celu gelu softplus hardtanh nan_to_num""",
        _one(x),
    ),
    **_each("reciprocal sqrt rsqrt log log2 log10 log1p lgamma digamma", _one(positive)),
    **_each("asin acos atanh erfinv", _one(unit)),
    "acosh": [(positive(3, 4) + 1,)],
    "round.decimals": [(x(3, 4), {"decimals": 1})],
    "nan_to_num": [(np.array([np.nan, np.inf, -np.inf, 1.0]),), (np.array([np.nan, 1.0]), 2.0)],
    **_each("mul true_divide eq ne lt le gt ge", _two(x)),
    **_each("floor_divide remainder fmod", lambda: [(x(3, 4), positive(4)), (x(3, 1), 0.7)]),
    "add": [*_two(x)(), (x(3), x(3), {"alpha": 2}), (x(), x(3)), (ints(5, 3), ints(5, 2, 1))],
    "sub": [*_two(x)(), (x(3), x(3), {"alpha": 0.5})],
    "rsub": [(x(3, 4), 2.0), (x(3), x(3), {"alpha": 2})],
    "div": [
        *_two(x)(),
        (ints(9, 4) - 4, ints(5, 3, 1) + 1),
        *[(x(3, 4), positive(4), {"rounding_mode": mode}) for mode in ("floor", "trunc")],
        *[(ints(9, 20) - 4, ints(5, 3, 1) - 6, {"rounding_mode": m}) for m in ("floor", "trunc")],
    ],
    "pow": [(positive(3, 4), x(4)), (x(3, 4), 3), (positive(4), 0.5), (2.0, x(3)), (x(4), 2.0)],
    **_each("addcmul addcdiv", lambda: [(x(3, 4), x(4), positive(3, 1), {"value": 0.5})]),
    "lerp": [(x(3, 4), x(4), 0.3), (x(3, 4), x(3, 4), unit(4))],
    **_each("maximum minimum max.other min.other fmax fmin logaddexp hypot atan2 xlogy",
            lambda: [(positive(3, 4), positive(4)), (positive(2, 1, 3), positive(4, 1))]),
    **_each("clamp clip", lambda: [(x(3, 4), -0.5, 0.7), (x(3, 4), x(4), None), (x(3), None, 0.1)]),
    "clamp_min": [(x(3, 4), -0.5)],
    "clamp_max": [(x(3, 4), 0.5)],
    **_each("logical_and logical_or logical_xor", lambda: [(bools(3, 4), bools(4)), (x(3), bools(3))]),
    "logical_not": [(bools(3, 4),), (ints(2, 4),)],
    **_each("bitwise_and bitwise_or bitwise_xor __and__ __or__ __xor__",
            lambda: [(bools(3, 4), bools(4)), (ints(9, 3), ints(9, 2, 1))]),
    "bitwise_not": [(bools(3, 4),), (ints(9, 4),)],
    **_each("bitwise_left_shift bitwise_right_shift __lshift__ __rshift__",
            lambda: [(ints(99, 3, 4), ints(3, 4))]),
    "where": [(bools(3, 4), x(4), x(3, 1)), (bools(3), x(), x(2, 3))],
    "where.self": [(bools(3, 4), x(4), x(3, 1))],
    "masked_fill": [(x(2, 3, 4), bools(3, 1), -1e9), (x(3), bools(3), x())],
    "leaky_relu": [(x(3, 4),), (x(3, 4), 0.2)],
    "prelu": [(x(2, 3, 4), x(3)), (x(2, 3), x(1)), (x(3), x(1))],
    "_prelu_kernel": [(x(2, 3, 4), x(1, 3, 1))],
    "rrelu": [(x(3, 4), 0.1, 0.3, False)],
    "elu": [(x(3, 4), 1.3), (x(3, 4), 1.3, 0.7, 0.4)],
    "celu": [(x(3, 4), 1.3)],
    "gelu": [(x(3, 4),), (x(3, 4), {"approximate": "tanh"})],
    "glu": [(x(3, 4),), (x(4, 3), 0)],
    "softplus": [(10 * x(3, 4),), (x(3, 4), 2.0, 1.0)],
    "hardtanh": [(x(3, 4),), (x(3, 4), -0.2, 0.4)],
    **_each("softshrink hardshrink", lambda: [(x(3, 4), 0.3)]),
    "threshold": [(x(3, 4), 0.1, -3.0)],
    **_each("real imag conj _conj _conj_physical resolve_conj angle view_as_real", lambda: [(z(3, 4),)]),
    "polar": [(positive(3), x(3))],
    "complex": [(x(3), x(3))],
    "view_as_complex": [(x(3, 4, 2),)],
}  # fmt: skip

SHAPES: Calls = {
    **_each("view reshape _unsafe_view", lambda: [(x(2, 3, 4), [6, 4]), (x(2, 6), [2, -1, 3])]),
    **_each("view_as reshape_as", lambda: [(x(2, 6), x(3, 4))]),
    "_reshape_alias": [(x(2, 6), [3, 4], [4, 1])],
    "flatten": [(x(2, 3, 4),), (x(2, 3, 4), 1), (x(2, 3, 4), 0, -2), (x(),)],
    "unflatten": [(x(2, 12), 1, [3, -1]), (x(6, 2), -2, [2, 3])],
    "ravel": [(x(2, 3),)],
    "squeeze": [(x(1, 3, 1),), (x(1, 3, 1), -1), (x(1, 3, 1), 1), (x(1, 3, 1), [0, 1])],
    "unsqueeze": [(x(2, 3), 0), (x(2, 3), -1)],
    "atleast_1d": [(x(),)],
    **_each("expand broadcast_to", lambda: [(x(3, 1), [2, 3, 4]), (x(3), [2, 3])]),
    "expand": [(x(3, 1), [2, -1, 4])],
    "expand_as": [(x(3, 1), x(2, 3, 4))],
    "broadcast_tensors": [([x(3, 1), x(4)],)],
    "permute": [(x(2, 3, 4), [2, 0, 1]), (x(2, 3), [-1, 0])],
    **_each("transpose swapaxes swapdims", lambda: [(x(2, 3, 4), 0, -1)]),
    **_each("t numpy_T", lambda: [(x(2, 3),)]),
    **_each("mT", lambda: [(x(4, 2, 3),)]),
    **_each("adjoint matrix_H", lambda: [(x(2, 3),)]),
    **_each("movedim moveaxis", lambda: [(x(2, 3, 4), [0, 1], [1, 2])]),
    "slice": [(x(5, 4), 0, 1, 4, 2), (x(5, 4), 1, -3, 9223372036854775807), (x(3), 0, 2, 1)],
    "narrow": [(x(5, 4), 0, 1, 3), (x(5, 4), 1, -2, 2)],
    "select": [(x(5, 4), 0, 2), (x(5, 4), -1, -2)],
    "slice_scatter": [(x(5, 4), x(2, 4), 0, 1, 3), (x(5, 4), x(5, 2), 1, 0, 4, 2)],
    "select_scatter": [(x(5, 4), x(4), 0, 2), (x(5, 4), x(5), -1, -1)],
    "diagonal_scatter": [(x(3, 4), x(3)), (x(3, 4), x(2), -1), (x(2, 3, 4), x(2, 3), 1, 1, 2)],
    "diagonal": [(x(3, 4),), (x(2, 3, 4), 1, 1, 2)],
    "diag": [(x(3),), (x(3, 4), 1)],
    "diag_embed": [(x(2, 3),), (x(3), 1)],
    "trace": [(x(3, 3),)],
    **_each("tril triu", lambda: [(x(4, 3),), (x(2, 3, 3), -1)]),
    "split": [(x(5, 4), 2), (x(5, 4), 3, 1)],
    "split_with_sizes": [(x(5, 4), [1, 4]), (x(5, 4), [1, 2, 1], -1)],
    **_each("chunk unsafe_chunk", lambda: [(x(5, 4), 2), (x(5, 4), 3, 1)]),
    "tensor_split": [(x(5, 4), 3), (x(5, 4), [1, 3], 1)],
    "unbind": [(x(3, 4),), (x(3, 4), 1)],
    **_each("cat concat concatenate", lambda: [([x(2, 3), x(1, 3)],), ([x(2, 3), x(2, 1)], -1)]),
    "stack": [([x(2, 3), x(2, 3)],), ([x(2, 3), x(2, 3)], -1)],
    **_each("hstack vstack", lambda: [([x(2, 3), x(2, 3)],)]),
    **_each("repeat tile", lambda: [(x(2, 3), [2, 2]), (x(3), [2, 1, 2])]),
    "repeat_interleave": [(x(2, 3), 2, 1)],
    "roll": [(x(3, 4), [1], [0]), (x(3, 4), [1, -2], [0, 1]), (x(3, 4), [2])],
    "flip": [(x(3, 4), [0]), (x(3, 4), [0, -1])],
    **_each("fliplr flipud", lambda: [(x(3, 4),)]),
    "rot90": [(x(3, 4),), (x(2, 3, 4), 3, [1, 2])],
    "unfold": [(x(2, 7), 1, 3, 2), (x(5, 2), 0, 2, 1)],
    "pixel_shuffle": [(x(2, 8, 3, 2), 2)],
    "pixel_unshuffle": [(x(2, 2, 4, 6), 2)],
    "channel_shuffle": [(x(2, 6, 3, 2), 3)],
    "pad": [(x(2, 3, 5, 4), [1, 2, 0, 1], mode) for mode in ("constant", "reflect", "replicate")]
    + [(x(2, 3, 5), [2, 1], "circular"), (x(3, 4), [1, -1], "constant", 2.0)],
    "constant_pad_nd": [(x(3, 4), [1, 2]), (x(3, 4), [1, 0, -1, 2], 3.0)],
    "reflection_pad1d": [(x(2, 3, 5), [2, 1])],
    "reflection_pad2d": [(x(2, 3, 5, 4), [2, 1, 3, 0])],
    "reflection_pad3d": [(x(1, 2, 3, 4, 5), [1, 1, 2, 1, 0, 1])],
    "replication_pad1d": [(x(2, 3, 5), [2, 7])],
    "replication_pad2d": [(x(2, 3, 5, 4), [2, 1, 3, 0])],
    "replication_pad3d": [(x(1, 2, 3, 4, 5), [1, 1, 2, 1, 0, 1])],
    "meshgrid": [([x(2), x(3)], {"indexing": "ij"}), ([x(2), x(3)], {"indexing": "xy"})],
}

LINEAR: Calls = {
    "linear": [(x(5, 3), x(4, 3), x(4)), (x(2, 5, 3), x(4, 3)), (x(3), x(4, 3), x(4))],
    "matmul": [
        (x(2, 3), x(3, 4)), (x(2, 5, 2, 3), x(5, 3, 4)), (x(3), x(3)), (x(2, 4, 3), x(3)),
        (x(3), x(2, 3, 4)), (x(5, 2, 3), x(3, 4)),
    ],
    "mm": [(x(2, 3), x(3, 4))],
    "bmm": [(x(5, 2, 3), x(5, 3, 4))],
    "mv": [(x(2, 3), x(3))],
    "dot": [(x(3), x(3))],
    "inner": [(x(2, 3), x(4, 3))],
    **_each("outer ger", lambda: [(x(3), x(4))]),
    "addmm": [(x(4), x(2, 3), x(3, 4)), (x(2, 4), x(2, 3), x(3, 4), {"beta": 2, "alpha": 0.5})],
    "baddbmm": [(x(5, 2, 4), x(5, 2, 3), x(5, 3, 4), {"beta": 0.5, "alpha": 2})],
    "addmv": [(x(2), x(2, 3), x(3))],
    "einsum": [("bij,bjk->bik", [x(2, 3, 4), x(2, 4, 5)]), ("bhid,bhjd->bhij", [x(1, 2, 3, 4)] * 2)],
    "tensordot": [(x(2, 3, 4), x(4, 3, 5), [1, 2], [1, 0])],
    "bilinear": [(x(5, 2), x(5, 3), x(4, 2, 3), x(4))],
    "chain_matmul": [([x(2, 3), x(3, 4), x(4, 2)],)],
    "cosine_similarity": [(x(3, 4), x(3, 4)), (x(3, 4, 2), x(1, 4, 2), 1), (x(3, 4, 4), x(4, 4), 1),
                          (x(3, 1), x(3, 4)), (x(5, 1, 4), x(3, 4), -1)],
    "_weight_norm": [(x(4, 3, 2), x(4, 1, 1), 0), (x(4, 3), x(1, 3), 1)],
    **_each("fft_fft fft_ifft", lambda: [(z(3, 4),), (z(3, 4), None, 0, "ortho")]),
    "fft_rfft": [(x(3, 5),), (x(3, 4), None, 0, "ortho")],
    "fft_irfft": [(z(3, 5),), (z(3, 4), 7, 1, "forward")],
    **_each("fft_fft2 fft_ifft2 fft_fftn fft_ifftn", lambda: [(z(2, 3, 4),)]),
    **_each("fft_rfft2 fft_rfftn", lambda: [(x(2, 3, 4),), (x(2, 4, 4), None, [1, 2], "ortho")]),
    **_each("fft_irfft2 fft_irfftn", lambda: [(z(2, 3, 4),), (z(2, 4, 3), [4, 4], [1, 2], "ortho")]),
    **_each("fft_fftshift fft_ifftshift", lambda: [(x(5, 4),), (x(5, 4), [0])]),
}  # fmt: skip

CONVOLUTION: Calls = {
    "conv1d": [(x(2, 3, 8), x(4, 3, 3), x(4), [2], [1]), (x(3, 8), x(4, 3, 3)),
               (x(2, 3, 8), x(4, 3, 4), None, [1], "same", [2])],
    "conv2d": [(x(2, 3, 6, 7), x(4, 3, 3, 2), x(4), [2, 1], [1, 0], [1, 2]),
               (x(2, 4, 6, 6), x(6, 2, 3, 3), None, [1], [1], [1], 2),
               (x(2, 4, 6, 6), x(4, 1, 3, 3), x(4), [1], "valid", [1], 4)],
    "conv3d": [(x(1, 2, 4, 5, 4), x(3, 2, 2, 3, 2), x(3), [1], [1])],
    "conv_transpose1d": [(x(2, 3, 5), x(3, 4, 3), x(4), [2], [1], [1])],
    "conv_transpose2d": [(x(2, 4, 3, 4), x(4, 3, 3, 2), x(6), [2, 3], [1, 0], [1, 2], 2, [1]),
                         (x(2, 3, 4, 4), x(3, 2, 2, 2), None, [2]),
                         (x(3, 4, 4), x(3, 2, 3, 3), None, [1], [1], [0], 1, [2])],
    "conv_transpose3d": [(x(1, 2, 3, 2, 3), x(2, 3, 2, 2, 2), x(3), [2], [1])],
    "convolution": [
        (x(2, 3, 6, 7), x(4, 3, 3, 3), x(4), [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
        (x(2, 3, 6, 7), x(3, 2, 3, 3), None, [2, 2], [1, 1], [1, 1], True, [1, 0], 1),
    ],
    "_convolution": [(x(2, 3, 6), x(4, 3, 3), x(4), [1], [1], [1], False, [0], 1, False, False,
                      True, True)],
    "im2col": [(x(2, 3, 6, 7), [3, 2], [1, 2], [1, 0], [2, 1])],
    "col2im": [(x(2, 18, 15), [6, 7], [3, 2], [1, 2], [1, 0], [2, 1]),
               (x(2, 12, 12), [4, 5], [2, 2], [1, 1], [0, 0], [1, 1])],
}  # fmt: skip

POOLING: Calls = {
    **{f"{name}1d": [(x(2, 3, 9), 3), (x(2, 3, 10), [3], [2], [1], *more, True)]
       for name, more in [("max_pool", [1]), ("avg_pool", [])]},
    "max_pool2d": [(x(2, 3, 8, 9), 2), (x(3, 7, 8), [3, 2], [2, 3], [1, 1], 1, True)],
    "avg_pool2d": [(x(2, 3, 8, 9), 2), (x(3, 7, 8), [3, 2], [2, 3], [1, 1], True, False),
                   (x(3, 7, 8), [3, 2], [2, 3], [1, 1], True, True, 5)],
    "avg_pool3d": [(x(1, 2, 4, 5, 6), 2), (x(1, 2, 4, 5, 6), 3, 2, 1, True, False)],
    "max_pool3d": [(x(1, 2, 4, 5, 6), 2), (x(1, 2, 5, 5, 6), 2, 2, 1, 2, True)],
    "max_pool2d_with_indices": [(x(2, 3, 8, 9), [2, 2]), (x(3, 7, 8), [3, 2], [2, 3], [1, 1], 2)],
    "max_pool3d_with_indices": [(x(1, 2, 4, 5, 6), [2, 2, 2])],
    "max_pool1d_with_indices": [(x(2, 3, 9), [3])],
    **_each("adaptive_avg_pool1d adaptive_max_pool1d", lambda: [(x(2, 3, 9), [4]), (x(3, 8), [2])]),
    **_each("adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d",
            lambda: [(x(2, 3, 8, 9), [4, 4]), (x(3, 5, 6), [1, 1])]),
    **_each("adaptive_avg_pool3d _adaptive_avg_pool3d adaptive_max_pool3d",
            lambda: [(x(1, 2, 5, 4, 6), [2, 3, 6])]),
    "max_unpool2d": [(x(1, 2, 2), np.array([[[3, 5], [8, 14]]]), [4, 4])],
    "max_unpool3d": [(x(1, 1, 1, 2), np.array([[[[3, 9]]]]), [2, 2, 4], [1, 1, 1], [0, 0, 0])],
}  # fmt: skip

NORMALIZATION: Calls = {
    **_each(
        "layer_norm native_layer_norm",
        lambda: [(x(2, 3, 4), [4], x(4), x(4), 1e-5), (x(2, 3, 4), [3, 4], None, None, 1e-3)],
    ),
    "rms_norm": [(x(2, 3, 4), [4], x(4), 1e-6), (x(2, 4), [4], None, None)],
    "batch_norm": [
        (x(4, 3, 5, 2), x(3), x(3), x(3), positive(3), False, 0.1, 1e-5, True),
        (x(4, 3), None, None, x(3), positive(3), False, 0.1, 1e-3, True),
        (x(4, 3, 5), x(3), x(3), None, None, True, 0.1, 1e-5, True),
    ],
    "_native_batch_norm_legit_no_training": [
        (x(4, 3, 5), x(3), x(3), x(3), positive(3), 0.1, 1e-5)
    ],
    "_native_batch_norm_legit.no_stats": [(x(4, 3, 5), x(3), x(3), True, 0.1, 1e-5)],
    "group_norm": [(x(2, 6, 4, 3), 3, x(6), x(6), 1e-5), (x(2, 6), 2)],
    "instance_norm": [
        (x(2, 3, 4, 5), x(3), x(3), None, None, True, 0.1, 1e-5, True),
        (x(2, 3, 4), None, None, x(3), positive(3), False, 0.1, 1e-5, True),
    ],
    "renorm": [(x(3, 4), 2, 0, 1.0)],
}

ATTENTION: Calls = {
    "scaled_dot_product_attention": [
        (x(2, 3, 5, 4), x(2, 3, 6, 4), x(2, 3, 6, 2)),
        (x(2, 3, 5, 4), x(2, 3, 5, 4), x(2, 3, 5, 4), None, 0.0, True),
        (x(2, 3, 5, 4), x(2, 3, 6, 4), x(2, 3, 6, 4), x(5, 6), {"scale": 0.3}),
        (x(2, 3, 5, 4), x(2, 3, 6, 4), x(2, 3, 6, 4), ints(4, 2, 1, 5, 6) > 0),
        (x(2, 4, 5, 4), x(2, 2, 6, 4), x(2, 2, 6, 4), {"enable_gqa": True}),
    ],
    **_each("softmax log_softmax", lambda: [(x(3, 4), -1), (x(3, 4, 2), 1)]),
    "_softmax": [(x(3, 4), 0, False)],
    "_log_softmax": [(x(3, 4), 0, False)],
    "_safe_softmax": [
        (np.where(np.eye(4) > 0, -np.inf, x(4, 4)), 1),
        (np.full((2, 3), -np.inf), 1),
    ],
}


def _recurrent(gates: int, layers: int, directions: int, biases: bool, size: int = 3) -> list:
    weights, features = [], 4
    for _ in range(layers):
        for _ in range(directions):
            weights += [x(gates * size, features), x(gates * size, size)]
            weights += [x(gates * size), x(gates * size)] if biases else []
        features = directions * size
    return weights


def _recurrent_calls(gates: int, state: Callable[..., Any]) -> list[Call]:
    return [
        (x(6, 2, 4), state(1, 2, 3), _recurrent(gates, 1, 1, True), True, 1, 0.0, False, False,
         False),
        (x(2, 6, 4), state(4, 2, 3), _recurrent(gates, 2, 2, True), True, 2, 0.0, False, True, True),
        (x(1, 6, 4), state(2, 1, 3), _recurrent(gates, 2, 1, False), False, 2, 0.0, False, False,
         True),
    ]  # fmt: skip


RECURRENT: Calls = {
    "lstm.input": _recurrent_calls(4, lambda *shape: [x(*shape), x(*shape)]),
    "gru.input": _recurrent_calls(3, x),
    "rnn_tanh.input": _recurrent_calls(1, x),
    "rnn_relu.input": _recurrent_calls(1, x),
    "lstm_cell": [(x(2, 4), [x(2, 3), x(2, 3)], x(12, 4), x(12, 3), x(12), x(12))],
    "gru_cell": [(x(2, 4), x(2, 3), x(9, 4), x(9, 3), x(9), x(9))],
    **_each("rnn_tanh_cell rnn_relu_cell", lambda: [(x(2, 4), x(2, 3), x(3, 4), x(3, 3))]),
}

REDUCTION: Calls = {
    **_each("sum mean nansum", lambda: [(x(2, 3, 4),), (x(2, 3, 4), [1]), (x(2, 3, 4), [0, -1], True)]),
    "prod": [(x(2, 3),), (x(2, 3), 1, True)],
    **_each("amax amin", lambda: [(x(2, 3, 4), [1]), (x(2, 3, 4), [0, 2], True), (x(2, 3),)]),
    **_each("max min", lambda: [(x(2, 3),)]),
    **_each("max.dim min.dim median.dim", lambda: [(x(2, 3), 1), (x(2, 4), 0, True), (x(), 0)][:2]),
    **_each("argmax argmin", lambda: [(x(2, 3),), (x(2, 3), 1, True), (x(2, 3), None, True)]),
    **_each("all any", lambda: [(bools(2, 3),), (bools(2, 3), 1), (bools(2, 3), 1, True)]),
    "count_nonzero": [(ints(2, 3, 4),), (ints(2, 3, 4), 1)],
    **_each("var std var_mean", lambda: [(x(2, 3, 4),), (x(2, 3), False), (x(2, 3, 4), [1], True, True),
            (x(2, 3, 4), [0, 1], {"correction": 0, "keepdim": True}), (z(2, 3), [1])]),
    **_each("norm linalg_vector_norm", lambda: [(x(2, 3),), (x(2, 3), 1, [1]), (x(2, 3), 3, [0], True)]),
    "linalg_vector_norm": [(x(2, 3), float("inf"), [1]), (x(2, 3), float("-inf")), (x(2, 3), 0)],
    "frobenius_norm": [(x(2, 3), [1], True)],
    "logsumexp": [(x(2, 3), [1]), (x(2, 3, 4), [0, 1], True)],
    **_each("cumsum cumprod", lambda: [(x(2, 3), 1), (x(2, 3), 0), (np.full(9, 100, np.int8), 0)]),
    "diff": [(x(2, 5),), (x(4, 2), 2, 0), (x(2, 3), 1, -1, x(2, 1))],
    "histc": [(x(30), 5, -1, 1), (positive(30), 4)],
    **_each("sort argsort", lambda: [(x(2, 5),), (x(4, 2), 0, True)]),
    **_each("sort.stable argsort.stable", lambda: [(ints(3, 4, 9), {"stable": True, "dim": 1}),
            (ints(3, 4, 9), {"stable": True, "dim": 1, "descending": True})]),
    "topk": [(x(2, 5), 3), (x(5, 2), 2, 0, False)],
    "median": [(x(3, 4),)],
}  # fmt: skip

INDEXING: Calls = {
    **_each("index _unsafe_index", lambda: [(x(4, 5), [ints(4, 3)]), (x(4, 5), [ints(4, 3, 1), ints(5, 2)]),
            (x(4, 5, 6), [None, ints(5, 2)])]),
    "index": [(x(4, 5), [ints(4, 3)]), (x(4, 5, 6), [ints(4, 2), None, ints(6, 2)])],
    "index_put": [(x(4, 5), [np.array([0, 2])], x(2, 5)), (x(4, 5), [np.array([0, 2])], x(5)),
                  (x(4, 5), [np.array([0, 0]), np.array([1, 1])], x(2), True),
                  (x(4, 5), [bools(4, 5)], x()), (x(4, 5), [bools(4)], x()),
                  (x(4, 4, 4), [None, bools(4)], x()), (x(4, 4), [None, bools(4)], x(), True),
                  (x(3, 4, 5), [bools(3)], x(5)), (x(2, 3, 4, 5), [None, bools(3, 4)], x(2, 1, 5)),
                  (x(4, 5), [np.arange(4) % 2 > 0], x(2, 5)), (x(4), [bools(4)], x(1))],
    **_each("_unsafe_index_put _index_put_impl", lambda: [(x(4, 5), [np.array([0, 2])], x(5))]),
    "index_select": [(x(4, 5), 0, ints(4, 3)), (x(4, 5), -1, ints(5, 7))],
    "index_add": [(x(4, 5), 1, ints(5, 3), x(4, 3)), (x(4), 0, ints(4, 6), x(6), {"alpha": 2})],
    "index_copy": [(x(4, 5), 1, np.array([3, 0]), x(4, 2))],
    "index_fill": [(x(4, 5), 1, np.array([3, 0]), 7.0)],
    "take": [(x(4, 5), ints(20, 3, 2))],
    "take_along_dim": [(x(4, 5), ints(5, 4, 2), 1)],
    "gather": [(x(4, 5), 1, ints(5, 3, 2)), (x(4, 5), 0, ints(4, 6, 5))],
    "scatter": [(x(4, 5), 1, np.array([[0, 3], [2, 1]]), x(2, 2)), (x(4, 5), 0, ints(4, 1, 5), 2.0)],
    "scatter_add": [(x(4, 5), 1, ints(5, 3, 6), x(3, 6))],
    "scatter_reduce": [(x(4, 5), 1, ints(5, 3, 6), x(3, 6), r) for r in ("sum", "prod", "amax", "amin")],
    "masked_scatter": [(x(3, 4), bools(3, 4), x(12))],
    "embedding": [(x(7, 3), ints(7, 2, 4)), (x(7, 3), ints(7, 2), 0)],
    "one_hot": [(ints(5, 2, 3), 6)],
    "bucketize": [(x(3, 4), np.array([-1.0, 0, 1])), (ints(3, 4), np.array([0, 1]), {"right": True})],
    "searchsorted": [(np.array([-1.0, 0, 1]), x(3, 4)), (np.array([0, 1]), ints(3, 4), {"side": "right"}),
                     (np.sort(x(2, 3, 4)), x(2, 3, 5), {"right": True}),
                     (np.array([[1, -1.0]]), x(1, 3), {"sorter": np.array([[1, 0]])})],
}  # fmt: skip


def _resized(n: int, *flags: Any) -> list[Call]:
    shape = (2, 3, *(5, 4, 3)[:n])
    wanted = [(8, 6, 7)[:n], (3, 2, 2)[:n]]
    return [(x(*shape), list(size), *flags) for size in wanted]


RESIZE: Calls = {
    **{f"upsample_nearest{n}d": [*_resized(n), (x(2, 3, *(5, 4, 3)[:n]), None, [2.0] * n)]
       for n in (1, 2, 3)},
    **{f"_upsample_nearest_exact{n}d": _resized(n) for n in (1, 2, 3)},
    **{f"upsample_{name}": _resized(n, False) + _resized(n, True)
       + [(x(2, 3, *(5, 4, 3)[:n]), None, False, [1.7] * n)]
       for n, name in [(1, "linear1d"), (2, "bilinear2d"), (3, "trilinear3d"), (2, "bicubic2d")]},
    **{f"_upsample_{name}2d_aa": _resized(2, False) + _resized(2, True)
       for name in ("bilinear", "bicubic")},
}  # fmt: skip

CREATION: Calls = {
    **_each("zeros ones", lambda: [([2, 3],), ([], {"dtype": "int64"})]),
    "full": [([2, 3], 1.5)],
    **_each("zeros_like ones_like zero", lambda: [(x(2, 3),)]),
    "full_like": [(x(2, 3), 2.5)],
    "fill": [(x(2, 3), 2.5)],
    **_each("new_zeros new_ones", lambda: [(x(2), [3, 4])]),
    "new_full": [(x(2), [3, 4], 2.5)],
    "arange": [(5,), (2, 7), (1, 9, 2), (0.0, 1.0, 0.25)],
    "linspace": [(0.0, 1.0, 5, {"dtype": "float64"})],
    "eye": [(3,), (2, 3)],
    "scalar_tensor": [(2.5,)],
    "tril_indices": [(3, 4), (3, 3, -1)],
    "triu_indices": [(3, 4), (3, 3, 1)],
    "hann_window": [(6, {"dtype": "float64"})],
    **_each(
        "clone alias contiguous lift_fresh lift_fresh_copy lift detach detach_ detach_copy",
        lambda: [(x(2, 3),)],
    ),
    "_to_copy": [(x(2, 3), {"dtype": "int64"}), (ints(3, 4), {"dtype": "float64"})],
    "to": [(x(2, 3), "float32")],
    "type_as": [(ints(3, 4), x(1))],
    "to.other": [(ints(3, 4), x(1))],
    "view.dtype": [(x(2, 3), "int64")],
    "copy": [(x(2, 3), x(3))],
    "copy_": [(ints(2, 2, 3), ints(9, 3))],
    **_each(
        "dropout feature_dropout alpha_dropout feature_alpha_dropout",
        lambda: [(x(2, 3), 0.5, False)],
    ),
    "native_dropout": [(x(2, 3), 0.5, False)],
    "sym_size": [(x(2, 3), 1)],
    "sym_numel": [(x(2, 3),)],
    "sym_stride": [(x(2, 3, 4), 0)],
}

CALLS: Calls = {
    **ELEMENTWISE, **SHAPES, **LINEAR, **CONVOLUTION, **POOLING, **NORMALIZATION, **ATTENTION,
    **RECURRENT, **REDUCTION, **INDEXING, **RESIZE, **CREATION,
}  # fmt: skip
