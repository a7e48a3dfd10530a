"""The walk over a traced program that carries (activation, contributions) pairs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core, source_info_util
from jax.typing import DTypeLike

from rfp_jax.control import CONTROL
from rfp_jax.equation import Equation, bind
from rfp_jax.errors import IrreversibleError, MissingRuleError
from rfp_jax.pair import Pair, Value, activation, slots
from rfp_jax.precision import widen
from rfp_jax.roles import ELEMENTWISE, LAYERS, is_gate
from rfp_jax.rules.affine import Affine, constant
from rfp_jax.rules.ruleset import Rules


def _are_known_scalars(operands: Sequence[Any]) -> bool:
    """Whether operands are known single numbers, such as exponents and bounds of a clip."""
    return all(np.ndim(value) == 0 and not isinstance(value, Tracer) for value in operands)


@dataclass(frozen=True)
class Propagation:
    """Evaluates a program on arrays and pairs: each equation by JAX, each contribution by its rule.

    Attributes:
        rules: which rule an equation gets.
        reverse: whether the walk will be transposed, which loops of unknown length cannot be.
        dtype: the precision of contributions; None for that of the activations.
        path: the name stack of the call in whose body the walk is.
        source: the user's line of that call.
    """

    rules: Rules
    reverse: bool = False
    dtype: DTypeLike | None = None
    path: str = ""
    source: str = ""

    def run(self, jaxpr: core.Jaxpr, consts: Sequence[Any], values: Sequence[Value]) -> list[Value]:
        """Evaluate a jaxpr.

        Args:
            jaxpr: the program.
            consts: values of its constant variables.
            values: its arguments; those that depend on a source are pairs, with equally many slots.

        Returns:
            Its results; those that depend on a source are pairs.

        Raises:
            MissingRuleError: an operation on a pair has no rule.
        """
        env: dict[core.Var, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, values, strict=True))

        def read(atom: core.Var | core.Literal) -> Value:
            return atom.val if isinstance(atom, core.Literal) else env[atom]

        last_use = {v: eqn for eqn in jaxpr.eqns for v in eqn.invars if isinstance(v, core.Var)}
        kept = {v for v in jaxpr.outvars if isinstance(v, core.Var)}
        for eqn in jaxpr.eqns:
            stack = source_info_util.current_name_stack() + eqn.source_info.name_stack
            with source_info_util.user_context(eqn.source_info.traceback, name_stack=stack):
                results = self.step(eqn, tuple(map(read, eqn.invars)))
            env.update(zip(eqn.outvars, results, strict=True))
            for atom in eqn.invars:  # activations that nobody will ask for are let go
                if isinstance(atom, core.Var) and last_use[atom] is eqn and atom not in kept:
                    env.pop(atom, None)
        return [read(atom) for atom in jaxpr.outvars]

    def step(self, eqn: core.JaxprEqn, values: tuple[Value, ...]) -> Sequence[Value]:
        """Evaluate one equation."""
        if not any(isinstance(value, Pair) for value in values):
            operands = list(map(activation, values))
            stays_known = eqn.primitive.name in ELEMENTWISE and _are_known_scalars(operands)
            with jax.ensure_compile_time_eval() if stays_known else nullcontext():
                result = bind(eqn, operands)
            return result if eqn.primitive.multiple_results else [result]
        name = eqn.primitive.name
        path = "/".join(filter(None, (self.path, str(eqn.source_info.name_stack))))
        source = source_info_util.summarize(eqn.source_info) or self.source
        if control := CONTROL.get(name):
            if name == "while" and self.reverse:
                raise IrreversibleError(path, source)
            return control(self.inside(eqn, path, source).run, eqn, values)
        elementwise = name in ELEMENTWISE
        equation = Equation(eqn, values, path, source, elementwise, dtype=self.dtype)
        return self.pairs(equation, self.freeze(equation))

    def inside(self, eqn: core.JaxprEqn, path: str, source: str) -> Propagation:
        """The walk through the bodies of a call, loop or branch."""
        del eqn  # of interest to walks that keep account
        return replace(self, path=path, source=source)

    def freeze(self, equation: Equation) -> Affine:
        """Evaluate an equation by its rule."""
        rule = constant if equation.is_discrete else self.rules(equation)
        if rule is None:
            raise MissingRuleError(equation)
        step = rule(equation, *(pair.activation for pair in equation.pairs))
        return step if self.dtype is None else step._replace(output=equation.plain())

    def pairs(self, equation: Equation, step: Affine) -> list[Value]:
        """Push every source's contributions through an equation that its rule has frozen."""
        several = equation.eqn.primitive.multiple_results
        outputs = list(step.output) if several else [step.output]
        if step.push is None:
            return outputs
        outputs = [widen(output, self.dtype) for output in outputs]
        step = step._replace(output=outputs if several else outputs[0])
        inputs = equation.pairs if step.of is None else step.of
        pushed = [
            [None] * len(outputs)
            if all(c is None for c in carried)
            else self.push(equation, step, inputs, carried)
            for carried in slots(inputs)
        ]
        recipe, dominator = None, equation.dominator
        if equation.name == "concatenate":
            recipe = equation
        elif dominator is not None:
            depth = dominator.depth + 1
            recipe = replace(equation, shifts=step.bias is not None, depth=depth)
        common = Pair(
            activation=outputs[0],
            contributions=(),
            gate=is_gate(equation),
            entered=equation.name in LAYERS or any(pair.entered for pair in equation.pairs),
            recipe=recipe,
            layer=step.layer,
        )

        def pair(place: int, output: jax.Array) -> Value:
            if not jnp.issubdtype(output.dtype, jnp.inexact):
                return output  # places and counts carry no relevance
            carried = tuple(row[place] for row in pushed)
            return replace(common, activation=output, contributions=carried)

        return [pair(place, output) for place, output in enumerate(outputs)]

    def push(
        self,
        equation: Equation,
        step: Affine,
        inputs: Sequence[Pair],
        carried: Sequence[jax.Array | None],
    ) -> Sequence[jax.Array | None]:
        """Push what one source contributed to the inputs; some of it may be absent, not all."""
        several = equation.eqn.primitive.multiple_results
        given = list(zip(carried, inputs, strict=True))
        if step.bias is None and all(c is pair.activation for c, pair in given):
            # All of it came from this source, and nothing was added.
            return list(step.output) if several else [step.output]
        assert step.push is not None
        if not step.sums:
            carried = [jnp.zeros_like(pair.activation) if c is None else c for c, pair in given]
        pushed = step.push(*carried)
        return pushed if several else [pushed]

    def seed(self, x: jax.Array) -> jax.Array:
        """What a whole source carries at first: all that there is of itself."""
        return x

    def carry(self, y: jax.Array, c: jax.Array) -> jax.Array:
        """What an activation y carries of a contribution c."""
        del y
        return c

    def read(self, y: jax.Array, carried: jax.Array) -> jax.Array:
        """The contribution that an activation y carries; the inverse of `carry`."""
        del y
        return carried
