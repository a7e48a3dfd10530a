"""One equation of a traced program, as a function of those operands that depend on a source."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.typing import DTypeLike

from rfp_jax._core.constant_parts import ConstantPart, whole
from rfp_jax._core.jaxprs import Results, as_list, bind_params, dtype_of, evaluate, shape_of
from rfp_jax._core.known import is_known
from rfp_jax._core.precision import narrow, widen, widen_params
from rfp_jax._core.primitives import ELEMENTWISE, LINEAR_STEPS, SINGULAR
from rfp_jax._core.signatures import Param, broadcast_shapes
from rfp_jax._core.value import Stopped, Tracked, Value, activation

Member = Tracked | Stopped
"""A value that a function of one variable may be made of."""


def bind(eqn: core.JaxprEqn, operands: Sequence[jax.Array]) -> list[jax.Array]:
    """Evaluate an equation of a jaxpr as JAX would, in the program's own precision."""
    operands = [narrow(value, var) for value, var in zip(operands, eqn.invars, strict=True)]
    return as_list(eqn, evaluate(eqn, operands, bind_params(eqn)))


class Kind(enum.Enum):
    """Kinds of values, by how each is made of the variable of its chain of elementwise equations.

    - `AFFINE`: by sums with constants and multiples; it may be the variable of what follows.
    - `FUNCTION`: as a function of its variable, explained from that variable.
    - `STEPS`: by choices (ReLU, maximum, `where`) and sums: explained equation by equation.
    """

    AFFINE = enum.auto()
    FUNCTION = enum.auto()
    STEPS = enum.auto()


def producer(value: Value) -> Equation | None:
    """Return the equation that computed a value, where it may be looked at, or None."""
    made_by = value.made_by if isinstance(value, Tracked | Stopped) else None
    assert made_by is None or isinstance(made_by, Equation)
    return made_by


