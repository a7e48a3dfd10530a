"""More calls of PyTorch's operations: sampling, spectra, projections, distances."""

import numpy as np

from tests.convert.torch_calls import Calls, ints, positive, unit, x, z


def _grids(*spatial: int) -> list:
    """Each mode, padding and way of counting of `grid_sampler` on images of this size."""
    image, axes = (2, 3, *spatial), len(spatial)
    modes = (0, 1, 2) if axes == 2 else (0, 1)
    return [
        (x(*image), 1.3 * x(2, *(3,) * axes, axes), mode, padding, corners)
        for mode in modes
        for padding, corners in ((0, False), (1, True), (2, False), (2, True))
    ]


def _projected(layers: int, directions: int, biases: bool) -> list:
    weights, features, hidden, size = [], 4, 5, 3
    for _ in range(layers):
        for _ in range(directions):
            weights += [x(4 * hidden, features), x(4 * hidden, size)]
            weights += [x(4 * hidden), x(4 * hidden)] if biases else []
            weights += [x(size, hidden)]
        features = directions * size
    return weights


def _algebra() -> Calls:
    """Square matrices that are far from singular, and a positive one."""
    square = x(2, 3, 3) + 3 * np.eye(3)
    positive_one = square @ square.swapaxes(1, 2)
    return {
        **{name: [(square,)] for name in "linalg_inv inverse linalg_inv_ex linalg_det det".split()},
        **{name: [(x(2, 4, 3),)] for name in "linalg_pinv pinverse".split()},
        **{name: [(square,)] for name in "linalg_slogdet slogdet matrix_exp".split()},
        "linalg_matrix_exp": [(square,)],
        "logdet": [(positive_one,), (np.diag([-1.0, 1.0]),)],
        "linalg_solve": [
            (square, x(2, 3, 2)), (square, x(2, 3)), (square[0], x(3)),
            (square[0], x(2, 2, 3), {"left": False}),
        ],
        "linalg_solve_triangular": [
            (np.triu(square), x(2, 3, 2), {"upper": True}),
            (np.tril(square[0]), x(2, 2, 3), {"upper": False, "left": False}),
            (np.tril(square), x(3, 1), {"upper": False, "unitriangular": True}),
        ],
        "linalg_cholesky": [(positive_one,), (positive_one, {"upper": True})],
        "cholesky": [(positive_one,), (positive_one, True)],
        "linalg_qr": [(x(2, 4, 3),), (square, "complete")],
        "linalg_householder_product": [(x(2, 4, 3), x(2, 3))],
        "linalg_matrix_norm": [(x(2, 3, 4), 1.0), (x(2, 3, 4), 2.0, [0, 1], True)],
        "linalg_matrix_norm.str_ord": [(x(2, 3, 4),), (x(2, 3, 4), "nuc")],
        "linalg_norm": [(x(2, 3),), (x(2, 3), 1.0), (x(2, 3, 4), 3.0, [1])],
        "linalg_norm.ord_str": [(x(3, 4), "fro"), (x(3, 4), "nuc", [0, 1], True)],
    }  # fmt: skip


def _inverse_spectra() -> list:
    weights = positive(8)
    return [
        (z(2, 5, 6), 8, 2, None, weights, True, False, True, None, False),
        (z(5, 6), 8, 4, 6, positive(6), True, True, None, 17),
        (z(2, 8, 5), 8, None, None, weights, False, False, False, None, True),
    ]


FORWARD, BOTH = (1, 0.0, False, False, False), (2, 0.0, False, True, True)
PROJECTED = [
    (x(6, 2, 4), [x(1, 2, 3), x(1, 2, 5)], _projected(1, 1, True), True, *FORWARD),
    (x(2, 6, 4), [x(4, 2, 3), x(4, 2, 5)], _projected(2, 2, False), False, *BOTH),
]

