r"""Products and quotients of values that both depend on a source.

A weight (a gate, a softmax's weights, a normalizer) times a signal: the weight is a constant, the
signal carries all relevance. LSTM gates: Arras et al. 2017, "Explaining recurrent neural network
predictions in sentiment analysis", section 3.2. Attention weights on values: the value path of Ali
et al. 2022, "XAI for Transformers: better explanations through conservative propagation", section
4.

Two signals share their product as a polynomial (`rfp_jax.rules._polynomial`).
"""

from __future__ import annotations

import math

import jax

from rfp_jax._core.equation import Equation, Kind
from rfp_jax._core.frozen import Frozen, chained, linear
from rfp_jax.rules._additive import affine
from rfp_jax.rules._elementwise import elementwise
from rfp_jax.rules._polynomial import aumann_shapley, by_factors, product_of_parts, signals


def equal_split(f: Equation, *x: jax.Array) -> Frozen:
    """`f(x, y)`, linear in each: half of the relevance to each, `(f(c_x, y) + f(x, c_y)) / 2`.

    A function homogeneous of degree d has `x ∇f = d f` (Euler), so `∇f / d` conserves.
    """
    degree = len(x)

    def push(*c: jax.Array) -> jax.Array:
        return jax.jvp(f, x, c)[1] / degree

    return Frozen(f(*x), push)


@chained
def split_product(f: Equation, *x: jax.Array) -> Frozen:
    """Half each, gates too; but `x * g(x)` stays one function of x."""
    return elementwise(f, *x) if f.kind is Kind.FUNCTION else equal_split(f, *x)


def split_reduce_product(f: Equation, x: jax.Array) -> Frozen:
    """The product of n elements along some axes: an n-th of the relevance to each."""
    degree = math.prod(x.shape[axis] for axis in f.params["axes"])
    return Frozen(f(x), lambda c: jax.jvp(f, (x,), (c,))[1] / max(degree, 1))


@chained
def signal(f: Equation, *x: jax.Array) -> Frozen:
    """A weight times a signal is linear in the signal; two signals share their product."""
    if len(x) < 2:
        return linear(f, *x)
    passing = signals(f.inputs)
    if len(passing) != 1:
        return by_factors(f)
    place = f.inputs.index(passing[0])

    def push(c: jax.Array) -> jax.Array:
        return f(*(c if i == place else xi for i, xi in enumerate(x)))

    return Frozen(f(*x), push, inputs=(f.inputs[place],))


@chained
def product(f: Equation, *x: jax.Array) -> Frozen:
    """`x * y` elementwise: one function where both come from one variable, else weight and signal.

    So `x * sigmoid(x)` written out is SiLU, wherever `jax.jit` stands in it.
    """
    return elementwise(f, *x) if f.kind is Kind.FUNCTION else signal(f, *x)


@chained
def quotient(f: Equation, *x: jax.Array) -> Frozen:
    """`x / d`: the denominator is a constant, the numerator carries all relevance."""
    numerator, denominator = f.tracked
    if f.kind is Kind.FUNCTION or not numerator:
        return elementwise(f, *x)
    if not denominator:
        return linear(f, *x)
    return Frozen(f(*x), lambda c: f(c, x[1]), inputs=f.inputs[:1])


@chained
def select(f: Equation, *x: jax.Array) -> Frozen:
    """`where(condition, g(x), h(x))`: each contribution follows its case, the condition is frozen.

    A function of one variable defined piece by piece is one function: softplus is computed so.
    """
    return elementwise(f, *x) if f.kind is Kind.FUNCTION else affine(f, *x)


def reduce_product(f: Equation, x: jax.Array) -> Frozen:
    """The product of the elements along some axes, shared as a product of signals."""
    if (parts := product_of_parts(f)) is not None:
        return parts
    degree = math.prod(x.shape[axis] for axis in f.params["axes"])
    return aumann_shapley(f, f.inputs, degree, f) if degree else Frozen(f(x))


def running_product(f: Equation, x: jax.Array) -> Frozen:
    """`cumprod`: its k-th element is a product of k + 1 elements."""
    return aumann_shapley(f, f.inputs, max(x.shape[f.params["axis"]], 1), f)
