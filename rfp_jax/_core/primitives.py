"""Families of JAX's primitives, by what they do to elements, before any rule."""

from __future__ import annotations

ELEMENTWISE = frozenset(
    """add add_any sub mul div max min neg abs square pow integer_pow select_n clamp copy
    convert_element_type reduce_precision exp exp2 expm1 log log2 log1p rsqrt sqrt cbrt sin cos tan
    asin acos atan sinh cosh tanh asinh acosh atanh logistic erf erfc erf_inv lgamma digamma
    floor ceil round sign one_minus_square polynomial eq ne lt le gt ge is_finite not and or xor
    bessel_i0e bessel_i1e""".split()
)
"""The result depends, element by element, on the same place of the operands."""

LINEAR_STEPS = frozenset("add add_any sub neg copy convert_element_type reduce_precision".split())
"""Elementwise and linear, whichever operands depend on a source; `mul`, `div` are so by one."""

SINGULAR = frozenset("log log2 rsqrt acosh lgamma digamma".split())
"""Elementwise, and may have no finite value at 0; so may `div`, `pow` and `integer_pow`."""

PLACEMENTS = frozenset(
    """reshape squeeze transpose rev broadcast_in_dim broadcast_to slice dynamic_slice gather split
    unstack tile concatenate stack pad select_n dynamic_update_slice scatter convert_element_type
    reduce_precision copy copy_p name device_put sharding_constraint layout_constraint reshard
    optimization_barrier relayout all_gather all_gather_invariant all_to_all ppermute pvary
    pbroadcast reduce_max reduce_min reduce_window_max reduce_window_min cummax cummin sort
    top_k""".split()
)
"""Each element of the result is one element of an operand."""

MOVES = frozenset(
    """reshape squeeze transpose rev broadcast_in_dim broadcast_to slice copy copy_p name
    convert_element_type reduce_precision""".split()
)
"""Placements of one operand that choose by shape alone."""

LAYERS = frozenset({"dot_general", "conv_general_dilated", "ragged_dot_general"})
"""Elements are mixed by weights."""
