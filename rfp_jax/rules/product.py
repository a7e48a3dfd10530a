"""Products and quotients of values that both depend on a source."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rfp_jax.equation import Equation
from rfp_jax.rules.additive import affine
from rfp_jax.rules.affine import Affine, constant, linear
from rfp_jax.rules.elementwise import one_variable


def uniform(f: Equation, *x: jax.Array) -> Affine:
    """`f(x, y)`, linear in each: half of the relevance to each, `(f(c_x, y) + f(x, c_y)) / 2`.

    A function homogeneous of degree d has `x ∇f = d f` (Euler), so `∇f / d` conserves.
    """
    degree = len(x)

    def push(*c: jax.Array) -> jax.Array:
        return jax.jvp(f, x, c)[1] / degree

    return Affine(f(*x), push)


def signal(f: Equation, *x: jax.Array) -> Affine:
    """A gate times a signal: the gate is a constant, the signal carries all relevance.

    LSTM gates: Arras et al. 2017, "Explaining recurrent neural network predictions in sentiment
    analysis", section 3.2. Attention weights on values: the value path of Ali et al. 2022, "XAI for
    Transformers: better explanations through conservative propagation", section 4.
    Two gates, or two signals, share alike.
    """
    if len(x) == 2 and sum(pair.gate for pair in f.pairs) == 1:
        carries = [float(not pair.gate) for pair in f.pairs]

        def push(*c: jax.Array) -> jax.Array:
            factors = [ci if carry else xi for carry, ci, xi in zip(carries, c, x, strict=True)]
            return f(*factors)

        return Affine(f(*x), push)
    return uniform(f, *x) if len(x) == 2 else linear(f, *x)


def product(f: Equation, *x: jax.Array) -> Affine:
    """`x * y` elementwise: one function where both come from one variable, else gate and signal.

    So `x * sigmoid(x)` written out is SiLU, wherever `jax.jit` stands in it.
    """
    if len(x) == 2 and f.dominator is not None:
        return one_variable(f, f.dominator)
    return signal(f, *x)


def quotient(f: Equation, *x: jax.Array) -> Affine:
    """`x / d`: the denominator is a constant, the numerator carries all relevance."""
    if len(x) == 2 and f.dominator is not None:
        return one_variable(f, f.dominator)
    numerator, denominator = f.tracked
    if not numerator:
        return constant(f, *x)
    if not denominator:
        return linear(f, *x)
    return Affine(f(*x), lambda c, _: f(c, x[1]))


def select(f: Equation, *x: jax.Array) -> Affine:
    """`where(condition, g(x), h(x))`: each contribution follows its case, the condition is frozen.

    A function of one variable defined piece by piece is one function, where the pieces do more than
    scale: softplus is computed so.
    """
    if len(x) > 1 and f.dominator is not None and f.shifts_since(f.dominator):
        return one_variable(f, f.dominator)
    return affine(f, *x)


def reduce_product(f: Equation, x: jax.Array) -> Affine:
    """The product of n elements along some axes: an n-th of the relevance to each (`uniform`)."""
    degree = 1
    for axis in f.params["axes"]:
        degree *= x.shape[axis]
    return Affine(f(x), lambda c: jax.jvp(f, (x,), (c,))[1] / degree)


def running_product(f: Equation, x: jax.Array) -> Affine:
    """`cumprod`: its k-th element is a product of k + 1 elements, each with an equal share."""
    axis = f.params["axis"]
    length = x.shape[axis]
    counts = jnp.arange(length, 0, -1) if f.params["reverse"] else jnp.arange(1, length + 1)
    degree = counts.astype(x.dtype).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return Affine(f(x), lambda c: jax.jvp(f, (x,), (c,))[1] / degree)
