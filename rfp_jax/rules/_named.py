"""The rules of layer-wise relevance propagation by their names in the field.

LRP sends relevance back through a layer `y = x w + b` by messages `R_i = Σ_j C_ij R_j`. Where C
does not depend on relevance, the same C moves fractions forward: if the fraction `p_i` of each
input's relevance belongs to a source, the fraction `p_j = Σ_i C_ij p_i` of the output's does, and
`c_j = y_j p_j` is its contribution. Each rule below is the forward map, of contributions `c = x p`
where C is proportional to x, else of fractions p; transposed, it is the backward rule. No rule is
written twice.

Denominators are kept from zero by a stabilizer: `d + sign(d) ε` with `sign(0) = 1`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rfp_jax._core.frozen import Frozen
from rfp_jax._util.trees import Given, is_traced
from rfp_jax.rules._layer import Layer, LayerRule

STABILIZER = 1e-12
"""The default ε of rules whose denominator is not an activation; raised to the dtype's own tiny."""


def stabilize(d: jax.Array, epsilon: float) -> jax.Array:
    """`d + sign(d) ε`, where 0 counts as positive; ε is at least the dtype's tiniest number."""
    epsilon = max(epsilon, float(jnp.finfo(d.dtype).tiny))
    return d + jnp.where(d < 0, -epsilon, epsilon).astype(d.dtype)


def zero() -> LayerRule:
    """LRP-0: `R_i = Σ_j x_i w_ij / y_j R_j`: contributions pass linearly (Bach et al. 2015)."""

    def rule(layer: Layer) -> Frozen:
        return Frozen(layer.output, layer.linear, lambda: layer.bias)

    return LayerRule("zero()", rule)


def epsilon(epsilon: float = 1e-6) -> LayerRule:
    """LRP-ε: `R_i = Σ_j x_i w_ij / (y_j + ε sign y_j) R_j` (Bach et al. 2015)."""

    def rule(layer: Layer) -> Frozen:
        y = layer.output
        d = stabilize(y, epsilon)

        def bias() -> jax.Array:
            return y / d * (layer.bias + (d - y))

        return Frozen(y, lambda c: y / d * layer.linear(c), bias)

    return LayerRule(f"epsilon({epsilon:g})", rule, parameters=(epsilon,))


def gamma(gamma: float = 0.25, stabilizer: float = STABILIZER) -> LayerRule:
    """LRP-γ: what speaks for y weighs more by γ, `x_i (w_ij + γ w_ij⁺)` for y > 0 and x > 0.

    Montavon et al. 2019, "Layer-wise relevance propagation: an overview"; for inputs and outputs of
    either sign Andéol et al. 2021, "Learning domain invariant representations by joint Wasserstein
    distance minimization".
    """

    def rule(layer: Layer) -> Frozen:
        x, y, b = layer.input, layer.output, layer.bias

        def agreeing(c: jax.Array) -> jax.Array:
            return layer.positive(_where(x > 0, c)) + layer.negative(_where(x < 0, c))

        def opposing(c: jax.Array) -> jax.Array:
            return layer.negative(_where(x > 0, c)) + layer.positive(_where(x < 0, c))

        def numerator(c: jax.Array) -> jax.Array:
            return layer.linear(c) + gamma * jnp.where(y > 0, agreeing(c), opposing(c))

        shift = b + gamma * jnp.where(y > 0, jnp.maximum(b, 0), jnp.minimum(b, 0))
        total = numerator(x) + shift
        d = stabilize(total, stabilizer)
        return Frozen(y, lambda c: y / d * numerator(c), lambda: y / d * (shift + (d - total)))

    return LayerRule(f"gamma({gamma:g})", rule, parameters=(gamma, stabilizer))


