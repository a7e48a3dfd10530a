r"""Softmax and its kin, in each form in which they are written.

A softmax \(p = e^u / \sum e^u\) that stands for itself (class probabilities, soft-argmax) passes by
its gradient,

$$ p_i = \sum_s p_i \bigl(c_{si} - \textstyle\sum_j p_j c_{sj}\bigr) + b_i , $$

which does not change when a number is added to all logits (Achtibat et al. 2024, "AttnLRP:
attention-aware layer-wise relevance propagation for transformers", proposition 3.1). Multiplied
with a signal it is a weight (`rfp_jax.rules._product`). `log(sum(exp(u)))` passes by its gradient
too, so that `exp(log_softmax(u))` is the same function.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rfp_jax._core import ranges
from rfp_jax._core.equation import Equation, Kind, before_conversion, producer
from rfp_jax._core.frozen import Frozen, chained
from rfp_jax._core.jaxprs import shape_of
from rfp_jax._core.primitives import MOVES
from rfp_jax._core.signatures import finite
from rfp_jax._core.value import Tracked, Value
from rfp_jax.rules._elementwise import elementwise, exponential
from rfp_jax.rules._normalizer import normalized
from rfp_jax.rules._product import product, quotient, split_product

_EXPONENTIALS = ("exp", "exp2")


class ByGradient(NamedTuple):
    """The note of what a softmax's gradient explains: its logarithm passes by the gradient, too.

    Attributes:
        factors: of what is normalized as a whole; none where it is only a part.
        axes: along which it is.
    """

    factors: Sequence[_Factor] = ()
    axes: tuple[int, ...] = ()


BY_GRADIENT = ByGradient()


@chained
def softmax_or_quotient(f: Equation, *x: jax.Array) -> Frozen:
    """`exp(u) / sum(exp(u))` by its gradient; other denominators are constants."""
    if len(x) == 2 and (factors := _factors(f.inputs[0])):
        if found := _sum_of(f.values[1], f.inputs[0]):
            return _softmax(f, factors, found)
        made = _sum(f.values[1], scaled=True)
        if made is not None and _unscaled(made.inputs[0]) is _unscaled(f.inputs[0]):
            return _softmax(f, factors, tuple(made.params["axes"]), made.inputs[0])
    if len(x) == 2 and f.kind is not Kind.FUNCTION:
        parts, own = _exponentials(f.inputs[1]), _terms(f.inputs[0], ("add", "sub"))
        if own and all(any(part is term for part in parts) for term in own):
            return _gradient(f, parts, BY_GRADIENT if len(own) == 1 else None)
    return quotient(f, *x)


@chained
def softmax_or_product(f: Equation, *x: jax.Array) -> Frozen:
    """`exp(u) * (1 / sum(exp(u)))` by its gradient; else a product."""
    return _by_reciprocal(f) or product(f, *x)


@chained
def softmax_or_split(f: Equation, *x: jax.Array) -> Frozen:
    """A softmax by its gradient; a normalizer as a constant; else half of the product to each."""
    return _by_reciprocal(f) or normalized(f, *x) or split_product(f, *x)


def _by_reciprocal(f: Equation) -> Frozen | None:
    if len(f.inputs) != 2:
        return None
    for part, other in (f.inputs, f.inputs[::-1]):
        made = producer(behind_moves(other))
        factors = _factors(part)
        if not factors or made is None or made.name != "div" or made.tracked[0]:
            continue
        if made.number(0) != 1:
            continue
        if axes := _sum_of(made.values[1], part):
            return _softmax(f, factors, axes)
        parts = _exponentials(made.values[1])
        if any(own is part for own in parts):
            return _gradient(f, parts, BY_GRADIENT)
    return None


@chained
def logarithm(f: Equation, *x: jax.Array) -> Frozen:
    """`log(sum(exp(u)))` and `log(softmax(u))` by their gradients; else of one variable."""
    total = behind_moves(f.inputs[0]) if f.inputs else None
    made = producer(total) if total is not None else None
    if made is not None and made.name == "reduce_sum":
        part = before_conversion(made.inputs[0])
        if isinstance(part, Tracked) and _is_exp(part):
            return _gradient(f, [part])
    if f.inputs and f.variable is f.inputs[0] and (parts := _exponentials(f.inputs[0])):
        return _gradient(f, parts)
    if f.inputs and _is_softmax(f.inputs[0]):
        y, p = f(*x), f.inputs[0].activation
        steep = jnp.where(p == 0, 0, 1 / jnp.where(p == 0, 1, p)).astype(y.dtype)
        return Frozen(y, lambda c: steep * c, lambda: y - (p != 0), ends_chain=True)
    return elementwise(f, *x)


@chained
def exponential_of_logits(f: Equation, x: jax.Array) -> Frozen:
    """`exp(u)`: a function of one variable; of `log_softmax(u)`, by its gradient."""
    if not _is_log_softmax(f.inputs[0]):
        return exponential(f, x)
    y = f(x)

    def bias() -> jax.Array:
        return y - y * finite(f.inputs[0].activation)

    return Frozen(y, lambda c: y * c, bias, ends_chain=True, note=BY_GRADIENT)


def attention_quotient(f: Equation, *x: jax.Array) -> Frozen | None:
    """`(exp(u) @ v) / sum(exp(u))`: half of the relevance to the values, half to the softmax.

    None if the quotient is not of this form.
    """
    if len(x) != 2 or (made := producer(behind_moves(f.inputs[0]))) is None:
        return None
    if made.name != "dot_general" or len(made.inputs) != 2:
        return None
    for weights, values in (made.inputs, made.inputs[::-1]):
        if _is_exp(weights) and (axes := _sum_of(f.values[1], weights)):
            return _attention(f, weights, values, axes)
    return None


def _attention(f: Equation, weights: Tracked, values: Tracked, axes: tuple[int, ...]) -> Frozen:
    y, e, v = f.bind(f.values), weights.activation, values.activation
    logits, greatest = _logits(weights), _greatest(e, axes)

    def push(c_u: jax.Array, c_v: jax.Array) -> jax.Array:
        c_u = _less_greatest(c_u, greatest, axes)
        by_weights = jax.jvp(lambda e: replay(f, weights, e), (e,), (e * c_u,))[1]
        by_values = jax.jvp(lambda v: replay(f, values, v), (v,), (c_v,))[1]
        return (by_weights + by_values) / 2

    return Frozen(y, push, lambda: y - push(finite(logits.activation), v), inputs=(logits, values))


class _Factor(NamedTuple):
    """A factor of a product whose logarithm passes by its gradient."""

    value: Tracked  # the logits of an exponential, or a softmax
    is_softmax: bool
    power: float
    axes: tuple[int, ...] = ()  # along which elements are multiplied

    def logarithm(self, c: jax.Array) -> jax.Array:
        """Return what a contribution to the value is of the product's logarithm."""
        if self.is_softmax:
            p = self.value.activation
            c = jnp.where(p == 0, 0, c / jnp.where(p == 0, 1, p))
        c = jnp.sum(c, self.axes) if self.axes else c
        return c if self.power == 1 else self.power * c

    def along(self, axes: tuple[int, ...]) -> Sequence[_Factor]:
        """Return the factors whose logarithm this one's is, but for a number along these axes."""
        note = self.value.note
        if not isinstance(note, ByGradient) or self.axes or note.axes != axes:
            return [self]
        return [factor._replace(power=factor.power * self.power) for factor in note.factors]