MORE: Calls = {
    "grid_sampler": _grids(5, 4),
    "grid_sampler_2d": _grids(4, 6)[:2],
    "grid_sampler_3d": _grids(3, 4, 2)[:4],
    "affine_grid_generator": [
        (x(2, 2, 3), [2, 3, 4, 5], False),
        (x(2, 2, 3), [2, 3, 4, 1], True),
        (x(2, 3, 4), [2, 1, 3, 2, 4], True),
    ],
    "stft": [
        (x(2, 20), 8, 3, None, positive(8), False, True, True),
        (x(20), 8, 4, 6, positive(6), True, False, True),
        (z(2, 12), 6, None, 4, None, False, False, True),
        (x(2, 20), 8, 3, 6, positive(6), False, True, True, True),
        (x(20), 8, 3, 4, None, True, False, True, True),
    ],
    "stft.center": [
        (x(2, 20), 8, 3, None, positive(8), True, "reflect", False, True, True),
        (x(20), 8, 4, 8, positive(8), False, "constant", True, True, True),
    ],
    "native_group_norm": [(x(2, 6, 4, 3), x(6), x(6), 2, 6, 12, 3, 1e-5)],
    "cdist": [(x(2, 4, 3), x(5, 3)), *[(x(4, 3), x(5, 3), p) for p in (1.0, 3.0, 0.0)]],
    "_cdist_forward": [(x(2, 4, 3), x(2, 5, 3), 2.0, None)],
    "_pdist_forward": [(x(4, 3), 1.0)],
    "_fft_r2c": [(x(3, 4, 5), [1, 2], norm, norm > 0) for norm in (0, 1, 2)],
    "_fft_c2r": [(z(3, 4, 3), [1, 2], norm, 5 - norm % 2) for norm in (0, 1, 2)],
    "_fft_c2c": [(z(3, 4), [0, 1], norm, norm == 1) for norm in (0, 1, 2)]
    + [(z(3, 4), [1], 2, True)],
    "embedding_renorm": [(x(7, 3), ints(7, 2, 2), 0.9, 2.0)],
    "pairwise_distance": [(x(4, 3), x(4, 3)), (x(4, 3), x(3), 1.0, 0.0, True)],
    "kron": [(x(2, 3), x(4, 2))],
    "cross": [(x(4, 3), x(4, 3), 1), (x(3, 4), x(3, 4))],
    "linalg_cross": [(x(4, 3), x(4, 3)), (x(3, 4), x(3, 4), {"dim": 0})],
    "linalg_matmul": [(x(2, 3, 4), x(4, 2))],
    "linalg_multi_dot": [([x(2, 3), x(3, 4), x(4, 2)],)],
    "matrix_power": [(x(2, 3, 3), 3), (x(3, 3), 0)],
    "linalg_matrix_power": [(x(3, 3), 2)],
    "addbmm": [(x(3, 5), x(2, 3, 4), x(2, 4, 5), {"beta": 0.5, "alpha": 2})],
    "addr": [(x(3, 4), x(3), x(4), {"beta": 0.5, "alpha": 2})],
    "vdot": [(x(4), x(4)), (z(4), z(4))],
    "deg2rad": [(x(3, 4),)],
    "rad2deg": [(x(3, 4),)],
    "logit": [((1 + unit(3, 4)) / 2,), ((1 + unit(3, 4)) / 2, 0.2)],
    "logaddexp2": [(x(3, 4), x(4))],
    "special_entr": [(positive(3, 4),)],
    "special_log1p": [(positive(3, 4),)],
    "float_power": [(positive(3, 4), x(4)), (positive(3), 2.5)],
    "copysign": [(x(3, 4), x(4))],
    "heaviside": [(x(3, 4), x(4))],
    "sgn": [(x(3, 4),), (z(3),)],
    "signbit": [(x(3, 4),)],
    "std_mean": [(x(2, 3, 4),), (x(2, 3, 4), [1], True, True)],
    "nanmean": [(x(2, 3, 4), [1])],
    "aminmax": [(x(2, 3),), (x(2, 3), {"dim": 1, "keepdim": True})],
    "logcumsumexp": [(x(2, 5), 1), (x(4, 2), 0)],
    "cummax": [(x(2, 6), 1), (x(5, 2), 0)],
    "cummin": [(x(2, 6), 1), (x(5, 2), 0)],
    "adjoint": [(z(2, 3),)],
    "matrix_H": [(z(2, 3),)],
    "dstack": [([x(2, 3), x(2, 3)],)],
    "column_stack": [([x(3), x(3, 2)],)],
    "block_diag": [([x(2, 3), x(1, 2)],)],
    "hamming_window": [
        (6, {"dtype": "float64"}),
        (6, False, {"dtype": "float64"}),
        (5, True, 0.6, {"dtype": "float64"}),
        (5, False, 0.6, 0.3, {"dtype": "float64"}),
        (1, {"dtype": "float64"}),
    ],
    "kaiser_window": [
        (6, {"dtype": "float64"}),
        (6, False, {"dtype": "float64"}),
        (5, True, 8.0, {"dtype": "float64"}),
        (0, {"dtype": "float64"}),
    ],
    "blackman_window": [(6, {"dtype": "float64"})],
    "bartlett_window": [(6, {"dtype": "float64"})],
    **_algebra(),
    "_weight_norm": [(x(4, 3, 2), x(4, 1, 1), 0), (x(4, 3), x(), -1), (x(4, 3), x(1, 3), 1)],
    "pdist": [(x(4, 3),), (x(5, 2), 1.0)],
    "index_reduce": [
        (x(4, 5), 1, np.array([0, 3, 3]), x(4, 3), "mean"),
        (x(4, 5), 0, np.array([0, 2]), x(2, 5), "amax", {"include_self": False}),
        (x(4, 5), 0, np.array([0, 0, 2]), x(3, 5), "prod", {"include_self": False}),
    ],
    "scatter_reduce": [
        (x(4, 5), 1, ints(5, 3, 6), x(3, 6), how, {"include_self": own})
        for how in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
    ],
    "put": [(x(3, 4), np.array([1, 6]), x(2)), (x(3, 4), np.array([1, 1]), x(2), True)],
    **{name: [(x(3, 4),)] for name in "i0 special_i0 absolute negative fix".split()},
    **{f"special_{name}": [(x(3, 4),)] for name in "i0e i1 i1e".split()},
    "special_ndtri": [(positive(3, 4) / 2.1,)],
    **{
        name: [(positive(3, 4), positive(3, 1))]
        for name in """multiply subtract divide greater greater_equal less less_equal not_equal
        arctan2 ldexp""".split()
    },
    **{name: [(unit(3, 4),)] for name in "arcsin arccos arctan arcsinh arctanh".split()},
    "arccosh": [(positive(3) + 1,)],
    "conj_physical": [(z(3),)],
    "_neg_view": [(x(3),)],
    "resolve_neg": [(x(3),)],
    "kthvalue": [(x(4, 5), 2, 0), (x(4, 5), 3, -1, True)],
    "msort": [(x(4, 3),)],
    "as_strided": [(x(3, 4), [2, 3], [1, 2], 1), (x(3, 4), [5, 4], [2, 1])],
    "as_strided_copy": [(x(3, 4), [2], [5])],
    "as_strided_scatter": [(x(3, 4), x(2, 3), [2, 3], [6, 1], 1)],
    "istft": _inverse_spectra(),
    "fft_hfft": [(z(3, 5),), (z(3, 5), 6)],
    "fft_ihfft": [(x(3, 6),)],
    "fft_fftfreq": [(5, {"dtype": "float64"}), (6, 0.5, {"dtype": "float64"})],
    "fft_rfftfreq": [(6, {"dtype": "float64"})],
    "_local_scalar_dense": [(np.array([3]),)],
    "item": [(np.array(3),)],
}  # fmt: skip
