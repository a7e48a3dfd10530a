r"""Weighted means that divide after the product, or before it the values.

In \(y = \sum_j g_j v_j / \sum_j g_j\) with \(g_j \ge 0\) by construction the values carry all
relevance, as in \(\sum_j (g_j / \sum_i g_i)\, v_j\), where the parts of the sum are weights
(`rfp_jax.rules._product`). So they do in each of its terms, \(g_j v_j / \sum_i g_i\).
"""

from __future__ import annotations

from collections.abc import Sequence

import jax

from rfp_jax._core import ranges
from rfp_jax._core.equation import Equation, producer
from rfp_jax._core.frozen import Frozen, chained
from rfp_jax._core.value import Tracked
from rfp_jax.rules._softmax import (
    behind_moves,
    replay,
    softmax_or_product,
    softmax_or_quotient,
)


@chained
def mean_or_quotient(f: Equation, *x: jax.Array) -> Frozen:
    """`(g @ v) / sum(g)` as a weighted mean of v; else a softmax or a quotient."""
    if len(f.inputs) == 2 and (frozen := _mean(f, *f.inputs)):
        return frozen
    return softmax_or_quotient(f, *x)


@chained
def mean_or_product(f: Equation, *x: jax.Array) -> Frozen:
    """`(g @ v) * (1 / sum(g))`, `g * (v / sum(g))` by the values v; else a softmax or a product."""
    for product, other in (f.inputs, f.inputs[::-1]) if len(f.inputs) == 2 else ():
        made = producer(behind_moves(other))
        if made is None or made.name != "div" or not made.tracked[1]:
            continue
        if not made.tracked[0]:
            frozen = _mean(f, product, made.inputs[0])
        else:
            frozen = _by_values(f, other) if _is_part(product, made.inputs[1], other) else None
        if frozen is not None:
            return frozen
    return softmax_or_product(f, *x)


def _mean(f: Equation, product: Tracked, total: Tracked) -> Frozen | None:
    """Explain an equation by the values of a weighted mean, or return None if it is none."""
    made = producer(behind_moves(product))
    if made is None:
        return None
    axes = tuple(made.params["axes"]) if made.name == "reduce_sum" else ()
    if axes and (made := producer(behind_moves(made.inputs[0]))) is None:
        return None
    if len(made.inputs) != 2 or not (
        made.name == "mul" or (made.name == "dot_general" and not axes)
    ):
        return None
    for place, (weights, values) in enumerate((made.inputs, made.inputs[::-1])):
        summed = made.params["dimension_numbers"][0][place] if made.name == "dot_general" else axes
        if _is_part(weights, total, values, summed):
            return _by_values(f, values)
    return None


def _is_part(weights: Tracked, total: Tracked, values: Tracked, axes: Sequence[int] = ()) -> bool:
    """Return whether a total is the sum of weights, over these axes or any, and values a signal."""
    own, found = weights.facts, set(ranges.summed_axes(total, weights))
    is_sum = found == set(axes) if axes else bool(found)
    return is_sum and own.interval[0] >= 0 and not own.is_weight and not values.facts.is_weight


def _by_values(f: Equation, values: Tracked) -> Frozen:
    def push(c: jax.Array) -> jax.Array:
        return jax.jvp(lambda v: replay(f, values, v), (values.activation,), (c,))[1]

    return Frozen(f.bind(f.values), push, inputs=(values,))
