"""Fixtures of tables."""

import functools

import pytest

from rfp_jax import tables
from rfp_jax.tables import _totals


@pytest.fixture
def small_blocks(monkeypatch):
    """A table of 24 samples is gone through in three blocks."""
    monkeypatch.setattr(_totals, "blocks", functools.partial(tables.blocks, samples=8))
