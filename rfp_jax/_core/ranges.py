"""The range in which a value lies by construction, by interval arithmetic."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from rfp_jax._core.equation import Equation, Member, before_conversion, producer
from rfp_jax._core.known import is_known
from rfp_jax._core.primitives import LAYERS, MOVES
from rfp_jax._core.signatures import is_symbolic
from rfp_jax._core.value import UNBOUNDED, Stopped, Tracked, Value

Interval = tuple[float, float]
INF = float("inf")

_SMALL = 4096
"""Constants up to this size are looked through for their least and greatest element."""


def interval(value: Value) -> Interval:
    """Return the range of a value; of a small known constant its least and greatest element."""
    if isinstance(value, Tracked | Stopped):
        return value.facts.interval
    if value.dtype == bool:
        return 0.0, 1.0
    if not is_known(value) or not 0 < value.size <= _SMALL or jnp.iscomplexobj(value):
        return UNBOUNDED
    low, high = float(value.min()), float(value.max())
    return UNBOUNDED if math.isnan(low) or math.isnan(high) else (low, high)


# --- the range of a result, by the primitive


_MOST_EQUATIONS = 64


def at_zero(equation: Equation) -> Interval:
    """Return the range of a function of one variable at 0, as far as its form says it."""
    return _over(equation, equation.variable, (0.0, 0.0))


def is_finite_at_zero(equation: Equation) -> bool:
    """Return whether a function of one variable, and all that it is made of, is finite at 0."""
    if equation.variable is None:
        return False
    found = _ranges_over(equation, equation.variable, (0.0, 0.0))
    return all(math.isfinite(end) for interval in found for end in interval)


def vanishes(equation: Equation) -> bool:
    """Return whether an equation is a function of one variable that is known to be 0 at 0."""
    return is_finite_at_zero(equation) and at_zero(equation) == (0, 0)


def _over(equation: Equation, variable: Tracked | None, piece: Interval) -> Interval:
    """Return the range of a result where a value that it is made of lies in a piece."""
    return _ranges_over(equation, variable, piece)[-1]


def _ranges_over(
    equation: Equation, variable: Tracked | None, piece: Interval
) -> Sequence[Interval]:
    """Return the ranges of all that a result is made of, in the order of the program, its last."""
    known: dict[int, Interval] = {id(variable): piece}

    def ranged(made: Equation) -> Interval:
        own = zip(made.values, operand_intervals(made), strict=True)
        return _by_table(made, [known.get(id(value)) or given for value, given in own])

    waiting: list[Member] = list(equation.members)
    while waiting:
        made = producer(waiting[-1])
        if id(waiting[-1]) in known or made is None:
            waiting.pop()
            continue
        missing = [m for m in made.members if id(m) not in known and producer(m)]
        waiting.extend(missing)
        if not missing:
            known[id(waiting.pop())] = ranged(made)
        if len(known) + len(waiting) > _MOST_EQUATIONS:
            return [UNBOUNDED]
    return [*known.values(), ranged(equation)]


def result_interval(equation: Equation) -> Interval:
    """Return the range of an equation's result."""
    if any(np.iscomplexobj(operand) for operand in equation.operands):
        return (0.0, INF) if equation.name == "abs" else UNBOUNDED
    if equation.name in LAYERS:
        return _layer_interval(equation)
    if equation.name == "div" and _is_normalized(equation):
        return (0.0, 1.0)
    found, variable = _by_table(equation, operand_intervals(equation)), _chooser(equation)
    return found if variable is None else _piece_by_piece(equation, variable, found)


def _chooser(equation: Equation) -> Tracked | None:
    """Return the value by whose sign a result may be chosen, as in `where(x > 0, x, 0)`."""
    if equation.name in ("max", "min") and len(equation.inputs) > 1:
        return equation.variable
    if equation.name not in ("select_n", "mul"):
        return None
    made = (producer(m) for m in equation.members if isinstance(m, Tracked))
    is_chosen = any(isinstance(m, Stopped) for m in equation.members)
    if not is_chosen and not any(f is not None and f.name == "sign" for f in made):
        return None
    if equation.variable is None and len(equation.inputs) == 1:
        return next(iter(equation.inputs))
    return equation.variable


