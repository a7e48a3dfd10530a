r"""Contributions in less precision than the activations, as far as a bound on their error allows.

A push is linear, so it amplifies an error of a contribution just as it amplifies the contribution.
Rounded to a dtype of unit roundoff u, a contribution has a relative error of u at most; a product
of matrices or a convolution rounds its two operands and its result, anything else its result. So
after equations that together round n times

$$ |\hat c - c| \le n u \, |L_k| \cdots |L_1| \, |c_0| , $$

to first order: relative to what the contribution would be if nothing canceled on its way (Higham,
"Accuracy and Stability of Numerical Algorithms", 2002, section 3.5). n is a fact of the program.
Where n u would exceed the bound, contributions stay in the precision of the activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.typing import DTypeLike

from rfp_jax._core.carrier import Carried, Contributions
from rfp_jax._core.equation import Equation
from rfp_jax._core.frozen import Frozen
from rfp_jax._core.jaxprs import (
    as_list,
    bind_params,
    dtype_of,
    evaluate,
    interpret,
)
from rfp_jax._core.precision import is_narrower
from rfp_jax._core.primitives import LAYERS, PLACEMENTS
from rfp_jax._core.signatures import asarray, epsilon, make_jaxpr
from rfp_jax._core.value import Tracked
from rfp_jax._util import shapes


@dataclass(frozen=True, kw_only=True)
class Rounded(Contributions):
    """Slots hold contributions, rounded to a narrower dtype.

    Products of matrices and convolutions are computed in that dtype, where hardware adds in more;
    all else in the activations' own. In bodies of loops and branches nothing is
    rounded: there, errors would grow with the number of steps.

    Attributes:
        dtype: what contributions are rounded to.
        max_error: the greatest error that rounding may add, as in the inequality above.
    """

    dtype: DTypeLike
    max_error: float

    @property
    def wide(self) -> Contributions:
        """The same without rounding."""
        return Contributions()

    def read(
        self, y: shapes.Inexact[jax.Array, "*shape"], carried: shapes.Inexact[jax.Array, "*shape"]
    ) -> shapes.Inexact[jax.Array, "*shape"]:
        """Return the contribution, in the dtype of the activation."""
        return asarray(carried, y.dtype) if is_narrower(carried.dtype, y.dtype) else carried

    def rounding(self, equation: Equation, frozen: Frozen, inputs: Sequence[Tracked]) -> float:
        """Return the bound n u on the error of the results' contributions."""
        before = max((value.facts.rounding for value in inputs), default=0.0)
        after = before + _roundings(equation, frozen, inputs) * epsilon(self.dtype) / 2
        return after if after <= self.max_error else before

    def push(
        self, equation: Equation, frozen: Frozen, inputs: Sequence[Tracked], carried: Carried
    ) -> Carried:
        """Push contributions and round them, where the bound allows it."""
        before = max(value.facts.rounding for value in inputs)
        rounds = self.rounding(equation, frozen, inputs) > before
        if rounds and _is_product(equation, inputs):
            frozen = frozen._replace(push=_with_products_in(self.dtype, frozen.pushed))
        each = zip(carried, inputs, strict=True)
        wide = [None if c is None else self.read(v.activation, c) for c, v in each]
        pushed = super().push(equation, frozen, inputs, wide)
        if rounds:
            dtype = self.dtype
        elif _only_moves(equation, frozen):  # what was rounded stays so
            dtype = jnp.result_type(*(c for c in carried if c is not None))
        else:
            return pushed
        own = zip(pushed, frozen.outputs, strict=True)
        return [c if c is None or c is y else _rounded(c, dtype) for c, y in own]


def _roundings(equation: Equation, frozen: Frozen, inputs: Sequence[Tracked]) -> int:
    if _only_moves(equation, frozen):
        return 0
    return 3 if _is_product(equation, inputs) else 1


def _is_product(equation: Equation, inputs: Sequence[Tracked]) -> bool:
    """Return whether contributions to one operand are multiplied with what is frozen."""
    return equation.name in LAYERS and len(inputs) == 1


def _only_moves(equation: Equation, frozen: Frozen) -> bool:
    """Return whether a push hands elements on: the equation itself does, and is its own push."""
    return equation.name in PLACEMENTS and isinstance(frozen.push, Equation)


def _rounded(c: jax.Array, dtype: DTypeLike) -> jax.Array:
    return c.astype(dtype) if is_narrower(dtype, c.dtype) else c


def _with_products_in(
    dtype: DTypeLike, push: Callable[..., list[jax.Array | None]]
) -> Callable[..., list[jax.Array]]:
    """Return a push whose products of contributions with constants multiply in a dtype.

    Of several products one after the other, the first: it rounds its operands once.
    """

    def narrow(*contributions: jax.Array | None) -> list[jax.Array]:
        present = [c for c in contributions if c is not None]

        def given(*present: jax.Array) -> list[jax.Array | None]:
            rest = iter(present)
            return push(*(None if c is None else next(rest) for c in contributions))

        closed = make_jaxpr(given)(*present)
        moving = [(c, True) for c in present]
        walked = interpret(closed.jaxpr, closed.consts, moving, lambda c: (asarray(c), False), step)
        return [value for value, _ in walked]

    def step(eqn: core.JaxprEqn, given: list[_Moving]) -> list[_Moving]:
        operands, moves = [value for value, _ in given], any(moving for _, moving in given)
        params = bind_params(eqn)
        if moves and eqn.primitive.name in LAYERS:
            params["preferred_element_type"] = np.dtype(dtype)
            operands, moves = [_rounded(value, dtype) for value in operands], False
        found = as_list(eqn, evaluate(eqn, operands, params))
        return [(asarray(y, dtype_of(v)), moves) for y, v in zip(found, eqn.outvars, strict=True)]

    return narrow


_Moving = tuple[jax.Array, bool]
"""A value of a push, and whether it is a contribution that no product has rounded yet."""
