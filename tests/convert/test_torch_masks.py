"""Masks that are known only when the network runs, and what is written through them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rfp_jax
from rfp_jax.convert import from_torch
from tests.golden.weights import relative_error

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


class Masked(nn.Module):
    """Words, among which patches of an image stand, some masked, in some features only."""

    def __init__(self):
        super().__init__()
        self.token, self.head = nn.Parameter(torch.arange(3.0)), nn.Linear(3, 2)

    def forward(self, words, patches, is_patch, is_masked, unused):
        words = words.clone()
        words[is_patch] = patches
        words[is_masked] = self.token
        words[..., unused] = 0.5
        return self.head(words).sum(1)


def test_rows_are_written_through_masks_under_jit(x64):
    rng = np.random.default_rng(0)
    words, patches = rng.standard_normal((2, 3, 3)), rng.standard_normal((3, 3))
    masks = (
        np.array([[True, False, True], [False, True, False]]),
        np.array([[False, True, False], [False, False, False]]),
        np.array([False, True, False]),
    )
    module = Masked().double().eval()
    expected = module(*map(torch.from_numpy, (words, patches, *masks))).detach().numpy()
    fun, params = from_torch(module)
    relevance = jax.jit(rfp_jax.relevance(fun, argnums=(1, 2)))
    found = relevance(params, words, patches, *map(jnp.asarray, masks))
    assert relative_error(found.output, expected) <= 1e-12
    assert relative_error(found.bias + sum(found.sources), expected) <= 1e-12
    assert all(np.any(np.asarray(source)) for source in found.sources)
