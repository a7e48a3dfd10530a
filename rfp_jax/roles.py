"""What an equation's form says about it, before any rule: elementwise or not, gate or signal."""

from __future__ import annotations

from rfp_jax.equation import Equation

ELEMENTWISE = frozenset(
    """add add_any sub mul div max min neg abs square pow integer_pow select_n clamp copy
    convert_element_type exp exp2 expm1 log1p sqrt cbrt sin cos tan asin acos atan sinh cosh tanh
    asinh acosh atanh logistic erf erfc erf_inv floor ceil round sign one_minus_square
    polynomial""".split()
)
"""Primitives whose result depends, element by element, on the same place of the operands."""

PLACEMENTS = frozenset(
    """reshape squeeze transpose rev broadcast_in_dim broadcast_to slice dynamic_slice gather split
    unstack tile concatenate stack pad select_n dynamic_update_slice scatter convert_element_type
    reduce_precision copy copy_p name device_put sharding_constraint layout_constraint reshard
    optimization_barrier relayout all_gather all_gather_invariant all_to_all ppermute pvary
    pbroadcast reduce_max reduce_min reduce_window_max reduce_window_min cummax cummin sort
    top_k""".split()
)
"""Primitives each element of whose result is one element of an operand."""

_BOUNDED = frozenset({"logistic", "exp", "exp2", "clamp"})
_OTHER_SIDE = {"min": "max", "max": "min"}
LAYERS = frozenset({"dot_general", "conv_general_dilated", "ragged_dot_general"})
"""Primitives that mix elements by weights."""


def is_gate(equation: Equation) -> bool:
    """Whether the result is a weight rather than a signal.

    Gates are sigmoids, also the hard ones (`clip(x, a, b)`), and exponentials, which a softmax
    divides by their sum; and what is computed from gates alone, up to the next layer with weights
    of its own.
    """
    name = equation.name
    if name in _BOUNDED:
        return True
    if name in _OTHER_SIDE and len(equation.pairs) == 1:
        recipe = equation.pairs[0].recipe
        if recipe and recipe.name == _OTHER_SIDE[name] and len(recipe.pairs) == 1:
            return True
    return name not in LAYERS and all(pair.gate for pair in equation.pairs)
