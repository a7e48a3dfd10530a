"""The scales of a program: variables that divide something, somewhere in it.

A scale that divides a signal is a constant for the rules, and so it has to be where it multiplies
one: `x / s * s` is x. Which variables divide is read off the program before it is walked.
"""

from __future__ import annotations

from jax.extend import core

from rfp_jax._core.jaxprs import Atom, inner_jaxprs
from rfp_jax._core.primitives import MOVES

_BESIDE_CONSTANT = frozenset("add sub mul div max".split())


def divisors(jaxpr: core.Jaxpr) -> frozenset[core.Var]:
    """Return the variables of a program, and of what it calls, by which something is divided.

    They are followed backwards through placements, through sums and products with constants
    (`s + 1e-5`), and into calls.
    """
    seen: dict[tuple[int, frozenset[core.Var]], frozenset[core.Var]] = {}

    def search(jaxpr: core.Jaxpr, ends: frozenset[core.Var]) -> frozenset[core.Var]:
        """Return them for a program by some of whose results its caller divides."""
        found = set(ends)
        for eqn in reversed(jaxpr.eqns):
            name = eqn.primitive.name
            variables = [v for v in eqn.invars if isinstance(v, core.Var)]
            if name == "div":
                found.update(v for v in eqn.invars[1:] if isinstance(v, core.Var))
            divides = any(v in found for v in eqn.outvars)
            if divides and (name in MOVES or (name in _BESIDE_CONSTANT and len(variables) == 1)):
                found.update(variables)
            for body in inner_jaxprs(eqn):
                is_call = len(body.invars) == len(eqn.invars)  # loops and branches have others
                both = list(zip(eqn.outvars, body.outvars, strict=False)) if is_call else []
                found |= (inner := inside(body, frozenset(b for a, b in both if a in found)))
                if is_call:
                    pairs = zip(eqn.invars, body.invars, strict=True)
                    found.update(a for a, b in pairs if b in inner and isinstance(a, core.Var))
        return frozenset(found)

    def inside(body: core.Jaxpr, ends: frozenset[Atom]) -> frozenset[core.Var]:
        variables = frozenset(v for v in ends if isinstance(v, core.Var))
        key = id(body), variables
        if key not in seen:  # a body that stands in many places is read once
            seen[key] = search(body, variables)
        return seen[key]

    return search(jaxpr, frozenset())