def _factors(value: Tracked, power: float = 1) -> list[_Factor]:
    """Return the exponentials and softmaxes of which a value is the product; none if of others.

    Experts multiply their probabilities, `p q / sum(p q)`; that is `softmax(log p + log q)`.
    """
    value = _unscaled(value)
    made = producer(value)
    if _is_exp(value):
        return [_Factor(_logits(value), False, power)]
    if _is_softmax(value):
        return [_Factor(value, True, power)]
    if made is None or not 0 < len(made.inputs) <= 2:
        return []
    if made.name == "reduce_prod" and (joined := producer(made.inputs[0])):
        is_joined = joined.name in ("concatenate", "stack") and all(joined.tracked)
        if is_joined and all(map(_is_softmax, joined.inputs)):
            return [_Factor(made.inputs[0], True, power, tuple(made.params["axes"]))]
    if made.name == "mul" and len(made.inputs) == 2:
        one, other = (_factors(factor, power) for factor in made.inputs)
        return [*one, *other] if one and other else []
    return [] if made.power is None else _factors(made.inputs[0], power * made.power)


def _is_softmax(value: Tracked) -> bool:
    """Return whether a value passes by the gradient of a softmax, whichever places of it."""
    return isinstance(behind_moves(value, _CHOOSING).note, ByGradient)


