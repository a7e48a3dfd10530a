"""The table of where each primitive puts the dimensions of its operands.

An index of a sample is found in a value at a `Place`: `index[dim] // stride % size`. A primitive
follows a place to its results if each result depends on no element with another index there.
Most primitives pass whole dimensions on, and one mapping says which: `KEPT`. A reshape and a
convolution with groups pass on parts of dimensions: `FOLLOWED` holds all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from jax.extend import core

from rfp_jax._core.jaxprs import shape_of
from rfp_jax._core.primitives import ELEMENTWISE
from rfp_jax._core.signatures import is_sequence

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """The place of an index in a value: it is `index[dim] // stride % size`.

    Attributes:
        dim: the dimension; `-d` stands for the iteration of the d-th loop around.
        stride: the product of the sizes of all that lies inside of it in this dimension.
    """

    dim: int
    stride: int = 1


@dataclass(frozen=True)
class Split:
    """A place cannot be followed, but its two parts can: the inner one has this size."""

    inner: int


Follow = Callable[[Place, int], Place | Split | None]
"""From a place of an index to that in the result; None if indices are mixed."""

Rule = Callable[[core.JaxprEqn, Shape], Sequence[Follow]]
"""For an equation and the shape of one of its results, one `Follow` per operand."""

Kept = Callable[[core.JaxprEqn], Sequence[Mapping[int, int]]]
"""For each operand, which of its dimensions go to which dimension of the results."""


def _shapes(eqn: core.JaxprEqn) -> list[Shape]:
    return list(map(shape_of, eqn.invars))


def _kept(dims: Kept) -> Rule:
    """Follow whole dimensions; one whose size changes is mixed (a slice, a broadcast)."""

    def rule(eqn: core.JaxprEqn, result: Shape) -> list[Follow]:
        def follow(shape: Shape, to: Mapping[int, int]) -> Follow:
            same = {d: i for d, i in to.items() if shape[d : d + 1] == result[i : i + 1] != ()}
            return lambda at, size: Place(same[at.dim], at.stride) if at.dim in same else None

        return list(map(follow, _shapes(eqn), dims(eqn)))

    return rule


def _everywhere(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    """Each dimension stays what it is: elementwise, or a part of the array of the same rank."""
    return [{d: d for d in range(len(shape))} for shape in _shapes(eqn)]


def _mixed(eqn: core.JaxprEqn, param: str) -> set[int]:
    """The dimensions, of the first operand, that a parameter names."""
    axes, rank = eqn.params[param], len(_shapes(eqn)[0])
    return {axis % rank for axis in (axes if is_sequence(axes) else (axes,))}


def _along(param: str) -> Kept:
    """All dimensions but those that a parameter names, which stay and are mixed."""

    def dims(eqn: core.JaxprEqn) -> list[dict[int, int]]:
        mixed = _mixed(eqn, param)
        return [{d: d for d in range(len(s)) if d not in mixed} for s in _shapes(eqn)]

    return dims


def _without(param: str) -> Kept:
    """All dimensions but those that a parameter names, which go."""

    def dims(eqn: core.JaxprEqn) -> list[dict[int, int]]:
        gone = _mixed(eqn, param)
        left = [[d for d in range(len(s)) if d not in gone] for s in _shapes(eqn)]
        return [{d: i for i, d in enumerate(kept)} for kept in left]

    return dims


def _batch(rank: int) -> Kept:
    """All dimensions of the first operand but the last `rank` are batches, of all operands."""

    def dims(eqn: core.JaxprEqn) -> list[dict[int, int]]:
        shapes = _shapes(eqn)
        return [{d: d for d in range(len(shapes[0]) - rank)} for _ in shapes]

    return dims


def _fourier(eqn: core.JaxprEqn) -> Sequence[Mapping[int, int]]:
    return _batch(len(eqn.params["fft_lengths"]))(eqn)


def _permuted(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    return [{d: i for i, d in enumerate(eqn.params["permutation"])}]


def _broadcast(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    return [dict(enumerate(map(int, eqn.params["broadcast_dimensions"]))), {}][: len(eqn.invars)]


def _stacked(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    axis = eqn.params["axis"] % len(shape_of(eqn.outvars[0]))
    return [{d: d + (d >= axis) for d in range(len(s))} for s in _shapes(eqn)]


def _padded(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    config = eqn.params["padding_config"]
    return [{d: d for d, padding in enumerate(config) if not any(padding)}, {}]


def _pooled(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    """The dimensions along which the window is a single element, unmoved."""
    p = eqn.params
    ones = [1] * len(p["window_dimensions"])
    extent = zip(
        p["window_dimensions"],
        p["window_strides"],
        p["padding"],
        p.get("base_dilation", ones),
        strict=True,
    )
    alone = {d: d for d, along in enumerate(extent) if along == (1, 1, (0, 0), 1)}
    return [alone for _ in eqn.invars]


def _dot(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    """Batches come first, then what is free on the left, then on the right."""
    contracted, batches = eqn.params["dimension_numbers"]
    dims: list[dict[int, int]] = []
    first_free = len(batches[0])
    for shape, gone, batch in zip(_shapes(eqn), contracted, batches, strict=True):
        free = [d for d in range(len(shape)) if d not in gone and d not in batch]
        dims.append({d: i for i, d in enumerate(batch)})
        dims[-1] |= {d: first_free + i for i, d in enumerate(free)}
        first_free += len(free)
    return dims


def _gathered(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    """Windows as large as the array begin at 0, wherever the indices point (or are all fill)."""
    numbers = eqn.params["dimension_numbers"]
    operand, indices = _shapes(eqn)
    result = range(len(shape_of(eqn.outvars[0])))
    batch = [d for d in result if d not in numbers.offset_dims]
    gone = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    window = [d for d in range(len(operand)) if d not in gone]
    operand_dims = dict(zip(window, map(int, numbers.offset_dims), strict=True))
    pairs = zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True)
    operand_dims |= {int(d): batch[i] for d, i in pairs}
    return [operand_dims, dict(enumerate(batch[: len(indices) - 1]))]


def _scattered(eqn: core.JaxprEqn) -> list[dict[int, int]]:
    """Each element of the operand stays; updates meet it in batches and in whole windows."""
    numbers = eqn.params["dimension_numbers"]
    operand, _, updates = map(len, _shapes(eqn))
    gone = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    window = [d for d in range(operand) if d not in gone]
    pairs = zip(numbers.scatter_indices_batching_dims, numbers.operand_batching_dims, strict=True)
    index_dims = {int(i): int(d) for i, d in pairs}
    scattered = [d for d in range(updates) if d not in numbers.update_window_dims]
    update_dims = dict(zip(map(int, numbers.update_window_dims), window, strict=True))
    update_dims |= {scattered[i]: d for i, d in index_dims.items()}
    return [{d: d for d in range(operand)}, index_dims, update_dims]


def _tiled(eqn: core.JaxprEqn, result: Shape) -> list[Follow]:
    """Whole copies side by side: the remainder of an index stays what it was."""
    del eqn, result
    return [lambda at, size: at]


def _reshaped(eqn: core.JaxprEqn, result: Shape) -> list[Follow]:
    """The order of all elements stays: a place is a stride in the flat array."""
    (shape,) = _shapes(eqn)
    order = eqn.params["dimensions"] or range(len(shape))
    permuted = {d: i for i, d in enumerate(order)}
    shape = tuple(shape[d] for d in order)

    def follow(at: Place, size: int) -> Place | Split | None:
        stride = at.stride * prod(shape[permuted[at.dim] + 1 :])
        inner = [prod(result[d + 1 :]) for d in range(len(result))]
        for d, step in enumerate(inner):
            if stride % step == 0 and step * result[d] % (stride * size) == 0:
                return Place(d, stride // step)
        for step in inner:
            if stride < step < stride * size and step % stride == stride * size % step == 0:
                return Split(step // stride)
        return None

    return [follow]


def _convolved(eqn: core.JaxprEqn, result: Shape) -> list[Follow]:
    """Samples, groups of features, and what a window of one pixel does not move."""
    p = eqn.params
    lhs, rhs = _shapes(eqn)
    samples, features, *space = p["dimension_numbers"].lhs_spec
    kernels, _, *window = p["dimension_numbers"].rhs_spec
    out: tuple[int, ...] = p["dimension_numbers"].out_spec
    to_samples, to_features, *to_space = out
    unmoved = {
        d: to
        for i, (d, to) in enumerate(zip(space, to_space, strict=True))
        if rhs[window[i]] == p["window_strides"][i] == p["lhs_dilation"][i] == 1
        and tuple(p["padding"][i]) == (0, 0)
    }
    groups: dict[int, int] = {features: p["feature_group_count"], samples: p["batch_group_count"]}
    count = max(groups.values())

    def follow_lhs(at: Place, size: int) -> Place | None:
        if at.dim in unmoved:
            return Place(unmoved[at.dim], at.stride)
        inside = lhs[at.dim] // groups.get(at.dim, 1)  # one group's samples or features
        if at.dim in groups and at.stride % inside == 0:
            return Place(to_features, at.stride // inside * (result[to_features] // count))
        if at.dim == samples and inside % (at.stride * size) == 0:
            return Place(to_samples, at.stride)
        return None

    def follow_rhs(at: Place, size: int) -> Place | None:
        del size
        return Place(to_features, at.stride) if at.dim == kernels else None

    return [follow_lhs, follow_rhs]


def _each(kept: Kept, names: str) -> dict[str, Kept]:
    return dict.fromkeys(names.split(), kept)


KEPT: dict[str, Kept] = {
    **_each(_everywhere, " ".join(ELEMENTWISE)),
    **_each(
        _everywhere,
        """log log2 rsqrt rem atan2 nextafter lgamma digamma polygamma zeta igamma igammac
        igamma_grad_a regularized_incomplete_beta bessel_i0e bessel_i1e real imag conj complex
        eq ne lt le gt ge eq_to le_to lt_to is_finite not and or xor shift_left
        shift_right_arithmetic shift_right_logical population_count clz mulhi stop_gradient
        bitcast_convert_type reduce_precision copy_p name sharding_constraint layout_constraint
        reshard relayout zeros_like""",
    ),
    # A dimension of which a part is taken changes its size, and is mixed by that.
    **_each(_everywhere, "slice dynamic_slice dynamic_update_slice split"),
    "transpose": _permuted,
    **_each(_broadcast, "broadcast_in_dim"),
    "squeeze": _without("dimensions"),
    "stack": _stacked,
    "unstack": _without("axis"),
    "pad": _padded,
    "concatenate": _along("dimension"),
    "rev": _along("dimensions"),
    "sort": _along("dimension"),
    "top_k": _along("axis"),
    "approx_top_k": _along("reduction_dimension"),
    **_each(_along("axis"), "cumsum cumprod cummax cummin cumlogsumexp"),
    **_each(
        _without("axes"),
        """reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or reduce_xor argmax
        argmin""",
    ),
    "reduce": _without("dimensions"),
    **_each(
        _pooled,
        """reduce_window reduce_window_sum reduce_window_max reduce_window_min
        select_and_gather_add select_and_scatter_add""",
    ),
    "dot_general": _dot,
    "gather": _gathered,
    **_each(_scattered, "scatter scatter-add scatter-sub scatter-mul scatter-max scatter-min"),
    "fft": _fourier,
    **_each(
        _batch(2),
        """cholesky eig eigh hessenberg householder_product lu qr geqrf geqp3 ormqr schur svd
        tridiagonal triangular_solve symmetric_product""",
    ),
    **_each(_batch(1), "tridiagonal_solve lu_pivots_to_permutation"),
}
"""Primitives that pass on whole dimensions; what is in no table may mix everything."""

FOLLOWED: dict[str, Rule] = {
    **{name: _kept(dims) for name, dims in KEPT.items()},
    "tile": _tiled,
    "reshape": _reshaped,
    "conv_general_dilated": _convolved,
}
"""Every primitive through which places are followed."""
