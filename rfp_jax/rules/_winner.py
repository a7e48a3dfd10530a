"""Maxima, sorting and pooling: the winner takes all; ties fall as in the plain program."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, chained
from rfp_jax.rules._elementwise import clip, elementwise


@chained
def maximum(f: Equation, *x: jax.Array) -> Frozen:
    """`max(x, y)`: all to the greater, the first of two equals; with a constant y see `clip`."""
    if len(x) == 1:
        return clip(f, *x)
    first = x[0] >= x[1] if f.name == "max" else x[0] <= x[1]
    return Frozen(f(*x), lambda c, d: jnp.where(first, c, d))


@chained
def clamp(f: Equation, *x: jax.Array) -> Frozen:
    """`clamp(low, x, high)`: by the secant; all to the value passed on if a bound is tracked."""
    if f.tracked == (False, True, False):
        return elementwise(f, *x)
    low, value, high = f.operands
    below, above = value < low, value > high

    def push(*c: jax.Array) -> jax.Array:
        given = iter(c)
        parts = (next(given) if tracked else jnp.zeros_like(value) for tracked in f.tracked)
        c_low, c_value, c_high = parts
        return jnp.where(above, c_high, jnp.where(below, c_low, c_value))

    def bias() -> jax.Array:
        zeros = [
            jnp.zeros_like(a) if tracked else a
            for a, tracked in zip(f.operands, f.tracked, strict=True)
        ]
        return jnp.where(above, zeros[2], jnp.where(below, zeros[0], zeros[1]))

    return Frozen(f(*x), push, bias)


def reduce_maximum(f: Equation, x: jax.Array) -> Frozen:
    """`max` over axes: all to the first of the greatest."""
    axes = sorted(f.params["axes"])  # ties: the first in the order of the array
    arg = jnp.argmax if f.name == "reduce_max" else jnp.argmin

    def rows(a: jax.Array) -> jax.Array:
        """The reduced axes as one, the last."""
        a = jnp.moveaxis(a, axes, range(-len(axes), 0))
        return a.reshape(*a.shape[: a.ndim - len(axes)], -1)

    winner = arg(rows(x), axis=-1, keepdims=True)
    return Frozen(f(x), lambda c: jnp.take_along_axis(rows(c), winner, axis=-1)[..., 0])


def max_pool(f: Equation, x: jax.Array) -> Frozen:
    """Max-pooling: the contribution at the first greatest element of each window.

    One axis after the other, from the last to the first: the winner of the rows' winners is the
    window's first greatest element in row-major order, and the work is the sum of the window's
    sides rather than their product. Padding never wins.
    """
    p = f.params
    is_max = f.name == "reduce_window_max"
    lowest, beats, winner = (-jnp.inf, lax.gt, lax.max) if is_max else (jnp.inf, lax.lt, lax.min)
    extent = list(
        zip(
            p["window_dimensions"],
            p["window_strides"],
            p["padding"],
            p["base_dilation"],
            p["window_dilation"],
            strict=True,
        )
    )
    pooled = [axis for axis in reversed(range(x.ndim)) if extent[axis] != (1, 1, (0, 0), 1, 1)]

    def shifts(a: jax.Array, axis: int, fill: float) -> list[jax.Array]:
        """For each place in the window along one axis what it sees, one element a window."""
        size, stride, (low, high), base, dilation = extent[axis]
        config = [(low, high, base - 1) if i == axis else (0, 0, 0) for i in range(a.ndim)]
        a = lax.pad(a, jnp.asarray(fill, a.dtype), config)
        count = (a.shape[axis] - (size - 1) * dilation - 1) // stride + 1
        starts = (place * dilation for place in range(size))
        end = (count - 1) * stride + 1
        return [lax.slice_in_dim(a, s, s + end, stride, axis) for s in starts]

    wins, best = [], x  # for each axis, for each place but the first: where it beats those before
    for axis in pooled:
        best, *others = shifts(best, axis, lowest)
        wins.append([])
        for other in others:
            wins[-1].append(beats(other, best))
            best = winner(best, other)  # NaN, where there is one

    def push(c: jax.Array) -> jax.Array:
        for axis, wins_along in zip(pooled, wins, strict=True):
            c, *others = shifts(c, axis, 0)
            for win, other in zip(wins_along, others, strict=True):
                c = jnp.where(win, other, c)
        return c

    return Frozen(best, push)


def sort(f: Equation, *x: jax.Array) -> Frozen:
    """Sorting carries each contribution to where its element goes."""
    axis = f.params["dimension"]
    place = lax.broadcasted_iota(jnp.int32, f.operands[0].shape, axis)
    *output, order = lax.sort(
        (*f.operands, place),
        dimension=axis,
        is_stable=f.params["is_stable"],
        num_keys=f.params["num_keys"],
    )

    def push(*c: jax.Array) -> list[jax.Array | None]:
        given = iter(c)
        return [
            jnp.take_along_axis(next(given), order, axis) if tracked else None
            for tracked in f.tracked
        ]

    def bias() -> list[jax.Array]:  # untracked payloads that tracked keys have put in order
        tracked = zip(output, f.tracked, strict=True)
        return [jnp.zeros_like(o) if t else o for o, t in tracked]

    return Frozen(output, push, None if all(f.tracked) else bias)


def top_k(f: Equation, x: jax.Array) -> Frozen:
    """The k greatest values, each with its own contribution; their places carry no relevance."""
    values, places = f(x)
    axis = f.params.get("axis", f.params.get("reduction_dimension", -1))
    return Frozen((values, places), lambda c: (jnp.take_along_axis(c, places, axis), None))


def running_maximum(f: Equation, x: jax.Array) -> Frozen:
    """`cummax`, `cummin`: all to the first greatest element so far."""
    beats = lax.gt if f.name == "cummax" else lax.lt

    def later(a: tuple[jax.Array, jax.Array], b: tuple[jax.Array, jax.Array]):
        wins = beats(b[0], a[0])
        return jnp.where(wins, b[0], a[0]), jnp.where(wins, b[1], a[1])

    axis = f.params["axis"]
    start = (x, lax.broadcasted_iota(jnp.int32, x.shape, axis))
    _, winner = lax.associative_scan(later, start, reverse=f.params["reverse"], axis=axis)
    return Frozen(f(x), lambda c: jnp.take_along_axis(c, winner, axis))