@dataclass(frozen=True, eq=False)
class Equation:
    """An equation as a function of its tracked operands; the other operands are filled in.

    A rule receives it first: calling it evaluates the equation at other activations.

    Attributes:
        eqn: the equation of the jaxpr.
        values: its operands.
        path: where it stands: the name stack, which in Flax Linen is the module path.
        source: the user's line that made it, as `file:line (function)`.
        dtype: the precision of contributions, and so of the equation as a function; None for that
            of the program.
        constant_part: what of a tracked value came from no source.
        is_opaque: whether functions of one variable end here, for the equation has a rule of its
            own.
        known: `known(i)` is the value of operand i as a NumPy array, if it depends on no argument
            of the program, or None.
        number: `number(i)` is the number that operand i holds everywhere, if the program says so.
    """

    eqn: core.JaxprEqn
    values: tuple[Value, ...]
    path: str = ""
    source: str = ""
    dtype: DTypeLike | None = None
    constant_part: ConstantPart = whole
    is_opaque: bool = False
    known: Callable[[int], np.ndarray | None] = lambda _: None
    number: Callable[[int], float | None] = lambda _: None

    def __call__(self, *activations: jax.Array) -> Results:
        """Return the equation's result at these values of its tracked operands."""
        tracked = iter(activations)
        return self.bind([next(tracked) if isinstance(v, Tracked) else v for v in self.values])

    def bind(self, operands: Sequence[Value]) -> Results:
        """Return the equation's result at these values of all its operands."""
        arrays = [activation(value) for value in operands]
        params = bind_params(self.eqn)
        if self.dtype is None:
            arrays = [narrow(x, var) for x, var in zip(arrays, self.eqn.invars, strict=True)]
            return evaluate(self.eqn, arrays, params)
        arrays = [widen(x, self.dtype) for x in arrays]
        return evaluate(self.eqn, arrays, widen_params(params, self.dtype))

    def plain(self) -> list[jax.Array]:
        """Return what the plain program computes here, in its own precision."""
        return bind(self.eqn, self.operands)

    @property
    def name(self) -> str:
        """The primitive's name, for instance `'dot_general'`."""
        return self.eqn.primitive.name

    @property
    def params(self) -> dict[str, Param]:
        """The primitive's static parameters."""
        return self.eqn.params

    @cached_property
    def operands(self) -> list[jax.Array]:
        """All operands as plain arrays, in the precision that rules compute in."""
        return [widen(activation(value), self.dtype) for value in self.values]

    @property
    def tracked(self) -> tuple[bool, ...]:
        """For each operand whether a source contributes to it."""
        return tuple(isinstance(value, Tracked) for value in self.values)

    @cached_property
    def inputs(self) -> tuple[Tracked, ...]:
        """The tracked operands."""
        return tuple(value for value in self.values if isinstance(value, Tracked))

    @property
    def is_first(self) -> bool:
        """Return whether no layer with weights lies between the sources and the operands."""
        return not any(value.facts.after_layer for value in self.inputs)

    @property
    def is_discrete(self) -> bool:
        """Return whether all results are integers or truth values, which carry no relevance."""
        dtypes = map(dtype_of, self.eqn.outvars)
        return not any(d is not None and jnp.issubdtype(d, jnp.inexact) for d in dtypes)

    # --- functions of one variable, element by element

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The operands that a function of one variable may look through."""
        return tuple(
            value
            for value in self.values
            if isinstance(value, Tracked) or (isinstance(value, Stopped) and producer(value))
        )

    @cached_property
    def keeps_order(self) -> bool:
        """Return whether the equation only gives its operand another shape, element by element."""
        if self.name not in _RESHAPING or len(self.operands) != 1:
            return False
        given, made = self.operands[0], shape_of(self.eqn.outvars[0])
        if math.prod(np.shape(given)) != math.prod(made):
            return False
        places = self.params.get("broadcast_dimensions", ())
        return self.params.get("dimensions") in (None, *_squeezed(self)) and (
            list(places) == sorted(places)
        )

    @cached_property
    def dominator(self) -> Member | None:
        """The nearest value of which the result is an elementwise function of one variable."""
        if self.is_opaque or not self.members:
            return None
        if not self.keeps_order:
            if self.name not in ELEMENTWISE:
                return None
            shape = broadcast_shapes(*map(np.shape, self.operands))
            if any(np.shape(member.activation) != shape for member in self.members):
                return None
        if any(map(self._changes_field, self.members)):
            return None  # no function of one complex variable
        return nearest_common_dominator(self.members)

    def _changes_field(self, member: Member) -> bool:
        """Return whether the result is complex and an operand real, or the other way round."""
        dtype = dtype_of(self.eqn.outvars[0])
        if dtype is None or not jnp.issubdtype(member.activation.dtype, jnp.inexact):
            return False  # a condition
        is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
        return jnp.iscomplexobj(member.activation) != is_complex and not self._is_modulus

    @property
    def _is_modulus(self) -> bool:
        """Return whether the result is `|z|` of a complex number."""
        return self.name == "abs" and jnp.iscomplexobj(self.operands[0])

    @cached_property
    def depth(self) -> int:
        """The number of dominators that stand above the result."""
        chained = self.members and not self.is_opaque
        above = nearest_common_dominator(self.members) if chained else None
        return 0 if above is None else depth(above) + 1

    def settle(self) -> None:
        """Compute what equations downstream will ask for, in the program's order: no recursion."""
        _ = self.depth, self.kind, self.may_be_singular, self.has_choice
        _ = self.degree, self.is_polynomial, self.has_steps

    @cached_property
    def variable(self) -> Tracked | None:
        """The variable from which a function of one variable is explained.

        It is the last value of the chain before anything but sums with constants and multiples
        happens: in `log(1 + exp(w x + b))` it is `w x + b`, however the rest is written.
        """
        if self.dominator is None:
            return None
        found = nearest_common_dominator([base(member) for member in self.members])
        return found if isinstance(found, Tracked) else None

    @cached_property
    def kind(self) -> Kind:
        """The kind of the result, by how it is made of its variable."""
        if self.variable is None:
            return Kind.STEPS
        kinds = {kind(value) for value in self.inputs}
        functions = [value for value in self.inputs if kind(value) is Kind.FUNCTION]
        alike = all(base(value) is self.variable for value in functions)
        chosen_by = [m for m in self.members if isinstance(m, Stopped)]
        if self.is_linear_step:
            sums = len(self.inputs) > 1 and any(
                (made := producer(value)) and made.may_be_singular for value in functions
            )
            if chosen_by or Kind.STEPS in kinds or not alike or sums:
                return Kind.STEPS  # in a sum, what is infinite at 0 does not stop the rest
            return Kind.FUNCTION if functions else Kind.AFFINE
        if self.name == "select_n":
            after_function = self.dominator is not None and kind(self.dominator) is Kind.FUNCTION
            polynomial = all(degree(value) is not None for value in functions)
            plain = polynomial and all(map(self._is_zero, range(1, len(self.values))))
            whole = bool(chosen_by) and alike and Kind.STEPS not in kinds and not after_function
            masks = any(map(self._is_mask, range(1, len(self.values))))
            is_step = plain or masks or not whole
        else:
            clips = len(self.inputs) > 1 or self._clips_at_zero
            is_step = (self.name in ("max", "min") and clips) or (
                self.name == "abs" and not self._is_modulus
            )
        return Kind.STEPS if is_step else Kind.FUNCTION

    @cached_property
    def may_be_singular(self) -> bool:
        """Return whether an equation of the chain may have no finite value at 0."""
        return self._is_singular or any(made.may_be_singular for made in self._chain)

    @property
    def _chain(self) -> Iterator[Equation]:
        """The equations of the chain that made the operands, the variable's own left out."""
        made = (producer(member) for member in self.members if member is not self.variable)
        return (f for f in made if f is not None)

    @property
    def _is_singular(self) -> bool:
        if self.name == "div":
            return any(self.values[1] is member for member in self.members)
        if self.name == "integer_pow":
            return self.params["y"] < 0
        if self.name == "pow":
            exponent = self.values[1]
            return not (is_known(exponent) and bool(np.all(np.real(exponent) >= 0)))
        return self.name in SINGULAR

    @cached_property
    def power(self) -> float | None:
        """The exponent of a power or root, if it is a known number."""
        if self.name in _EXPONENTS:
            return _EXPONENTS[self.name]
        if self.name == "integer_pow":
            return float(self.params["y"])
        return self.number(1) if self.name == "pow" else None

    @property
    def exponent(self) -> int | None:
        """The exponent of a power, if it is a known whole number."""
        power = self.power
        return int(power) if power is not None and power.is_integer() else None

    @cached_property
    def degree(self) -> int | None:
        """The degree of a function of one variable that is a polynomial of it, else None."""
        degrees = [degree(value) for value in self.inputs]
        known = [d for d in degrees if d is not None]
        if self.kind is not Kind.FUNCTION or len(known) < len(self.members):
            return None
        if self.name == "mul":
            return sum(known)
        if self.exponent is not None:
            return self.exponent * known[0] if self.exponent > 0 else None
        return max(known) if self.is_linear_step else None

    @cached_property
    def is_polynomial(self) -> bool:
        """Return whether the result is, piece by piece, a polynomial of its variable."""
        own = self.name in _PIECES or self.is_linear_step or (self.exponent or 0) > 0
        own = own and not self._is_modulus  # a root of squares
        made = (producer(v) for v in self.inputs if v is not self.variable)
        return own and all(f.is_polynomial for f in made if f)

    @cached_property
    def has_choice(self) -> bool:
        """Return whether an equation of the chain chooses between values, and may fill a NaN."""
        return self.name == "select_n" or any(made.has_choice for made in self._chain)

    @cached_property
    def has_steps(self) -> bool:
        """Return whether a polynomial's chain has steps, which are variables of their own in it."""
        return any(
            kind(v) is Kind.STEPS or ((made := producer(v)) is not None and made.has_steps)
            for v in self.inputs
            if v is not self.variable
        )

    @property
    def is_linear_step(self) -> bool:
        """Return whether the equation is linear, element by element, in its tracked operands."""
        by_one = len(self.inputs) == 1
        return (
            self.name in LINEAR_STEPS
            or self.keeps_order
            or (self.name == "mul" and by_one)
            or (self.name == "div" and by_one and self.tracked[0])
            or (self.name == "select_n" and not isinstance(self.values[0], Stopped))
        ) and not self.is_discrete

    @property
    def _clips_at_zero(self) -> bool:
        return any(self._is_zero(i) for i, t in enumerate(self.tracked) if not t)

    def _is_zero(self, i: int) -> bool:
        """Return whether an operand is tracked, or the constant 0."""
        return self.tracked[i] or self.number(i) == 0

    def _is_mask(self, i: int) -> bool:
        """Return whether an operand is a number so large that it stands for "none"."""
        known = self.number(i)
        return known is not None and not abs(known) < _MASK

    def as_function(self, variable: Tracked) -> Callable[[jax.Array], jax.Array]:
        """Return the result as a function of a value that dominates it."""

        def fun(z: jax.Array) -> jax.Array:
            values: dict[int, Value] = {id(variable): z}
            waiting: list[Member] = list(self.members)
            while waiting:  # no recursion: chains can be long
                member = waiting[-1]
                if id(member) in values:
                    waiting.pop()
                    continue
                made = producer(member)
                assert made is not None  # dominated by the variable, and not it
                missing = [m for m in made.members if id(m) not in values]
                waiting.extend(missing)
                if not missing:
                    values[id(member)] = made.at(values)
            return self.at(values)

        return fun

    def at(self, values: Mapping[int, Value]) -> Results:
        """Return the result with these values, by the identity of an operand, in its place."""
        operands = [values.get(id(value), value) for value in self.values]
        if self.keeps_order and np.ndim(activation(operands[0])) == 0:
            return activation(operands[0])  # one number for all elements has no shape to change
        return self.bind(operands)


