"""One equation of a traced program, as a function of those operands that depend on a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.typing import DTypeLike

from rfp_jax.pair import Pair, Value, activation, nearest_common_dominator
from rfp_jax.precision import narrow, widen


def bind(eqn: core.JaxprEqn, operands: Sequence[jax.Array]) -> Any:
    """Evaluate an equation of a jaxpr as JAX would, in the program's own precision."""
    operands = [narrow(value, var.aval) for value, var in zip(operands, eqn.invars, strict=True)]
    return eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))


@dataclass(frozen=True, eq=False)
class Equation:
    """An equation as a function of its tracked operands; the other operands are filled in.

    A rule receives it first: calling it evaluates the equation at other activations.

    Attributes:
        eqn: the equation of the jaxpr.
        values: its operands.
        path: where it stands: the name stack, which in Flax Linen is the module path.
        source: the user's line that made it, as `file:line (function)`.
        elementwise: whether each element of the result depends on the elements at the same place of
            the operands alone.
        shifts: whether its rule adds a constant.
        depth: how many dominators stand above the result.
        dtype: the precision of contributions, and so of the equation as a function; None for that
            of the program.
    """

    eqn: core.JaxprEqn
    values: tuple[Value, ...]
    path: str = ""
    source: str = ""
    elementwise: bool = False
    shifts: bool = False
    depth: int = 0
    dtype: DTypeLike | None = None

    def __call__(self, *activations: jax.Array) -> Any:
        """The equation's result, at these values of its tracked operands."""
        tracked = iter(activations)
        return self.bind([next(tracked) if isinstance(v, Pair) else v for v in self.values])

    def bind(self, operands: Sequence[jax.Array]) -> Any:
        """The equation's result, at these values of all its operands."""
        if self.dtype is None:
            return bind(self.eqn, operands)
        params = self.eqn.primitive.get_bind_params(self.eqn.params)
        params = {name: widen(param, self.dtype) for name, param in params.items()}
        return self.eqn.primitive.bind(*(widen(x, self.dtype) for x in operands), **params)

    def plain(self) -> Any:
        """What the plain program computes here, in its own precision."""
        return bind(self.eqn, self.operands)

    @property
    def name(self) -> str:
        """The primitive's name, for instance `'dot_general'`."""
        return self.eqn.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        """The primitive's static parameters."""
        return self.eqn.params

    @property
    def operands(self) -> list[jax.Array]:
        """All operands as plain arrays."""
        return [activation(value) for value in self.values]

    @property
    def tracked(self) -> tuple[bool, ...]:
        """For each operand whether it depends on a source."""
        return tuple(isinstance(value, Pair) for value in self.values)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The tracked operands."""
        return tuple(value for value in self.values if isinstance(value, Pair))

    @cached_property
    def dominator(self) -> Pair | None:
        """The nearest pair of which the result is an elementwise function of one variable."""
        if not self.elementwise:
            return None
        shape = jnp.broadcast_shapes(*map(jnp.shape, self.operands))
        broadcast = any(pair.activation.shape != shape for pair in self.pairs)
        return None if broadcast else nearest_common_dominator(self.pairs)

    @property
    def is_first(self) -> bool:
        """Whether no layer with weights lies between the sources and the operands."""
        return not any(pair.entered for pair in self.pairs)

    @property
    def is_discrete(self) -> bool:
        """Whether all results are integers or truth values, which carry no relevance."""
        dtypes = (getattr(var.aval, "dtype", None) for var in self.eqn.outvars)
        return not any(d is not None and jnp.issubdtype(d, jnp.inexact) for d in dtypes)

    def shifts_since(self, ancestor: Pair) -> bool:
        """Whether a constant was added on the way from one of the dominators to the operands."""
        seen, waiting = {id(ancestor)}, list(self.pairs)
        while waiting:
            pair = waiting.pop()
            if pair.recipe and id(pair) not in seen:
                if pair.recipe.shifts:
                    return True
                seen.add(id(pair))
                waiting.extend(pair.recipe.pairs)
        return False

    def of(self, ancestor: Pair) -> Callable[[jax.Array], jax.Array]:
        """The result as a function of the activation of one of its dominators."""

        def fun(z: jax.Array) -> jax.Array:
            values = {id(ancestor): z}
            waiting = list(self.pairs)
            while waiting:  # no recursion: chains can be long
                pair = waiting[-1]
                if id(pair) in values:
                    waiting.pop()
                    continue
                assert pair.recipe is not None  # dominated by ancestor, and not the ancestor
                missing = [p for p in pair.recipe.pairs if id(p) not in values]
                waiting.extend(missing)
                if not missing:
                    values[id(pair)] = pair.recipe(*(values[id(p)] for p in pair.recipe.pairs))
            return self(*(values[id(pair)] for pair in self.pairs))

        return fun
