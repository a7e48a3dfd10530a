"""Sources that are None keep their place."""

import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax import audit, heatmap, relevance, sources

pytestmark = pytest.mark.usefixtures("x64")


def test_an_optional_source_keeps_its_place():
    def fused(x, y):
        return x if y is None else x + y

    rel = relevance(fused, (0, 1))(1.0, None)
    assert rel.sources[1] is None
    assert float(rel.sources[0]) == 1.0
    x = jnp.arange(6.0).reshape(2, 3)
    rel = relevance(fused, (0, 1), split=(sources.axis(1), sources.axis(1)))(x, None)
    assert rel.sources[0].shape == (3, 2, 3)
    assert rel.sources[1] is None
    rel = relevance(fused, (0, 1), split=(None, sources.axis(1)))(x, None)
    np.testing.assert_array_equal(rel.sources[0], x)
    rel = relevance(fused, (0, 1), outputs="argmax")(x, None)
    np.testing.assert_array_equal(rel.sources[0], [2.0, 5.0])
    heats = heatmap(fused, (0, 1))(x, None)
    assert heats[1] is None
    assert audit(fused, (0, 1))(x, None).passed


def test_an_optional_source_in_a_dict():
    def fused(inputs):
        return sum(v for v in inputs.values() if v is not None)

    rel = relevance(fused)({"a": jnp.ones(2), "b": None, "c": 2 * jnp.ones(2)})
    assert rel.sources["b"] is None
    np.testing.assert_array_equal(rel.sources["c"], [2.0, 2.0])


def test_all_sources_missing_are_refused():
    with pytest.raises((TypeError, ValueError)):
        relevance(lambda x: jnp.ones(2))(None)
