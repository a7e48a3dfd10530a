"""The law that every rule keeps, on an example call of every primitive that has one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import MissingRuleError, relevance, rules
from rfp_jax._core.frozen import chained, is_chained
from tests.oracles import calls

pytestmark = pytest.mark.slow

CALLS = [call for call in calls.everything() if call.mesh is None]
SCALES = (1, 0, 1e-30, 1e30)
FROZEN = [(call, sources) for call in CALLS for sources in call.subsets()]


def name(value):
    """The test's name for a call and its sources."""
    return value.primitive if isinstance(value, calls.Call) else "from" + "".join(map(str, value))


def frozen(fun, argnums, *args):
    """The steps of a propagation: (equation, what its push takes, the frozen step) each."""
    steps = []

    def watched(rule):
        def watch(equation, *activations):
            step = rule(equation, *activations)
            inputs = equation.inputs if step.inputs is None else step.inputs
            steps.append((equation, [value.activation for value in inputs], step))
            return step

        return chained(watch) if is_chained(rule) else watch

    table = {primitive: watched(rule) for primitive, rule in rules.lrp0.table.items()}
    relevance(fun, argnums, rules=rules.lrp0.with_rules(table))(*args)
    return steps


def numbers_of(equation, results):
    """The results that are numbers, as a list; None counts as zero."""
    several = equation.eqn.primitive.multiple_results
    avals = [var.aval for var in equation.eqn.outvars]
    results = [None] * len(avals) if results is None else results if several else [results]
    return [
        jnp.zeros(aval.shape, aval.dtype) if result is None else result
        for aval, result in zip(avals, results, strict=True)
        if jnp.issubdtype(aval.dtype, jnp.inexact)
    ]


def measure(equation, activations, step):
    """All that the law is about, as arrays: values, and pushes of random contributions c and d."""
    rng = np.random.default_rng(0)

    def random_like(array):
        return jnp.asarray(rng.normal(size=array.shape).astype(array.dtype))

    def push(*c):
        return numbers_of(equation, step.push(*c))

    c, d = (list(map(random_like, activations)) for _ in "cd")
    both = [2 * ci - 3 * di for ci, di in zip(c, d, strict=True)]
    pushed = push(*c)
    e = list(map(random_like, pushed))
    pulled = jax.linear_transpose(push, *c)(e)
    return {
        "activations": activations,
        "output": numbers_of(equation, step.output),
        "bias": numbers_of(equation, None if step.bias is None else step.bias()),
        "push": push(*activations),
        "push c": pushed,
        "push d": push(*d),
        "push 2c - 3d": push(*both),
        "c": c,
        "e": e,
        "pull e": pulled,
    }


def narrow(array):
    """In single precision, without what its square would overflow."""
    return np.where(np.abs(array) < 1e18, array, 1.0).astype("float32")


def assert_sum(parts, whole, what):
    """`whole` is the sum of `parts`, to rounding of the largest of them."""
    magnitude = np.max([np.abs(whole), *map(np.abs, parts)], axis=0)
    epsilon = max(np.finfo(a.dtype).eps for a in [whole, *parts])
    off = ~(np.abs(whole - sum(parts)) <= 100 * epsilon * magnitude)
    assert not off.any(), f"{what}: {[part[off] for part in parts]} do not add up to {whole[off]}"


def check(m, at):
    """The law on what was measured, where the output is finite."""
    finite = [np.isfinite(output) for output in m["output"]]
    for k, where in enumerate(finite):
        get = {part: m[part][k][where] for part in m if part[:4] in ("outp", "push", "bias")}
        assert_sum([get["push"], get["bias"]], get["output"], f"law of {at}")
        linear = [2 * get["push c"], -3 * get["push d"]]
        assert_sum(linear, get["push 2c - 3d"], f"linearity of {at}")
    if all(where.all() for where in finite):
        epsilon = max(np.finfo(a.dtype).eps for a in [*m["activations"], *m["push"]])
        forward = [e * pushed for e, pushed in zip(m["e"], m["push c"], strict=True)]
        reverse = [pulled * c for pulled, c in zip(m["pull e"], m["c"], strict=True)]
        difference = abs(sum(p.sum().real for p in forward) - sum(p.sum().real for p in reverse))
        size = sum(np.abs(p).sum() for p in forward)
        assert difference <= 1e3 * epsilon * size, f"transpose of {at}"


@pytest.mark.parametrize(("call", "sources"), FROZEN, ids=name)
@pytest.mark.filterwarnings("ignore:.*overflow:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::rfp_jax.RelevanceStopsWarning")
def test_a_rule_freezes_its_equation_as_an_affine_map(call, sources, x64):
    """`output == push(activations) + bias`, and push is linear and has a transpose.

    At all special values: zeros, ties, saturation, huge and tiny numbers. In particular what leaves
    an operation equals what enters, plus the bias that the rule declares. Or the rule refuses, and
    says why.
    """
    given = [call.operands[i] for i in sources]
    vector = given[0].ndim == 1
    variants = [(1, "float64"), (1, "float32")] if vector else [(s, "float64") for s in SCALES]
    for scale, dtype in variants:
        args = call.arrays()
        for i, array in zip(sources, given, strict=True):
            args[i] = jnp.asarray(narrow(array) if dtype == "float32" else array * scale)
        try:
            steps = frozen(call.fun, sources, *args)
        except MissingRuleError as refusal:
            assert "why:" in str(refusal)  # noqa: PT017 (most calls are not refused)
            return
        for equation, activations, step in steps:
            if (
                step.push is not None
                and step.inputs != ()
                and all(np.isfinite(a).all() for a in activations)
            ):
                measured = jax.tree.map(np.asarray, measure(equation, activations, step))
                check(measured, f"{equation.name} at scale {scale}, {dtype}")
