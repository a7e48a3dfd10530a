"""Facts about an equation's results; which of them are weights.

A weight decides how much of a signal passes: a gate (in [0, 1] by construction), the weights of a
softmax, a normalizer, the root of a mean of squares, any function of one variable that is positive
by construction (exp, softplus) and no polynomial. Multiplied with a signal it counts as a constant;
standing for itself it is a function like any other.
"""

from __future__ import annotations

from rfp_jax._core import ranges
from rfp_jax._core.equation import Equation, Kind, producer
from rfp_jax._core.primitives import LAYERS, MOVES, PLACEMENTS
from rfp_jax._core.value import Facts, Stopped, Tracked, Value, facts_of

TOLERANCE = 1e-5
"""The most by which rounding may take sums of fixed weights from 1."""


def facts(equation: Equation) -> Facts:
    """Return what an equation's form says about its results."""
    found = [f for value in equation.values if (f := facts_of(value)) is not None]
    interval = ranges.result_interval(equation)
    return Facts(
        interval=interval,
        is_weight=_is_weight(equation, interval),
        after_layer=equation.name in LAYERS or any(f.after_layer for f in found),
        sources=frozenset[int]().union(*(f.sources for f in found)),
        steered_by=frozenset[int]().union(*(f.steered_by for f in found)),
    )


def _is_weight(equation: Equation, interval: ranges.Interval) -> bool:
    low, high = interval
    if low >= 0 and (_is_positive_function(equation) or _is_power_of_constant(equation)):
        return True
    if _is_normalizer(equation) or _is_root_of_squares(equation):
        return True
    weights = [value.facts.is_weight for value in equation.inputs]
    if all(weights) and equation.name in _SCALING:
        return True
    if low < 0 or not weights:
        return False
    is_mask = equation.name == "select_n" and not isinstance(equation.values[0], Tracked | Stopped)
    is_curve = equation.kind is Kind.FUNCTION and not (equation.is_polynomial or is_mask)
    is_gate = high <= 1 + TOLERANCE
    if all(weights) and equation.name in _KEEPING and (is_gate or not is_curve):
        return True
    return is_gate and equation.name not in LAYERS and not _is_choice(equation)


_KEEPING = (PLACEMENTS | MOVES | LAYERS) | frozenset(
    """add add_any sub mul div max min clamp select_n concatenate stack pad gather dynamic_slice
    dynamic_update_slice scatter scatter-add reduce_sum reduce_max reduce_min reduce_window_sum
    reduce_window_max cumsum sort top_k square integer_pow pow sqrt""".split()
)
"""Weights stay weights, as long as the result is not negative by construction."""

_SCALING = MOVES | frozenset(
    "mul div neg reduce_sum reduce_prod gather scatter scatter-add dynamic_update_slice".split()
)
"""Weights stay weights, whatever the sign of the constant that they are multiplied with."""


def _is_choice(equation: Equation) -> bool:
    """Return whether the result only hands on elements: it is a weight if they are."""
    return equation.name in PLACEMENTS


def _is_positive_function(equation: Equation) -> bool:
    """Return whether the result is a function of one variable, no polynomial, and positive at 0.

    Its range is not negative. A function that vanishes at 0 (a root, a magnitude) is a signal.
    """
    if equation.variable is None:
        return equation.name in _POSITIVE  # of an operand that is spread over the result
    if equation.is_polynomial:
        return False
    return ranges.result_interval(equation)[0] > 0 or ranges.at_zero(equation)[0] > 0


_POSITIVE = frozenset("logistic exp exp2".split())


def _is_power_of_constant(equation: Equation) -> bool:
    """Recognize `2 ** x`."""
    return equation.name == "pow" and not isinstance(equation.values[0], Tracked)


def _is_normalizer(equation: Equation) -> bool:
    """Recognize `rsqrt(x)`, `1 / x` and `x ** -n`."""
    if equation.name == "div":
        return not equation.tracked[0]
    return equation.power is not None and equation.power < 0


def is_scale(value: Value) -> bool:
    """Return whether a value is the inverse of a sum or of its root, the scale of a norm."""
    while isinstance(value, Tracked) and (made := producer(value)) is not None:
        if _is_normalizer(made):
            return _is_of_sum(made)
        if made.name not in _SCALED or len(made.inputs) != 1:
            return False
        value = made.inputs[0]
    return False


_SCALED = MOVES | {"mul", "div", "neg"}
_BETWEEN = MOVES | {"add", "mul", "div", "max", "sub", "select_n"}


def _is_root_of_squares(equation: Equation) -> bool:
    """Recognize `sqrt` of a sum or mean of squares: a scale."""
    return equation.power == 0.5 and _is_of_sum(equation)


def _is_of_sum(equation: Equation) -> bool:
    """Return whether an equation is of a sum of what is not negative, or of its root.

    The sum may be moved, scaled and shifted.
    """
    waiting: list[Value] = list(equation.inputs)
    while waiting:
        value = waiting.pop()
        made = producer(value) if isinstance(value, Tracked) else None
        if made is None:
            continue
        if made.name == "reduce_sum":
            return isinstance(value, Tracked) and value.facts.interval[0] >= 0
        if made.name in _BETWEEN or made.power == 0.5:
            waiting.extend(made.inputs)
    return False
