"""The answer depends on the function, not on how it is written: each identity, written each way."""

import functools
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import RelevanceStopsWarning, heatmap, relevance
from tests.oracles.expressions import CALLS, Node, numbers
from tests.oracles.writings import ARITY, DEFAULT, FORMS
from tests.oracles.writings_of_one import SHAPE

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.slow]

WEIGHTS = np.cos(1.0 + np.arange(6)).reshape(SHAPE)
CLOSE = 1e-9


def both_ways(expression, preset, sources):
    """Output, relevance of each source and bias; heatmaps of some weighting of the outputs."""
    argnums = tuple(range(len(sources)))
    with warnings.catch_warnings():  # an expression may stop a source: both writings then do
        warnings.simplefilter("ignore", RelevanceStopsWarning)
        rel = relevance(expression, argnums, rules=preset)(*sources)
        heats = heatmap(expression, argnums, outputs=jnp.asarray(WEIGHTS), rules=preset)(*sources)
    for row, heat in zip(rel.sources, heats, strict=True):
        size = float(jnp.abs(rel.output).max() + jnp.abs(row).max())
        np.testing.assert_allclose((WEIGHTS * row).sum(), heat.sum(), rtol=0, atol=CLOSE * size * 6)
    return rel, heats


@functools.cache
def first_writing(expression, preset, seed, count):
    """The results of an expression as it is written first, which many tests compare with."""
    return both_ways(expression, preset, numbers(count, seed=seed))


def check(expression, preset, sources, first=None):
    """Both writings have the same relevance, forwards and backwards."""
    first, heats = first or both_ways(expression.first(), preset, sources)
    if not float(jnp.abs(first.output).max()) < 1e6:
        return  # too large to be compared, or no number
    other, other_heats = both_ways(expression, preset, sources)
    size = max(float(jnp.abs(a).max()) for a in (first.output, *first.sources, *heats))
    np.testing.assert_allclose(other.output, first.output, rtol=0, atol=CLOSE * size)
    pairs = zip((*first.sources, *heats), (*other.sources, *other_heats), strict=True)
    for one, two in pairs:
        assert np.isfinite(two).all()
        np.testing.assert_allclose(two, one, rtol=0, atol=CLOSE * size, err_msg=str(expression))


WRITINGS = [
    (preset, name, written)
    for preset, forms in FORMS.items()
    for name in forms
    for written in range(1, len(DEFAULT[name]))
    if preset != "cp_lrp"  # the default under another name
]


@pytest.mark.parametrize(("preset", "name", "written"), WRITINGS)
def test_each_identity_alone(preset, name, written):
    """Behind layers, which add a bias; under the default also on sources themselves."""
    sources = numbers(ARITY[name], seed=3)
    parts = tuple(Node(str(i)) for i in range(ARITY[name]))
    behind = Node(name, tuple(Node("dense", (part,)) for part in parts), written)
    for node in (Node(name, parts, written), behind) if preset == "lrp0" else (behind,):
        check(node, preset, sources, first_writing(node.first(), preset, 3, len(sources)))


@pytest.mark.parametrize("called", range(1, len(CALLS)))
@pytest.mark.parametrize("name", ["softplus", "gelu", "gate", "attention", "product", "layer_norm"])
def test_each_call_alone(called, name):
    sources = numbers(ARITY[name], seed=3)
    parts = tuple(Node(str(i)) for i in range(ARITY[name]))
    check(Node(name, parts, called=called), "lrp0", sources)
    check(Node("silu", (Node(name, parts, wrapped=called),)), "lrp0", sources)
