r"""Functions of one variable, element by element: activation functions and what they are made of.

A function \(y = F(z)\) is explained by its secant from 0,

$$ y = \frac{F(z) - F(0)}{z}\, z + F(0) , $$

where z is the variable of the whole chain of elementwise equations: the last value before anything
but sums with constants and multiples happens (`Equation.variable`). So it does not matter of which
operations F is made. Where \(F(0)\) is not finite, the line starts at the constant part of z, which
came from no source: `log(1 + x)` is `log1p(x)`. Where that does not help either (`log x`), no
relevance passes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rfp_jax._core import ranges
from rfp_jax._core.equation import Equation, Kind, producer
from rfp_jax._core.frozen import Frozen, chained
from rfp_jax._core.known import is_known
from rfp_jax._core.value import Tracked
from rfp_jax.errors import MissingRuleError

Curve = Callable[[jax.Array], jax.Array]


@chained
def elementwise(f: Equation, *x: jax.Array) -> Frozen:
    """`y = F(z)`: a contribution `c` becomes `c (F(z) - F(0)) / z`, and `F(0)` is the bias."""
    del x
    variable = f.variable
    if variable is None:  # an operand is spread over the result: the chain starts here
        (variable,) = f.inputs
        return from_variable(f, variable, f, singular=True)
    stopped = f.is_linear_step and not any(value.facts.sources for value in f.inputs)
    is_singular = f.may_be_singular and not ranges.is_finite_at_zero(f)
    starts_at_zero = not variable.facts.has_constant
    if stopped or (is_singular and starts_at_zero and _is_infinite_at_zero(f, variable)):
        y = f.bind(f.values)
        return Frozen(y, lambda: jnp.zeros_like(y), lambda: y, inputs=())
    return from_variable(f, variable, f.as_function(variable), is_singular, f.has_choice)


def from_variable(
    f: Equation,
    variable: Tracked,
    curve: Curve,
    singular: bool = False,
    fills: bool = False,
    *,
    from_constant: bool = False,
    output: jax.Array | None = None,
) -> Frozen:
    """The secant of a curve in one variable; where the curve may fill a NaN, it passes nothing.

    It starts at 0, or `from_constant` at the constant part of the variable, and ends at the
    `output`, if that is not the equation's. A real function of a
    complex variable is one of `|z|^2 = Re(z)^2 + Im(z)^2`, whose squares share as products do.
    """
    y = f.bind(f.values) if output is None else output
    own = variable.activation
    reshapes = f.variable is not None and own.shape != y.shape  # somewhere in the chain
    of_size = jnp.iscomplexobj(own) and not jnp.iscomplexobj(y)
    squared = _squared if of_size else lambda z, _: z
    z = squared(own, own).reshape(y.shape) if reshapes else squared(own, own)

    def at(z: jax.Array) -> jax.Array:
        z = z.reshape(own.shape) if reshapes else z
        return curve(jnp.sqrt(z).astype(own.dtype) if of_size else z)

    @functools.cache
    def constant() -> jax.Array:
        return f.constant_part(variable, exactly=singular, unshared=singular)

    @functools.cache
    def line() -> Line:
        if not (singular or from_constant):
            return secant(at, z, y)
        far = _from_constant(at, z, squared(constant(), constant()).reshape(z.shape), y)
        if from_constant:
            return far
        near = secant(at, z, y, singular)
        each = zip(near, far, strict=True)
        return Line(*(jnp.where(near.is_finite, one, other) for one, other in each))

    def push(c: jax.Array) -> jax.Array:
        c = squared(own + constant(), c) if of_size else c
        slope, c = line().slope, c.reshape(z.shape) if reshapes else c
        pushed = jnp.where(slope == 0, 0, slope * c) if fills else slope * c
        return pushed.astype(y.dtype)

    def bias() -> jax.Array:
        start = line().start
        if from_constant:
            b = f.constant_part(variable, exactly=True)
            b = squared(b, b).reshape(z.shape)
            start = at(b) - line().slope * b
        if of_size:  # a contribution c pushes Re((z + b) conj c), and z itself more than |z|^2
            start = start - line().slope * squared(constant(), own).reshape(z.shape)
        return start

    return Frozen(y, push, bias, inputs=(variable,))


def _squared(z: jax.Array, w: jax.Array) -> jax.Array:
    """`Re(z) Re(w) + Im(z) Im(w)`."""
    return jnp.real(z) * jnp.real(w) + jnp.imag(z) * jnp.imag(w)


class Line(NamedTuple):
    """`y = slope z + start`; where the curve has no finite start, the line is level."""

    slope: jax.Array
    start: jax.Array
    is_finite: jax.Array


def secant(curve: Curve, z: jax.Array, y: jax.Array, singular: bool = False) -> Line:
    """Return the line from 0 to z of a curve, `slope z + start = y`.

    At 0 itself it has the derivative from the right, so that a ReLU passes there.
    """
    start = curve(jnp.zeros_like(z))
    is_finite = jnp.isfinite(start)
    if singular:
        start, is_finite = _start(curve, z, y)
    info = jnp.finfo(z.dtype)
    point = jnp.where(z == 0, jnp.full_like(z, float(info.tiny) ** 0.5), z / 2)
    tangent = jax.jvp(curve, (point,), (jnp.ones_like(point),))[1]
    # A root is vertical at 0: nothing arrives there, so nothing may leave.
    is_vertical = ~(jnp.abs(tangent) < 1 / float(info.eps))
    is_level = jnp.abs(tangent) < 8 * float(info.tiny) ** 0.5
    tangent = jnp.where(is_vertical | is_level, 0, tangent)
    slope, is_tangent = chord(z, start, y, tangent)
    start = jnp.where(is_tangent, y - slope * z, start)
    # So far out (a mask's -inf) that the slope is lost to rounding, y is a constant.
    lost = (y != start) & (jnp.abs(slope) < info.tiny)
    level = lost | ~is_finite | ~(jnp.isfinite(y) & jnp.isfinite(z) & jnp.isfinite(slope))
    return Line(jnp.where(level, 0, slope), jnp.where(level, y, start), is_finite)


def _from_constant(curve: Curve, z: jax.Array, constant: jax.Array, y: jax.Array) -> Line:
    """Return the line of a curve from the constant part of z to z; level if that is not finite."""
    is_finite = jnp.isfinite(curve(constant))
    constant = jnp.where(is_finite, constant, z)
    low = curve(constant)
    middle = (z + constant) / 2
    tangent = jax.jvp(curve, (middle,), (jnp.ones_like(middle),))[1]
    slope, _ = chord(z - constant, low, y, tangent)
    is_finite &= jnp.isfinite(slope)
    slope = jnp.where(is_finite, slope, 0)
    return Line(slope, jnp.where(is_finite, low - slope * constant, y), is_finite)


def chord(
    way: jax.Array, start: jax.Array, y: jax.Array, tangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return `(y - start) / way`, and where the tangent half-way is as good and has its place.

    That is where both lead to y but for its rounding: there the difference may have canceled.
    """
    info = jnp.finfo(y.dtype)
    rounding = 4 * float(info.eps) * (jnp.abs(y) + jnp.abs(start))
    leads_to_y = (start != 0) & (jnp.abs(y - start - tangent * way) <= rounding)
    # Shorter ways have squares, in the quotient's derivative, that are 0. The divisor depends on
    # nothing that rounding errors decide: compiled twice, they may decide otherwise.
    is_short = jnp.abs(way) < jnp.where(start == 0, float(info.tiny), float(info.tiny) ** 0.5)
    steep = (y - start) / jnp.where(is_short, jnp.ones_like(way), way)
    is_tangent = is_short | leads_to_y
    return jnp.where(is_tangent, tangent, steep), is_tangent