def alpha_beta(alpha: float = 2.0, beta: float = 1.0, stabilizer: float = STABILIZER) -> LayerRule:
    """LRP-αβ: `R_i = Σ_j (α (x_i w_ij)⁺ / z_j⁺ - β (x_i w_ij)⁻ / z_j⁻) R_j`, `α - β = 1`.

    Bach et al. 2015. `z⁺` and `z⁻` hold the positive and the negative part of the bias.
    """
    if alpha < 0 or beta < 0 or abs(alpha - beta - 1) > 1e-9:
        raise ValueError(f"alpha_beta needs alpha - beta = 1, both >= 0; got {alpha} and {beta}")

    def rule(layer: Layer) -> Frozen:
        x, y, b = layer.input, layer.output, layer.bias

        def up(c: jax.Array) -> jax.Array:
            return layer.positive(_where(x > 0, c)) + layer.negative(_where(x < 0, c))

        def down(c: jax.Array) -> jax.Array:
            return layer.negative(_where(x > 0, c)) + layer.positive(_where(x < 0, c))

        z_up, z_down = up(x) + jnp.maximum(b, 0), down(x) + jnp.minimum(b, 0)
        d_up = stabilize(z_up, stabilizer)
        d_down = -stabilize(-z_down, stabilizer) if beta else jnp.ones_like(y)

        def push(c: jax.Array) -> jax.Array:
            lower = beta * down(c) / d_down if beta else 0
            return y * (alpha * up(c) / d_up - lower)

        def bias() -> jax.Array:
            upper = alpha * (jnp.maximum(b, 0) + (d_up - z_up)) / d_up
            lower = beta * (jnp.minimum(b, 0) + (d_down - z_down)) / d_down if beta else 0
            return y * (upper - lower)

        return Frozen(y, push, bias)

    return LayerRule(f"alpha_beta({alpha:g}, {beta:g})", rule, parameters=(alpha, beta, stabilizer))


def zplus(stabilizer: float = STABILIZER) -> LayerRule:
    """z⁺: `R_i = Σ_j (x_i w_ij)⁺ / z_j⁺ R_j`, that is α = 1, β = 0 (Montavon et al. 2017)."""
    return LayerRule("zplus()", alpha_beta(1.0, 0.0, stabilizer).rule, parameters=(stabilizer,))


def flat(stabilizer: float = STABILIZER) -> LayerRule:
    """Flat: `R_i = Σ_j 1 / n_j R_j`, alike to all n_j inputs of j (Lapuschkin et al. 2019)."""

    def rule(layer: Layer) -> Frozen:
        n = layer.ones(jnp.ones_like(layer.input))
        d = stabilize(n, stabilizer)
        return Frozen(
            layer.output, lambda p: layer.ones(p) / d, lambda: (d - n) / d, in_fractions=True
        )

    return LayerRule("flat()", rule, in_fractions=True, bias="drops", parameters=(stabilizer,))


def wsquare(stabilizer: float = STABILIZER) -> LayerRule:
    """w²: `R_i = Σ_j w_ij² / (Σ_i w_ij² + b_j²) R_j` (Montavon et al. 2017; b as zennit)."""

    def rule(layer: Layer) -> Frozen:
        n = layer.square(jnp.ones_like(layer.input))
        d = stabilize(n + layer.bias**2, stabilizer)
        return Frozen(
            layer.output, lambda p: layer.square(p) / d, lambda: (d - n) / d, in_fractions=True
        )

    return LayerRule("wsquare()", rule, in_fractions=True, parameters=(stabilizer,))


def zbox(low: Given, high: Given, stabilizer: float = STABILIZER) -> LayerRule:
    """z-box: `R_i = Σ_j (x_i w_ij - l_i w_ij⁺ - h_i w_ij⁻) / Σ_i (...) R_j` for inputs in [l, h].

    Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor
    decomposition".

    Args:
        low: the least values that inputs can have, broadcastable to the layer's input.
        high: the greatest.
        stabilizer: see the module.
    """

    def rule(layer: Layer) -> Frozen:
        x = layer.input
        least, most = (jnp.broadcast_to(jnp.asarray(v, x.dtype), x.shape) for v in (low, high))

        def numerator(p: jax.Array) -> jax.Array:
            return layer.linear(x * p) - layer.positive(least * p) - layer.negative(most * p)

        n = numerator(jnp.ones_like(x))
        d = stabilize(n, stabilizer)
        return Frozen(
            layer.output, lambda p: numerator(p) / d, lambda: (d - n) / d, in_fractions=True
        )

    return LayerRule(
        "zbox(...)", rule, in_fractions=True, bias="drops", parameters=(_key(low), _key(high))
    )


def identity() -> LayerRule:
    """Identity: `R_i = R_i`, for layers whose input and output have the same shape."""

    def rule(layer: Layer) -> Frozen:
        if layer.input.shape != layer.output.shape:
            raise ValueError(
                f"identity() needs a layer of one shape, got {layer.input.shape} to "
                f"{layer.output.shape} at {layer.equation.source}"
            )
        return Frozen(layer.output, lambda p: p, in_fractions=True)

    return LayerRule("identity()", rule, in_fractions=True, bias="drops")


def _key(value: Given) -> object:
    """Return something hashable that is equal for equal bounds."""
    if is_traced(value):
        return id(value)
    array = np.asarray(value)
    return array.shape, array.tobytes()


def _where(condition: jax.Array, c: jax.Array) -> jax.Array:
    return jnp.where(condition, c, jnp.zeros_like(c))