def _softmax(
    f: Equation,
    factors: Sequence[_Factor],
    axes: tuple[int, ...],
    summand: Tracked | None = None,
) -> Frozen:
    """`part / sum(summand)` by its gradient; some of the summands may be masked."""
    p = f.bind(f.values)
    q = p
    factors = [own for factor in factors for own in factor.along(axes)]
    note = ByGradient(factors, axes)
    if summand is not None:
        q = summand.activation / jnp.sum(summand.activation, axis=axes, keepdims=True)
        note = BY_GRADIENT
    inputs = tuple(factor.value for factor in factors)
    greatest = _greatest(q, axes)

    def push(*cs: jax.Array) -> jax.Array:
        logarithms = (factor.logarithm(c) for factor, c in zip(factors, cs, strict=True))
        c = _less_greatest(functools.reduce(jnp.add, logarithms), greatest, axes)
        return p * (c - jnp.sum(q * c, axes, keepdims=True))

    def bias() -> jax.Array:
        return p - push(*(finite(value.activation) for value in inputs))

    return Frozen(p, push, bias, inputs=inputs, note=note)


def _greatest(q: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Return 1 at the greatest of numbers along axes and 0 elsewhere; equal ones share the 1."""
    is_greatest = (q == jnp.max(q, axes, keepdims=True)).astype(q.dtype)
    return is_greatest / jnp.sum(is_greatest, axes, keepdims=True)


def _less_greatest(c: jax.Array, greatest: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Return contributions to logits less that to the greatest, which does not change a softmax.

    Beside a probability of 1 their differences would otherwise be rounding errors of the whole.
    """
    less = c - jnp.sum(greatest * c, axes, keepdims=True)
    return jnp.where(greatest == 1, 0, less)


def _gradient(f: Equation, exponentials: Sequence[Tracked], note: object = None) -> Frozen:
    """A function of sums of exponentials, by its gradient with respect to their logits."""
    y, logits = f.bind(f.values), tuple(map(_logits, exponentials))

    def push(*c: jax.Array) -> jax.Array:
        terms = [
            jax.jvp(lambda e, p=part: replay(f, p, e), (part.activation,), (part.activation * ci,))
            for part, ci in zip(exponentials, c, strict=True)
        ]
        return functools.reduce(jnp.add, (tangent for _, tangent in terms))

    return Frozen(
        y, push, lambda: y - push(*(finite(u.activation) for u in logits)), inputs=logits, note=note
    )


def _exponentials(total: Value) -> list[Tracked]:
    """Return the exponentials of several values that add up to one; none if there are others."""
    found = _terms(total, ("add",))
    return found if len(found) > 1 else []


def _terms(total: Value, sums: Sequence[str]) -> list[Tracked]:
    """Return the exponentials of which a value is made by sums; none if there are others."""
    found, waiting = [], [total]
    while waiting:
        value = waiting.pop()
        value = behind_moves(value) if isinstance(value, Tracked) else value
        if not isinstance(value, Tracked):
            return []  # `1 + exp(u)`
        if (made := producer(value)) is not None and made.name in sums:
            waiting.extend(made.values)
        elif _is_exp(value):
            found.append(value)
        else:
            return []
    return found


def _is_exp(value: Value) -> bool:
    made = producer(_unscaled(value)) if isinstance(value, Tracked) else None
    return made is not None and made.name in _EXPONENTIALS and len(made.inputs) == 1


def _unscaled(value: Tracked) -> Tracked:
    """Return what was multiplied with a constant, or masked: `w exp(u)` is `exp(u + log w)`."""
    while (made := producer(value)) is not None and len(made.inputs) == 1:
        inner = made.inputs[0]
        both = zip(made.values[1:], ranges.operand_intervals(made)[1:], strict=True)
        masks = made.name == "select_n" and all(own == (0, 0) for v, own in both if v is not inner)
        scales = made.name == "mul" or (made.name == "div" and made.tracked[0])
        if not (masks or scales) or inner.activation.shape != value.activation.shape:
            break
        value = inner
    return value


def _logits(exponentials: Tracked) -> Tracked:
    made = producer(_unscaled(exponentials))
    assert made is not None
    return made.inputs[0]


def behind_moves(value: Tracked, also: frozenset[str] = frozenset()) -> Tracked:
    """Return the value that was reshaped, spread or converted."""
    between = _BETWEEN_SUM | also
    while (made := producer(value)) and made.name in between and made.inputs:
        value = made.inputs[0]
    return value


_CHOOSING = frozenset("gather dynamic_slice".split())
"""Places of a softmax are chosen, such as the label's."""


_BETWEEN_SUM = MOVES | {"abs"}
"""Operations that may stand behind a sum of exponentials: `logsumexp` takes its absolute value."""


def _sum(total: Value, *, scaled: bool = False) -> Equation | None:
    """Return the equation that made a sum along axes, before it was moved or scaled, or None."""
    if not isinstance(total, Tracked):
        return None
    value = behind_moves(total)
    while scaled and (inner := behind_moves(_unscaled(value))) is not value:
        value = inner
    made = producer(value)
    return made if made is not None and made.name == "reduce_sum" and made.inputs else None


def _sum_of(total: Value, part: Tracked) -> tuple[int, ...]:
    """Return the axes of `part` of which `total` is the sum, also after moves; () if it is not."""
    made = _sum(total)
    if made is None or before_conversion(made.values[0]) is not part:
        return ()
    return tuple(made.params["axes"])


def _is_log_softmax(value: Tracked) -> bool:
    """Recognize `u - log(sum(exp(u)))`."""
    made = producer(value)
    if made is None or made.name != "sub" or len(made.inputs) != 2:
        return False
    shifted = behind_moves(made.inputs[1])
    if (sum_ := producer(shifted)) and sum_.name == "add" and len(sum_.inputs) == 1:
        shifted = behind_moves(sum_.inputs[0])  # logsumexp adds the greatest logit again
    log = producer(shifted)
    if log is None or log.name != "log" or not log.inputs:
        return False
    if _exponentials(log.inputs[0]):
        return True
    total = producer(behind_moves(log.inputs[0]))
    return (
        total is not None
        and total.name == "reduce_sum"
        and _is_exp(before_conversion(total.values[0]))
    )


def replay(f: Equation, variable: Tracked, x: jax.Array) -> jax.Array:
    """Return an equation's result with another activation of a value that leads to it.

    Between the two stand sums, products and moves alone, so the search goes no further than these.
    """
    values: dict[int, jax.Array] = {id(variable): x}

    def visit(value: Tracked) -> None:
        made = producer(value)
        if id(value) in values or made is None or made.name not in _BETWEEN:
            return
        for operand in made.inputs:
            visit(operand)
        if any(id(operand) in values for operand in made.inputs):
            values[id(value)] = made.at(values)

    for operand in f.inputs:
        visit(operand)
    return jnp.broadcast_to(f.at(values), shape_of(f.eqn.outvars[0]))


_BETWEEN = _BETWEEN_SUM | {"reduce_sum", "dot_general", "mul", "add", "sub", "div"}
