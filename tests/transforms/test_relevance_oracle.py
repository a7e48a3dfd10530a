"""relevance() against the paper's definition in slots, on random small networks.

Each is compiled as a whole: its operations one by one, of shapes of their own, would take longer.
"""

import jax
import numpy as np
import pytest
from hypothesis import given, settings

from rfp_jax import relevance
from tests.oracles import nets, slots

pytestmark = pytest.mark.usefixtures("x64")


def check_against_slots(net: nets.Net) -> None:
    """Every source's relevance and the bias, to 1e-10 of the largest number in the network."""
    forms, sources = net.build()
    rel = jax.jit(relevance(forms.plain, tuple(range(len(sources)))))(*sources)
    expected = forms.slots(*sources)
    expected_sources, expected_bias = slots.relevance(expected)
    tolerance = 1e-10 * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(rel.output, slots.total(expected), rtol=0, atol=tolerance)
    np.testing.assert_allclose(rel.bias, expected_bias, rtol=0, atol=tolerance)
    for got, want in zip(rel.sources, expected_sources, strict=True):
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def check_against_gradient_times_input(net: nets.Net) -> None:
    """`x_s · ∂f/∂x_s`, by JAX's own derivative of the plain network: it is piecewise linear."""
    forms, sources = net.build()
    rel = jax.jit(relevance(forms.plain, tuple(range(len(sources)))))(*sources)
    tolerance = 1e-10 * max(1.0, float(np.abs(rel.output).max()))
    derivative = jax.jit(lambda *along: jax.jvp(forms.plain, tuple(sources), along)[1])
    for s, got in enumerate(rel.sources):
        alone = [x if i == s else np.zeros_like(x) for i, x in enumerate(sources)]
        np.testing.assert_allclose(got, derivative(*alone), rtol=0, atol=tolerance)


@pytest.mark.slow
@settings(max_examples=20)
@given(nets.nets(whole=False))
def test_equals_the_definition(net):
    check_against_slots(net)


@pytest.mark.slow
@settings(max_examples=20)
@given(nets.nets(whole=True))
def test_equals_the_definition_at_zeros_and_ties(net):
    check_against_slots(net)


@settings(max_examples=6)
@given(nets.nets(whole=False))
def test_equals_gradient_times_input(net):
    check_against_gradient_times_input(net)
