"""Agreement of explanations, against SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from rfp_jax.attribution import (
    agreement,
)

pytestmark = pytest.mark.usefixtures("x64")


def test_agreement_is_scipys_rank_correlation():
    rng = np.random.default_rng(0)
    first, second = (
        {"a": rng.integers(0, 6, (7, 5)).astype(float), "b": rng.normal(size=(7, 2, 2))}
        for _ in range(2)
    )
    result = agreement(first, second)
    for i in range(7):
        a, b = (np.concatenate([x["a"][i], x["b"][i].ravel()]) for x in (first, second))
        np.testing.assert_allclose(result.rank_correlation[i], scipy.stats.spearmanr(a, b)[0])
        np.testing.assert_allclose(result.l1[i], np.abs(a - b).mean())


def test_agreement_with_a_constant_is_undefined():
    result = agreement(jnp.ones((1, 4)), jnp.arange(4.0)[None])
    assert np.isnan(result.rank_correlation[0])


def test_agreement_of_different_things_is_refused():
    with pytest.raises(ValueError, match="same structure and shapes"):
        agreement((jnp.ones((2, 3)),), (jnp.ones((2, 3)), jnp.ones((2, 3))))
    with pytest.raises(ValueError, match="same structure and shapes"):
        agreement({"sar": jnp.ones((2, 3))}, (jnp.ones((2, 3)),))
    with pytest.raises(ValueError, match="axis of samples"):
        agreement(jnp.ones(()), jnp.ones(()))
