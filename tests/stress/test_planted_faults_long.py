"""All faults in all rules, in each precision, with one and with several sources, in loops."""

from itertools import product

import jax.numpy as jnp
import pytest
from core.test_planted_faults import CALLS, breaks, certificate, check_fault

from tests.oracles.planted import FAULTS, Around

pytestmark = [
    pytest.mark.usefixtures("x64"),
    pytest.mark.filterwarnings("ignore::rfp_jax.RelevanceStopsWarning"),
]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("around", [Around(*choice) for choice in product([True, False], repeat=3)])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS, ids=[call.primitive for call in CALLS])
def test_a_planted_fault_is_caught(call, fault, around, dtype):
    if not breaks(call, fault, around):
        pytest.skip("no fault here: the law holds all the same, by its definition")
    check_fault(call, fault, around, dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("around", [Around(*choice) for choice in product([True, False], repeat=3)])
@pytest.mark.parametrize("call", CALLS, ids=[call.primitive for call in CALLS])
def test_a_right_network_passes(call, around, dtype):
    report = certificate(call, around, dtype)
    if report.unsupported:
        pytest.skip(report.verdict)
    assert report.passed or not report.finite, report.verdict