_MASK = 1e9
"""A choice between a signal and such a number hides the signal: no function passes through both."""

_EXPONENTS = {"square": 2.0, "sqrt": 0.5, "cbrt": 1 / 3, "rsqrt": -0.5}
_PIECES = frozenset("mul max min clamp abs select_n".split())
_RESHAPING = frozenset("reshape squeeze broadcast_in_dim slice".split())


def _squeezed(f: Equation) -> list[Param]:
    """Return the parameter of `squeeze` that names axes; `reshape` has one that permutes them."""
    return [f.params["dimensions"]] if f.name == "squeeze" else []


def before_conversion(value: Value) -> Value:
    """Return what was converted to another precision: sums of half precision are made in more."""
    while isinstance(value, Tracked) and (made := producer(value)) and made.name in _CONVERSIONS:
        value = made.values[0]
    return value


_CONVERSIONS = ("convert_element_type", "reduce_precision", "copy")


def kind(value: Member) -> Kind:
    """Return how a value is made of the variable of its chain; a chain starts affine."""
    made = producer(value)
    return Kind.AFFINE if made is None or made.dominator is None else made.kind


def degree(value: Member) -> int | None:
    """Return the degree of a value as a polynomial of its variable; 1 if it may be one itself."""
    made = producer(value)
    return made.degree if made is not None and kind(value) is Kind.FUNCTION else 1


def base(value: Member) -> Member:
    """Return the variable of a value's chain, which may be the value itself."""
    made = producer(value)
    if made is None or kind(value) is Kind.AFFINE:
        return value
    return made.variable or value


def dominator(value: Member) -> Member | None:
    """Return the nearest value of which this one is an elementwise function of one variable."""
    return made.dominator if (made := producer(value)) else None


def depth(value: Member) -> int:
    """Return how many dominators a value has above it."""
    return made.depth if (made := producer(value)) else 0


def is_of(value: Member, variable: Member | None) -> bool:
    """Return whether a value is the variable, or an elementwise function of it alone."""
    walker: Member | None = value
    while walker is not None and walker is not variable:
        walker = dominator(walker)
    return walker is not None


def nearest_common_dominator(values: Sequence[Member]) -> Member | None:
    """Return the nearest value of which all `values` are functions of one variable, or None."""
    common: Member | None = values[0]
    for other in values[1:]:
        walker: Member | None = other
        while common is not walker and common is not None and walker is not None:
            if depth(common) >= depth(walker):
                common = dominator(common)
            else:
                walker = dominator(walker)
        if common is None or walker is None:
            return None
    return common
