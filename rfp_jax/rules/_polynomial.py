r"""Polynomials of signals, shared as Aumann and Shapley do.

Signals \(x_j = b_j + \sum_s c_{js}\) share their product \(y = \prod_j x_j\) ("Values of Non-Atomic
Games", 1974) on the straight path from the constants to the activations:

$$ R_s = \sum_i c_{is} \int_0^1 \prod_{j \ne i} \bigl(b_j + t\,(x_j - b_j)\bigr)\, dt . $$

The integrand is a polynomial of degree n - 1 in t, so \(\lceil n / 2 \rceil\) nodes of Gauss and
Legendre give it exactly. For two factors it is \(c_{1s} (x_2 + b_2) / 2 + c_{2s} (x_1 + b_1) / 2\).
The rule holds for every polynomial, of one variable too, so a polynomial does not change when it is
expanded, factored or bracketed otherwise: \((x + 1)^2\) is \(x^2 + 2 x + 1\).

Where nothing is constant and every term is of degree \(d_j\) in \(x_j\), a signal that came whole
from one source contributes \(d_j y / n\). What is equal by this symmetry is computed and pushed on
once.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rfp_jax._core.equation import Equation, Kind, base, degree, kind, producer
from rfp_jax._core.frozen import Frozen, Rule
from rfp_jax._core.jaxprs import shape_of
from rfp_jax._core.primitives import MOVES
from rfp_jax._core.value import Tracked
from rfp_jax._core.weights import is_scale
from rfp_jax.rules._elementwise import from_variable
from rfp_jax.rules._factors import Polynomial, by_variables

MOST_FACTORS = 8
"""Products of more factors are bracketed as they are written."""

_MOST_EQUATIONS = 64
_ADDING = frozenset("add add_any sub select_n".split())
_MOVING = MOVES | {"reduce_sum", "neg"}
_LINEAR = _MOVING | {"add", "add_any", "sub"}
_POINTWISE = frozenset("mul neg square integer_pow pow div".split())
_PRODUCTS = frozenset({"mul", "dot_general"})
_POWERS = ("integer_pow", "pow")


def polynomial_first(rule: Rule) -> Rule:
    """The rule, but a polynomial of one variable is shared as a product is.

    On the path from the constant part b to z its derivative adds up to `(F(z) - F(b)) / (z - b)`.
    """

    @functools.wraps(rule)
    def explained(f: Equation, *x: jax.Array) -> Frozen:
        variable, degree = f.variable, f.degree or 0
        if variable is None or f.kind is not Kind.FUNCTION or not 1 < degree <= MOST_FACTORS:
            return rule(f, *x)
        if f.has_steps:
            return by_factors(f)
        return from_variable(f, variable, f.as_function(variable), from_constant=True)

    return explained


def by_factors(f: Equation) -> Frozen:
    """A polynomial of signals: a product, with the products that it is made of, or a power."""
    expanded, is_elementwise = _expand(f)
    return aumann_shapley(f, *(by_variables(f, expanded) if is_elementwise else expanded))


def aumann_shapley(
    f: Equation,
    factors: Sequence[Tracked],
    degree: int,
    function: Callable[..., jax.Array],
    degrees: Sequence[int] | None = None,
) -> Frozen:
    """A polynomial of its factors, shared along the path from their constants to the activations.

    Args:
        f: the equation whose result it is.
        factors: the values that the polynomial is of.
        degree: its degree.
        function: the polynomial, of one array per factor.
        degrees: its degree in each factor, if all its terms have the same.
    """
    nodes, weights = np.polynomial.legendre.leggauss((degree + 1) // 2)
    nodes, weights = ((nodes + 1) / 2).tolist(), (weights / 2).tolist()  # of no dtype
    x = [factor.activation for factor in factors]

    @functools.cache
    def constants() -> list[jax.Array]:
        return [f.constant_part(factor) for factor in factors]

    def along(t: float | jax.Array, present: list[int], c: Sequence[jax.Array | None]) -> jax.Array:
        at = [b + jnp.asarray(t, b.dtype) * (xi - b) for b, xi in zip(constants(), x, strict=True)]

        def at_present(*given: jax.Array) -> jax.Array:
            values = list(at)
            for i, value in zip(present, given, strict=True):
                values[i] = value
            return function(*values)

        points, tangents = [at[i] for i in present], [c[i] for i in present]
        return jax.jvp(at_present, points, tangents)[1]

    def push(*c: jax.Array | None) -> jax.Array:
        constants()  # here, not inside the loop below
        present = [i for i, ci in enumerate(c) if ci is not None]
        if degrees and is_homogeneous and all(c[i] is x[i] for i in present):
            return part(sum(degrees[i] for i in present))
        if len(nodes) <= 4:
            each = zip(nodes, weights, strict=True)
            return functools.reduce(jnp.add, (along(t, present, c) * w for t, w in each))

        def add(total: jax.Array, node: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            return total + along(node[0], present, c) * node[1], None

        steps = (jnp.asarray(nodes, y.dtype), jnp.asarray(weights, y.dtype))
        return lax.scan(add, jnp.zeros_like(y), steps)[0]

    @functools.cache
    def part(degrees: int) -> jax.Array:
        return y * jnp.asarray(degrees / degree, y.dtype)

    def bias() -> jax.Array:
        start = [f.constant_part(factor, exactly=True) for factor in factors]
        return function(*start) - push(*start)

    y = f.bind(f.values)
    adds = f.name in _ADDING and not all(f.tracked)
    is_homogeneous = not adds and not any(value.facts.has_constant for value in f.inputs)
    return Frozen(
        y, push, None if is_homogeneous else bias, inputs=tuple(factors), skips_absent=True
    )


def _expand(f: Equation) -> tuple[Polynomial, bool]:
    """Find the factors of a product of signals through the sums and products that lead to it.

    Returns:
        The polynomial, and whether it is a product of its factors, element by element.
    """
    degrees: dict[int, int] = {}
    factors: list[Tracked] = []
    affine: list[tuple[Tracked, Equation]] = []  # in the variable, if f is a function of one
    inner: list[tuple[Tracked, Equation]] = []  # what lies between, in the order of the program
    variable = f.variable

    def visit(value: Tracked, budget: int) -> int:
        if id(value) not in degrees:
            made = producer(value)
            if variable is not None and made and base(value) is value is not variable:
                affine.append((value, made))
                degrees[id(value)] = visit(variable, budget)
            elif made is None or budget < 2 or not _has_product(value):
                factors.append(value)
                degrees[id(value)] = 1
            else:
                own = _degree(made, [visit(v, budget - 1) for v in _operands(made)])
                inner.extend([*_stacked(made), (value, made)])
                degrees[id(value)] = own
        return degrees[id(value)]

    total = _degree(f, [visit(value, MOST_FACTORS) for value in _operands(f)])
    if total > MOST_FACTORS:
        factors, affine, inner = list(dict.fromkeys(_operands(f))), [], []
        total = _degree(f, [1] * len(_operands(f)))
    inner.extend(_stacked(f))

    def function(*given: jax.Array) -> jax.Array:
        values: dict[int, jax.Array] = {
            id(factor): x for factor, x in zip(factors, given, strict=True)
        }
        for value, made in affine:
            assert variable is not None
            values[id(value)] = made.as_function(variable)(values[id(variable)])
        for value, made in inner:
            values[id(value)] = made.at(values)
        return f.at(values)

    powers: dict[int, Counter[int] | None] = {
        id(factor): Counter([id(factor)]) for factor in factors
    }
    for value, made in inner:
        powers[id(value)] = _powers(made, powers)
    own = None if affine else _powers(f, powers)
    if own is None:
        return Polynomial(factors, total, function), False
    made = [f, *(made for _, made in inner)]
    is_elementwise = not jnp.iscomplexobj(f.operands[0]) and all(map(_is_elementwise, made))
    return Polynomial(factors, total, function, [own[id(v)] for v in factors]), is_elementwise


def _powers(made: Equation, powers: Mapping[int, Counter[int] | None]) -> Counter[int] | None:
    """Return how often each factor stands in every term of a result; None if that differs."""
    given = [powers.get(id(value)) for value in _operands(made)]
    if _is_product(made):
        return None if None in given else sum(filter(None, given), Counter[int]())
    if len(given) != 1 or (own := given[0]) is None:
        return None
    if made.name == "square" or made.name in _POWERS:
        power = _degree(made, [1])
        return Counter({factor: power * count for factor, count in own.items()})
    return own if made.name in _MOVING else None


def _is_elementwise(made: Equation) -> bool:
    """Return whether an equation of a product multiplies elements that stand in the same place."""
    if made.name == "dot_general":
        (contracted, _), batches = made.params["dimension_numbers"]
        in_order = list(range(len(shape_of(made.eqn.outvars[0]))))
        return not contracted and all(list(axes) == in_order for axes in batches)
    whole = all(v.activation.size == math.prod(shape_of(made.eqn.outvars[0])) for v in made.inputs)
    joins = made.name in ("stack", "concatenate") or bool(_stacked(made))
    return joins or (whole and (made.keeps_order or made.name in _POINTWISE))


def signals(factors: Sequence[Tracked]) -> Sequence[Tracked]:
    """Return those factors of a product that relevance passes to: weights on them are constants.

    Of weights alone the scale of a norm is one: `w * (1 / sum(w))` is `w / sum(w)`.
    """
    found = [value for value in factors if not value.facts.is_weight]
    return found or [value for value in factors if not is_scale(value)] or factors


def _operands(made: Equation) -> Sequence[Tracked]:
    """Return the operands through which an equation is a polynomial."""
    joined = _stacked(made)
    inputs = joined[0][1].inputs if joined else made.inputs
    return signals(inputs) if _is_product(made) else inputs


def _is_product(made: Equation) -> bool:
    """Return whether an equation multiplies its operands, or the parts of a stack."""
    return made.name in _PRODUCTS or bool(_stacked(made))


def _stacked(made: Equation) -> Sequence[tuple[Tracked, Equation]]:
    """Return the stack of which `prod` multiplies the parts, and what made it; else nothing."""
    joined = producer(made.inputs[0]) if made.name == "reduce_prod" and made.inputs else None
    if joined is None or joined.name not in ("stack", "concatenate"):
        return []
    axis = joined.params["axis" if joined.name == "stack" else "dimension"]
    one_each = joined.name == "stack" or {shape_of(v)[axis] for v in joined.eqn.invars} == {1}
    return [(made.inputs[0], joined)] if made.params["axes"] == (axis,) and one_each else []


def product_of_parts(f: Equation) -> Frozen | None:
    """`stack([x, y]).prod(0)` is `x * y`; None of other products of elements."""
    return by_factors(f) if _stacked(f) else None


def _degree(made: Equation, degrees: Sequence[int]) -> int:
    if _is_product(made):
        return sum(degrees)
    if made.name in _POWERS:
        return (made.exponent or 1) * degrees[0]
    return 2 * degrees[0] if made.name == "square" else max(degrees)


def _has_product(value: Tracked) -> bool:
    """Return whether a value is made of a product of signals, by sums and placements.

    A function of one variable that is not a polynomial of it (a GELU, written out) is a factor.
    """
    if kind(value) is Kind.FUNCTION and not degree(value):
        return False
    waiting, seen = [value], 0
    while waiting and seen < _MOST_EQUATIONS:
        made = producer(waiting.pop())
        seen += 1
        if made is None or not _is_polynomial(made):
            continue
        if made.name == "square" or made.name in _POWERS:
            return True
        if _is_product(made) and len(_operands(made)) > 1:
            return True
        waiting.extend(_operands(made))
    return False


def _is_polynomial(made: Equation) -> bool:
    if made.name in _POWERS:
        return 1 < (made.exponent or 0) <= MOST_FACTORS
    if made.name == "dot_general" and len(made.inputs) == 1:
        return False  # a layer with weights ends what is expanded
    if made.name == "div":
        return made.tracked == (True, False)
    return made.name in _LINEAR or _is_product(made) or made.name == "square"
