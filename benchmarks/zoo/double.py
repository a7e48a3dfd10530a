"""A model in double precision: the same program, the same numbers, float64 where float32 was.

Not every framework computes in float64 if asked to: Keras 3.15 on JAX rounds to float32 in between.
So the traced program is evaluated anew, which needs nothing of the framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from benchmarks.zoo.entry import Entry
from rfp_jax._core.control import CONTROL, Bodies
from rfp_jax._core.known import Known


def in_double(entry: Entry) -> Entry:
    """The entry with float64 in place of float32, to be called where `jax.enable_x64(True)`."""
    if entry.original is not None:  # what is taken over computes in its arguments' precision
        return entry._replace(args=jax.tree.map(_double, entry.args))
    with jax.enable_x64(False):
        traced = jax.make_jaxpr(entry.fun)(*entry.args)

    def fun(*args: Any) -> jax.Array:
        (output,), _ = _Double().run(traced.jaxpr, traced.consts, jax.tree.leaves(args))
        return output

    return entry._replace(fun=fun, args=jax.tree.map(_double, entry.args))


@dataclass(frozen=True)
class _Double:
    """Evaluates a program; loops and calls as `rfp_jax` itself does, here on arrays alone."""

    bodies: Bodies = field(default_factory=Bodies)
    known: Known = field(default_factory=Known)

    def anew(self, jaxpr: core.Jaxpr) -> _Double:
        """Return the walk through a body: the same, for it knows nothing of the values."""
        del jaxpr
        return self

    def constant(self, y: jax.Array, count: int) -> tuple[None, ...]:
        """Return no slots: there are no sources here."""
        del y
        return (None,) * count

    def run(
        self,
        jaxpr: core.Jaxpr,
        consts: Sequence[Any],
        values: Sequence[Any],
        tally: Any = None,
    ) -> tuple[list[Any], Any]:
        """Evaluate a jaxpr."""
        env: dict[core.Var, Any] = dict(zip(jaxpr.constvars, map(_double, consts), strict=True))
        env.update(zip(jaxpr.invars, values, strict=True))

        def read(atom: core.Var | core.Literal) -> Any:
            return _double(atom.val) if isinstance(atom, core.Literal) else env[atom]

        for eqn in jaxpr.eqns:
            operands = list(map(read, eqn.invars))
            if control := CONTROL.get(eqn.primitive.name):
                results, tally = control(self, eqn, operands, tally)
            else:
                params = eqn.primitive.get_bind_params(eqn.params)
                params = {name: _double_type(value) for name, value in params.items()}
                results = eqn.primitive.bind(*operands, **params)
                results = results if eqn.primitive.multiple_results else [results]
            env.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars], tally


def _double(value: Any) -> Any:
    is_single = getattr(value, "dtype", None) == np.float32
    return jnp.asarray(value, jnp.float64) if is_single else value


def _double_type(param: Any) -> Any:
    return np.dtype("float64") if isinstance(param, np.dtype) and param == np.float32 else param
