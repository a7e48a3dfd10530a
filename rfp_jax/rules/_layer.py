"""A layer: a linear operation with weights, with the bias and the normalization that follow it.

Rules that look at weights need all of `y = s (x w) + b`, but a program computes it in steps: the
product, then a bias, then perhaps the shift and scale of a batch norm. Each step leaves its layer
as a note on its result; the next step that only scales or shifts sees through to the layer's input
and applies the layer's rule to the longer layer, and what the shorter one had pushed is never used.
So a rule on convolution and batch norm equals the rule on the merged convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp

from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen, Rule, chained, is_chained


@dataclass(frozen=True)
class LayerRule:
    """A rule for layers with weights, with the name and parameters it was made with.

    Attributes:
        name: what messages and tables call it.
        rule: `rule(layer) -> Frozen`, to push contributions of the layer's input.
        in_fractions: whether it gives to inputs that are zero, so that fractions have to travel.
        bias: what becomes of the relevance of the layer's bias: it `absorbs` it, or the rule
            `drops` it for the inputs.
        parameters: what tells rules of one name apart.
    """

    name: str
    rule: Callable[[Layer], Frozen] = field(compare=False)
    in_fractions: bool = False
    bias: str = "absorbs"
    parameters: tuple[Hashable, ...] = ()

    def __call__(self, layer: Layer) -> Frozen:
        """Freeze a layer."""
        return self.rule(layer)


@dataclass(frozen=True, eq=False)
class Layer:
    """`y = scale * f(x, w) + shift`, where f is linear in x and in the weights w.

    Attributes:
        equation: the linear operation f, with its operands.
        rule: the rule that this layer was given.
        output: y.
        scale: what followed as a factor, or None.
        shift: what followed as a sum, or None.
    """

    equation: Equation
    rule: LayerRule
    output: jax.Array
    scale: jax.Array | None = None
    shift: jax.Array | None = None

    @property
    def input(self) -> jax.Array:
        """The activation x that enters the layer."""
        return self.equation.inputs[0].activation

    def step(self) -> Frozen:
        """The layer frozen by its rule, as a step of the equation that computed its output."""
        label = f"{self.rule.name}, bias {self.rule.bias}"
        return self.rule(self)._replace(inputs=self.equation.inputs, note=self, label=label)

    def then(self, f: Equation, y: jax.Array) -> Layer:
        """The layer with one more equation, a sum or product with a constant k."""
        (k,) = (v for v, tracked in zip(f.operands, f.tracked, strict=True) if not tracked)
        s = jnp.ones((), y.dtype) if self.scale is None else self.scale
        b = jnp.zeros((), y.dtype) if self.shift is None else self.shift
        if f.name == "mul":
            s, b = s * k, b * k
        elif f.name == "div":
            s, b = s / k, b / k
        elif f.name == "sub" and not f.tracked[0]:
            s, b = -s, k - b
        else:
            b = b - k if f.name == "sub" else b + k
        return replace(self, output=y, scale=s, shift=b)

    def apply(self, x: jax.Array, weights: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """`f(x, weights(w))`."""
        operands = list(self.equation.operands)
        at = self.equation.tracked.index(True)
        operands[at] = x
        other = next(i for i, v in enumerate(operands) if i != at and _is_number(v))
        operands[other] = weights(operands[other])
        return self.equation.bind(operands)

    def linear(self, x: jax.Array) -> jax.Array:
        """`x w`, with w the weights of the whole layer, its scale included."""
        return self._scaled(self.apply(x, lambda w: w))

    def positive(self, x: jax.Array) -> jax.Array:
        """`x w⁺`, with the weights of the whole layer, `(s w)⁺ = s⁺ w⁺ + s⁻ w⁻`."""
        return self._part(x, _positive, _negative)

    def negative(self, x: jax.Array) -> jax.Array:
        """`x w⁻`, with the weights of the whole layer, `(s w)⁻ = s⁺ w⁻ + s⁻ w⁺`."""
        return self._part(x, _negative, _positive)

    def square(self, x: jax.Array) -> jax.Array:
        """`x w²`, with the weights of the whole layer."""
        y = self.apply(x, jnp.square)
        return y if self.scale is None else y * self.scale**2

    def ones(self, x: jax.Array) -> jax.Array:
        """`x 1`: every weight is one."""
        return self.apply(x, jnp.ones_like)

    @property
    def bias(self) -> jax.Array:
        """b, of the output's shape."""
        shift = 0 if self.shift is None else self.shift
        return jnp.broadcast_to(jnp.asarray(shift, self.output.dtype), self.output.shape)

    def _scaled(self, y: jax.Array) -> jax.Array:
        return y if self.scale is None else y * self.scale

    def _part(self, x: jax.Array, same: Part, other: Part) -> jax.Array:
        y = self.apply(x, same)
        if self.scale is None:
            return y
        return y * _positive(self.scale) + self.apply(x, other) * _negative(self.scale)


Part = Callable[[jax.Array], jax.Array]


def _positive(a: jax.Array) -> jax.Array:
    return jnp.maximum(a, 0)


def _negative(a: jax.Array) -> jax.Array:
    return jnp.minimum(a, 0)


def _is_number(value: jax.Array) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.inexact)


def layered(rule: LayerRule, otherwise: Rule) -> Rule:
    """A rule for operations linear in weights; products of two tracked values keep theirs."""

    def layer(f: Equation, *x: jax.Array) -> Frozen:
        if len(x) > 1:
            return otherwise(f, *x)
        return Layer(f, rule, f(*x)).step()

    layer.__name__ = rule.name
    return layer


def diagonal(otherwise: Rule) -> Rule:
    """A rule for sums and products: with a constant, right after a layer, they belong to it."""

    def merged(f: Equation, *x: jax.Array) -> Frozen:
        layer = f.inputs[0].note if len(x) == 1 else None
        numbers = sum(map(_is_number, f.operands))
        if not isinstance(layer, Layer) or numbers != 2 or _is_quotient_of_constant(f):
            return otherwise(f, *x)
        y = f(*x)
        if y.shape != layer.output.shape:
            return otherwise(f, *x)
        return layer.then(f, y).step()

    merged.__name__ = otherwise.__name__
    return chained(merged) if is_chained(otherwise) else merged


def _is_quotient_of_constant(f: Equation) -> bool:
    return f.name == "div" and not f.tracked[0]