_PIECES = ((-INF, -sys.float_info.min), (0.0, 0.0), (sys.float_info.min, INF))


def _piece_by_piece(equation: Equation, variable: Tracked, found: Interval) -> Interval:
    """Bound a result where a value that it is made of is negative, zero and positive."""
    low, high = INF, -INF
    for piece in _PIECES:
        own = _over(equation, variable, piece)
        low, high = min(low, own[0]), max(high, own[1])
    return max(found[0], low), min(found[1], high)


def operand_intervals(equation: Equation) -> list[Interval]:
    """Return the ranges of an equation's operands; of one number in all places, that number."""
    found = list(map(interval, equation.values))
    for place, value in enumerate(equation.values):
        if isinstance(value, Tracked | Stopped) or found[place] != UNBOUNDED:
            continue
        known = equation.number(place)
        if known is not None and not math.isnan(known):
            found[place] = (known, known)
    return found


def _by_table(equation: Equation, operands: list[Interval]) -> Interval:
    rule = _TABLE.get(equation.name)
    if rule is None:
        return UNBOUNDED
    low, high = rule(equation, *operands)
    return UNBOUNDED if math.isnan(low) or math.isnan(high) else (low, high)


def _layer_interval(equation: Equation) -> Interval:
    """Bound what is averaged by a known matrix, and sums of products of what is not negative."""
    if any(value.facts.interval[0] < 0 for value in equation.inputs):
        return UNBOUNDED
    if len(equation.inputs) != 1:
        return 0.0, INF
    matrix = equation.known(equation.tracked.index(False))
    if matrix is None or not (matrix >= 0).all():
        return UNBOUNDED
    high = equation.inputs[0].facts.interval[1]
    axes = _contracted_axes(equation)
    total = float(matrix.sum(axis=axes).max()) if matrix.size else 0.0
    return (0.0, high * total if high < INF else INF)


def _contracted_axes(equation: Equation) -> tuple[int, ...]:
    """The axes of the untracked operand that are summed over."""
    if equation.name == "dot_general":
        own, other = equation.params["dimension_numbers"][0]
        return tuple(other if equation.tracked[0] else own)
    if equation.name == "conv_general_dilated":
        numbers = equation.params["dimension_numbers"]
        return tuple(i for i in range(len(numbers.rhs_spec)) if i != numbers.rhs_spec[0])
    return ()


def _is_normalized(equation: Equation) -> bool:
    """Recognize `a / sum(a)` of a >= 0, also with a constant >= 0 added to the sum."""
    part, total = equation.values
    return (
        isinstance(part, Tracked)
        and isinstance(total, Tracked)
        and part.facts.interval[0] >= 0
        and bool(summed_axes(total, part))
    )


def summed_axes(total: Tracked, part: Tracked) -> tuple[int, ...]:
    """Return the axes over which a value is the sum of another, a constant >= 0 added; else ()."""
    value = total
    while (made := producer(value)) is not None and made.inputs:
        if made.name == "reduce_sum":
            return made.params["axes"] if before_conversion(made.inputs[0]) is part else ()
        if made.name in ("add", "max") and len(made.inputs) == 1:
            if interval(next(v for v in made.values if not isinstance(v, Tracked)))[0] < 0:
                return ()
        elif made.name not in MOVES:
            return ()
        value = made.inputs[0]
    return ()


def _monotone(f: Callable[[float], float]) -> Callable[..., Interval]:
    def rule(_: Equation, x: Interval) -> Interval:
        try:
            return f(x[0]), f(x[1])
        except (OverflowError, ValueError):
            return UNBOUNDED

    return rule


def _fixed(low: float, high: float) -> Callable[..., Interval]:
    def rule(_: Equation, *x: Interval) -> Interval:
        del x
        return low, high

    return rule


def _unary(f: Callable[[Interval], Interval]) -> Callable[..., Interval]:
    def rule(_: Equation, x: Interval) -> Interval:
        return f(x)

    return rule


def _binary(f: Callable[[Interval, Interval], Interval]) -> Callable[..., Interval]:
    def rule(_: Equation, x: Interval, y: Interval) -> Interval:
        return f(x, y)

    return rule


