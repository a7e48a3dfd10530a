"""The default preset: LRP-0, which for ReLU networks is the paper's relevance forward propagation.

The whole preset is the table below: every primitive of JAX has one line in it.
"""

from __future__ import annotations

from rfp_jax._core.frozen import Rule, constant, linear
from rfp_jax.rules._additive import affine, derivative, gather
from rfp_jax.rules._elementwise import elementwise, magnitude, polynomial, power
from rfp_jax.rules._joined import weighted
from rfp_jax.rules._mean import mean_or_product, mean_or_quotient
from rfp_jax.rules._polynomial import polynomial_first
from rfp_jax.rules._product import reduce_product, running_product, select, signal
from rfp_jax.rules._refuse import remainder, solve, special, unsupported
from rfp_jax.rules._scatter import scatter_product, scatter_winner
from rfp_jax.rules._softmax import (
    exponential_of_logits,
    logarithm,
)
from rfp_jax.rules._winner import (
    clamp,
    max_pool,
    maximum,
    reduce_maximum,
    running_maximum,
    sort,
    top_k,
)


def _each(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


TABLE: dict[str, Rule] = {
    # Linear in what depends on a source, and nothing is added: kept as they are.
    **_each(
        linear,
        """neg real imag conj convert_element_type reduce_precision copy
        reshape squeeze transpose rev broadcast_in_dim broadcast_to slice dynamic_slice split
        unstack tile reduce_sum reduce_window_sum cumsum fft
        sharding_constraint layout_constraint reshard relayout
        with_memory_space_constraint psum psum_invariant all_gather all_gather_invariant all_to_all
        ragged_all_to_all ppermute reduce_scatter pvary pbroadcast reduced_vary_cast
        linear_call""",
    ),
    # Sums, choices and placements: linear, and what depends on no source is the bias.
    **_each(polynomial_first(affine), "add add_any sub"),
    **_each(
        affine,
        """concatenate stack pad complex dynamic_update_slice scatter-add
        scatter-sub device_put optimization_barrier""",
    ),
    "gather": gather,
    **_each(derivative, "scatter name"),
    "select_n": polynomial_first(select),
    "square": polynomial_first(elementwise),
    # One variable, element by element.
    **_each(
        elementwise,
        """expm1 log1p log2 sqrt rsqrt cbrt sin cos tan asin acos atan sinh cosh tanh asinh
        acosh atanh logistic erf erfc erf_inv lgamma digamma floor ceil round sign bessel_i0e
        bessel_i1e one_minus_square""",
    ),
    **_each(exponential_of_logits, "exp exp2"),
    "log": logarithm,
    "polynomial": polynomial,
    "abs": magnitude,
    **_each(polynomial_first(power), "integer_pow pow"),
    **_each(special, "igamma igammac regularized_incomplete_beta"),
    # Products and quotients.
    "mul": polynomial_first(mean_or_product),
    "div": polynomial_first(mean_or_quotient),
    **_each(weighted, "dot_general conv_general_dilated ragged_dot_general"),
    # With a sparse matrix; of both operands each may depend on a source.
    **_each(
        signal,
        "bcoo_dot_general bcsr_dot_general coo_matvec coo_matmat csr_matvec csr_matmat",
    ),
    "scatter-mul": scatter_product,
    "reduce_prod": reduce_product,
    "cumprod": running_product,
    # The winner takes all.
    **_each(maximum, "max min"),
    "clamp": clamp,
    **_each(reduce_maximum, "reduce_max reduce_min"),
    **_each(max_pool, "reduce_window_max reduce_window_min"),
    **_each(running_maximum, "cummax cummin"),
    **_each(scatter_winner, "scatter-max scatter-min"),
    "sort": sort,
    **_each(top_k, "top_k approx_top_k"),
    # No relevance passes: steps, side effects, functions of two variables without a share.
    **_each(
        constant,
        """polygamma zeta cumlogsumexp stop_gradient nextafter
        argmax argmin eq ne lt le gt ge eq_to lt_to le_to is_finite not and or xor
        reduce_and reduce_or reduce_xor population_count clz shift_left shift_right_arithmetic
        shift_right_logical bitcast_convert_type debug_callback debug_print zeros_like dce_sink""",
    ),
    # Linear in one operand only.
    "rem": remainder,
    **_each(solve, "triangular_solve tridiagonal_solve custom_linear_solve"),
    # Refused, each with its reason.
    **_each(
        unsupported("how the entries of a matrix share in its factors is not defined"),
        """cholesky cholesky_update eig eigh hessenberg householder_product lu
        qr geqrf geqp3 ormqr schur svd tridiagonal symmetric_product""",
    ),
    **_each(
        unsupported("an angle has no sum of its two sides (it is homogeneous of degree 0)"), "atan2"
    ),
    **_each(
        unsupported("which of several devices has the greatest value is not followed"), "pmax pmin"
    ),
    **_each(
        unsupported("made by differentiation: explain the function, not its gradient"),
        "custom_lin select_and_gather_add select_and_scatter select_and_scatter_add",
    ),
    **_each(
        unsupported("random numbers have no share in their parameters"), "rng_uniform random_gamma"
    ),
    **_each(unsupported("how scales and values share is not defined"), "scaled_dot"),
    **_each(
        unsupported("what an opaque operation of JAX computes cannot be seen"), "call_hi_primitive"
    ),
    **_each(
        unsupported("a derivative of special functions that JAX cannot differentiate further"),
        "igamma_grad_a random_gamma_grad",
    ),
    **_each(
        unsupported("the reducing function is not known to be a sum or a maximum"),
        "reduce reduce_window scatter_apply",
    ),
    **_each(
        unsupported("the value leaves JAX: what happens to it cannot be seen"),
        "pure_callback io_callback ffi_call call_exported stage",
    ),
    **_each(
        unsupported("it writes to mutable memory, through which contributions are not followed"),
        "get swap addupdate new_ref freeze run_state empty_ref free_ref core_map",
    ),
}