def _start(curve: Curve, z: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return F(0) or its limit, and where there is one; y has its place where there is none."""
    at_zero = curve(jnp.zeros_like(z))
    is_finite = jnp.isfinite(at_zero)
    # What is not finite has a derivative of NaN, even times 0: so it is in no result.
    found = curve(jnp.where(is_finite, 0, z))
    start = jnp.where(is_finite, found, jnp.where(jnp.isnan(at_zero), _limit(curve, z), jnp.inf))
    exists = jnp.isfinite(start)
    return jnp.where(exists, start, y), exists


def _limit(curve: Curve, z: jax.Array) -> jax.Array:
    """Return the limit at 0 from the right (`sin(x) / x`), or NaN if there seems to be none.

    There is one if the curve changes little there, measured by its own size, or less the nearer one
    looks. Next to 0 differences cancel, so the limit is extrapolated from a distance. Where
    that comes closer to the value next to 0 the nearer one looks, the curve is not smooth there
    (`x log x`), and that value is the limit.
    """
    info = jnp.finfo(z.dtype)
    h = float(info.eps) ** (1 / 3)

    def at(distance: float) -> jax.Array:
        return curve(jnp.full_like(z, distance))

    def extrapolated(h: float) -> jax.Array:
        return 3 * at(h) - 3 * at(2 * h) + at(3 * h)

    far, nearer, there = extrapolated(h), extrapolated(h / 16), at(float(info.tiny) ** 0.5)
    is_rough = jnp.abs(nearer - there) < jnp.abs(far - there) / 2
    size, change = jnp.abs(at(h)) + jnp.abs(at(1.0)), jnp.abs(at(h) - at(h / 4))
    settles = jnp.abs(at(h / 4) - at(h / 16)) <= 0.9 * change
    exists = (change <= h**0.5 * size) | settles
    return jnp.where(exists, jnp.where(is_rough, there, far), jnp.nan)


def _equations(f: Equation, variable: Tracked) -> list[Equation]:
    """Return the equations between a variable and the result, the result's own first."""
    found, waiting, seen = [f], list(f.members), {id(variable)}
    while waiting:
        member = waiting.pop()
        if id(member) not in seen and (made := producer(member)) is not None:
            seen.add(id(member))
            found.append(made)
            waiting.extend(made.members)
    return found


def _is_infinite_at_zero(f: Equation, variable: Tracked) -> bool:
    """Return whether F(0) is known to be infinite, where it is made of known numbers alone."""
    dtype = variable.activation.dtype
    for made in _equations(f, variable):
        constants = [v for v in made.values if all(v is not m for m in made.members)]
        if not all(is_known(v) and v.ndim == 0 for v in constants):
            return False
    with jax.ensure_compile_time_eval():
        zero = jnp.zeros((), dtype)
        curve = f.as_function(variable)
        start = curve(zero)
        return bool(jnp.isinf(start) | (jnp.isnan(start) & jnp.isnan(_limit(curve, zero))))


@chained
def exponential(f: Equation, x: jax.Array) -> Frozen:
    """`exp(x)`: a function of one variable; where it underflows (behind a mask) a constant."""
    frozen = elementwise(f, x)
    y, push, bias = frozen.output, frozen.push, frozen.bias
    if push is None or bias is None or not frozen.inputs:
        return frozen
    return frozen._replace(
        push=lambda *c: jnp.where(y == 0, 0, push(*c)), bias=lambda: jnp.where(y == 0, 0, bias())
    )


@chained
def clip(f: Equation, x: jax.Array) -> Frozen:
    """`max(x, b)` or `min(x, b)` with a constant b: a gate for b = 0, else the secant.

    ReLU passes a contribution where the total is >= 0, at exactly 0 too (Gawlikowski & Gottschling
    2024, and their code).
    """
    if f.kind is not Kind.STEPS or f.variable is None:
        return elementwise(f, x)
    passes = x >= 0 if f.name == "max" else x < 0  # at a tie one of max and min, not both
    return Frozen(f(x), lambda c: jnp.where(passes, c, jnp.zeros_like(c)))


@chained
def polynomial(f: Equation, *x: jax.Array) -> Frozen:
    """`a_0 + a_1 x + ...` with constant coefficients, or such as are functions of x themselves."""
    if f.variable is None and not (len(x) == 1 and f.tracked[0]):
        raise MissingRuleError(f, "how a variable and its coefficients share is not defined")
    return elementwise(f, *x)


@chained
def magnitude(f: Equation, z: jax.Array) -> Frozen:
    """`|x|` keeps the sign; for a complex number it is a function of one variable."""
    if jnp.iscomplexobj(z):
        return elementwise(f, z)
    return Frozen(f(z), lambda c: jnp.where(z < 0, -c, c))


@chained
def power(f: Equation, *x: jax.Array) -> Frozen:
    """`x ** n`: a function of one variable; of two, in x alone, the exponent being a constant."""
    if len(x) < 2 or f.variable is not None:
        return elementwise(f, *x)
    return from_variable(f, f.inputs[0], lambda base: f(base, x[1]), singular=True)