def _same(_: Equation, x: Interval, *rest: Interval) -> Interval:
    return x


def _union(_: Equation, *x: Interval) -> Interval:
    return min(low for low, _ in x), max(high for _, high in x)


def _compared(test: Callable[[float, float], bool]) -> Callable[..., Interval]:
    """Decide a comparison where all elements of the operands compare alike."""

    def rule(_: Equation, x: Interval, y: Interval) -> Interval:
        found = {float(test(a, b)) for a in x for b in y}
        overlap = x[0] <= y[1] and y[0] <= x[1] and not x[0] == x[1] == y[0] == y[1]
        if overlap and test in (operator.eq, operator.ne):
            return 0.0, 1.0
        return min(found), max(found)  # an order is decided by the ends

    return rule


def _select(f: Equation, condition: Interval, *cases: Interval) -> Interval:
    if condition[0] == condition[1]:
        return cases[int(condition[0])]
    chosen_by = f.values[0]
    made = producer(chosen_by) if isinstance(chosen_by, Stopped) else None
    if made and made.name == "ne" and made.values[0] is made.values[1]:
        return cases[0]  # what is chosen for a NaN, `x != x`, has no range
    return _union(f, *cases)


def _add(_: Equation, x: Interval, y: Interval) -> Interval:
    return x[0] + y[0], x[1] + y[1]


def _sub(f: Equation, x: Interval, y: Interval) -> Interval:
    if _is_spread(f):
        return 0.0, INF
    return x[0] - y[1], x[1] - y[0]


def _is_spread(f: Equation) -> bool:
    """Recognize `max(x) - min(x)`."""
    high, low = (_maker(value) for value in f.values)
    return (
        high is not None
        and low is not None
        and (high.name, low.name) == ("reduce_max", "reduce_min")
        and high.values[0] is low.values[0]
        and high.params["axes"] == low.params["axes"]
    )


def _maker(value: Value) -> Equation | None:
    """Return the equation that made a value, before it was moved."""
    made = producer(value) if isinstance(value, Tracked) else None
    while made is not None and made.name in MOVES and made.inputs:
        made = producer(made.inputs[0])
    return made


def _times(x: float, y: float) -> float:
    return 0.0 if 0 in (x, y) else x * y


def _mul(f: Equation, x: Interval, y: Interval) -> Interval:
    if f.values[0] is f.values[1]:
        return _power(x, 2)
    corners = [_times(a, b) for a in x for b in y]
    return min(corners), max(corners)


def _div(f: Equation, x: Interval, y: Interval) -> Interval:
    if y[0] > 0:
        return _mul(f, x, (1 / y[1], 1 / y[0]))
    if y[1] < 0:
        return _mul(f, x, (1 / y[1], 1 / y[0]))
    positive = x[0] >= 0 and y[0] >= 0
    return (0.0, INF) if positive else UNBOUNDED


def _raised(x: float, n: float) -> float:
    try:
        return x**n
    except OverflowError:
        return INF


def _power(x: Interval, n: float) -> Interval:
    if n < 0:
        return (0.0, INF) if x[0] >= 0 or n % 2 == 0 else UNBOUNDED
    if n % 2 == 0:
        ends = [_raised(abs(end), n) for end in x]
        return (0.0 if x[0] <= 0 <= x[1] else min(ends)), max(ends)
    if x[0] >= 0 or n % 2 == 1:
        low, high = (math.copysign(_raised(abs(end), n), end) for end in x)
        return low, high
    return UNBOUNDED


def _integer_pow(f: Equation, x: Interval) -> Interval:
    return _power(x, f.params["y"])


def _pow(f: Equation, x: Interval, y: Interval) -> Interval:
    if y[0] == y[1]:
        return _power(x, y[0])
    if x[0] == x[1] and x[0] > 0:
        ends = sorted(_exp(end * math.log(x[0])) for end in y)
        return ends[0], ends[1]
    return (0.0, INF) if x[0] >= 0 else UNBOUNDED


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else INF


def _log(x: float) -> float:
    return math.log(x) if 0 < x < INF else (INF if x > 0 else -INF)


