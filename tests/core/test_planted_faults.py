"""A certificate that can fail: faults planted in each rule are caught, and named."""

import warnings

import jax
import jax.numpy as jnp
import pytest

from rfp_jax import MissingRuleError, audit, rules
from tests.oracles import calls
from tests.oracles.planted import FAULTS, Around, Planted, is_fault

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("x64"),
    pytest.mark.filterwarnings("ignore::rfp_jax.RelevanceStopsWarning"),
]

with jax.enable_x64(True):
    CALLS = [call for call in calls.everything() if call.mesh is None and call.runs]
CALLS = [c for c in CALLS if rules.lrp0.table[c.primitive].__name__ not in ("refuse", "constant")]
LAPACK = ("custom_linear_solve",)
DTYPES = (jnp.float32, jnp.bfloat16)


def in_dtype(call, around, dtype):
    """The network and its sources; JAX has some primitives in some precisions only."""
    if dtype == jnp.bfloat16 and call.primitive in LAPACK:
        pytest.skip(f"LAPACK has no {call.primitive} in bfloat16")
    try:
        network, sources = around.build(call, dtype)
        jax.eval_shape(network, *sources)
    except (TypeError, ValueError, NotImplementedError) as error:
        pytest.skip(f"{call.primitive} is not defined in {dtype.__name__}: {error}"[:100])
    return network, sources


def certificate(call, around, dtype, composite="lrp0"):
    """The audit of a network around a call, with a set of rules."""
    network, sources = in_dtype(call, around, dtype)
    try:
        return audit(network, tuple(range(len(sources))), rules=composite)(*sources)
    except MissingRuleError as error:
        pytest.skip(f"refused: {error.reason}")


def chosen(call, place):
    """One network of many around a call, so that every pair of choices meets in some call."""
    around = Around(place % 2 == 0, place // 2 % 2 == 0, place % 7 == 6)
    dtype = jnp.float32 if call.primitive in LAPACK else DTYPES[(place + place // 5) % 2]
    return around, dtype


FIRST = list({c.primitive: c for c in reversed(CALLS)}.values())
"""One call of each primitive."""


def breaks(call, fault, around):
    """Return whether the fault is one here; skip the test where the rule refuses."""
    try:
        return is_fault(call, around, fault)
    except MissingRuleError as error:
        pytest.skip(f"refused: {error.reason}")


def check_fault(call, fault, around, dtype):
    """The fault is caught and named."""
    planted = Planted(call.primitive, FAULTS[fault]).rules()
    report = certificate(call, around, dtype, planted)
    assert not report.passed, report.verdict
    assert {entry.primitive for entry in report.guilty} == {call.primitive}, report.verdict


@pytest.mark.parametrize(
    ("call", "place"),
    [(call, place) for place, call in enumerate(FIRST)],
    ids=[call.primitive for call in FIRST],
)
def test_a_fault_in_each_rule_is_caught(call, place):
    around, dtype = chosen(call, place)
    faults = list(FAULTS)
    turned = faults[place % 5 :] + faults[: place % 5]
    real = next((fault for fault in turned if breaks(call, fault, around)), None)
    if real is None:
        pytest.skip("it passes no relevance here")
    check_fault(call, real, around, dtype)


@pytest.mark.parametrize(
    ("call", "place"),
    [
        pytest.param(call, place, marks=[pytest.mark.long] if place % 2 else [], id=call.primitive)
        for place, call in enumerate(FIRST)
    ],
)
def test_a_right_rule_is_never_blamed(call, place):
    around, dtype = chosen(call, place + 1)
    report = certificate(call, around, dtype)
    assert not report.guilty, report.verdict
    assert report.passed or not report.finite, report.verdict


def test_the_faults_are_faults_of_a_layer():
    """That a fault is skipped where it is none must not skip all of them."""
    product = next(c for c in CALLS if c.primitive == "sub")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {f for f in FAULTS if is_fault(product, Around(True, True), f)}
    assert found >= {"factor", "dropped term", "wrong gate", "swapped operands"}
