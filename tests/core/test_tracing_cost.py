"""Tracing costs no more than the program."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from rfp_jax import relevance, rules
from tests.oracles import calls

pytestmark = pytest.mark.usefixtures("x64")


def _count_of_asked_rules(fun, *args):
    asked = []
    counting = rules.lrp0.override(lambda eq: bool(asked.append(eq.name)), rules.tangent())
    relevance(fun, tuple(range(len(args))), rules=counting)(*args)
    return len(asked)


def test_nested_branches_cost_no_more_than_the_program():
    def equations(depth):
        return _count_of_asked_rules(_chain(depth), jnp.asarray(0.5))

    def _chain(depth):
        body = jnp.tanh
        for level in range(depth):
            body = _branch(body, level)
        return body

    def _branch(inner, level):
        return lambda x: lax.cond(x > level, inner, lambda x: x * 2.0, x)

    assert equations(12) <= 3 * equations(4) + 10


def test_a_long_chain_costs_no_more_than_the_program():
    def horner(steps):
        def fun(x):
            y = x
            for _ in range(steps):
                y = y * x + 0.5
            return y

        return fun

    def size(steps):
        jaxpr = jax.make_jaxpr(relevance(horner(steps)))(jnp.asarray(0.5))
        return sum(1 for _ in calls.equations(jaxpr))

    assert size(100) <= 2.5 * size(50)