def _cosh(_: Equation, x: Interval) -> Interval:
    ends = [(_exp(abs(end)) + _exp(-abs(end))) / 2 for end in x]
    return (1.0 if x[0] <= 0 <= x[1] else min(ends)), max(ends)


def _clamp(_: Equation, low: Interval, x: Interval, high: Interval) -> Interval:
    return min(max(low[0], x[0]), high[0]), min(max(low[1], x[1]), high[1])


def _sum(f: Equation, x: Interval) -> Interval:
    axes: tuple[int, ...] = f.params.get("axes", ())
    shape: tuple[int, ...] = np.shape(f.operands[0])
    count = math.prod(shape[axis] for axis in axes)
    if is_symbolic(count):
        return (0.0 if x[0] >= 0 else -INF), (0.0 if x[1] <= 0 else INF)
    return _times(count, x[0]), _times(count, x[1])


def _pooled(f: Equation, x: Interval) -> Interval:
    window: tuple[int, ...] = f.params["window_dimensions"]
    count = math.prod(window)
    low, high = _times(count, x[0]), _times(count, x[1])
    return min(low, 0.0), max(high, 0.0)


def _running(f: Equation, x: Interval) -> Interval:
    shape: tuple[int, ...] = np.shape(f.operands[0])
    axis: int = f.params["axis"]
    count = shape[axis]
    return min(x[0], _times(count, x[0])), max(x[1], _times(count, x[1]))


def _padded(f: Equation, x: Interval, fill: Interval) -> Interval:
    return _union(f, x, fill)


def _gathered(f: Equation, x: Interval, *_: Interval) -> Interval:
    return UNBOUNDED if "FILL" in str(f.params["mode"]).upper() and x[0] > 0 else x


def _each(rule: Callable[..., Interval], names: str) -> dict[str, Callable[..., Interval]]:
    return dict.fromkeys(names.split(), rule)


_TABLE: Mapping[str, Callable[..., Interval]] = {
    **{name: _compared(getattr(operator, name)) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "is_finite": _fixed(0, 1),
    **_each(_fixed(-1, 1), "sin cos"),
    "sign": _monotone(lambda x: float(np.sign(x))),
    **_each(_same, " ".join(sorted(MOVES)) + """ reduce_max reduce_min rev dynamic_slice cummax
        reduce_window_max reduce_window_min cummin top_k unstack split tile stop_gradient
        optimization_barrier all_gather"""),
    "logistic": _monotone(lambda x: 1 / (1 + _exp(-x))),
    "tanh": _monotone(math.tanh),
    "erf": _monotone(math.erf),
    "erfc": _unary(lambda x: (math.erfc(x[1]), math.erfc(x[0]))),
    "exp": _monotone(_exp),
    "exp2": _monotone(lambda x: _exp(x * math.log(2))),
    "expm1": _monotone(lambda x: _exp(x) - 1),
    "log1p": _monotone(lambda x: math.log1p(x) if -1 < x < INF else math.copysign(INF, x)),
    "log": _monotone(_log),
    "log2": _monotone(lambda x: _log(x) / math.log(2)),
    "sinh": _monotone(math.sinh),
    "cosh": _cosh,
    "sqrt": _unary(lambda x: (math.sqrt(max(x[0], 0)), math.sqrt(max(x[1], 0)))),
    "rsqrt": _fixed(0, INF),
    "atan": _monotone(math.atan),
    "abs": _unary(lambda x: (max(x[0], -x[1], 0.0), max(-x[0], x[1]))),
    "square": _unary(lambda x: _power(x, 2)),
    "integer_pow": _integer_pow,
    "pow": _pow,
    "neg": _unary(lambda x: (-x[1], -x[0])),
    **_each(_add, "add add_any"),
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "max": _binary(lambda x, y: (max(x[0], y[0]), max(x[1], y[1]))),
    "min": _binary(lambda x, y: (min(x[0], y[0]), min(x[1], y[1]))),
    "clamp": _clamp,
    "select_n": _select,
    **_each(_union, "concatenate stack sort"),
    "pad": _padded,
    "gather": _gathered,
    "reduce_sum": _sum,
    "reduce_window_sum": _pooled,
    "cumsum": _running,
}  # fmt: skip
