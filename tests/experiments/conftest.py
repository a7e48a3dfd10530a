"""Fixtures of the experiments."""

import pytest

from experiments.sen12ms import checkpoint
from rfp_jax.datasets.sen12ms import synthesize
from tests.experiments.tiny_sen12ms import PATCHES, SIZE, Tiny


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("data") / "archive", PATCHES, size=SIZE, seed=3)


@pytest.fixture(scope="module")
def tiny_networks():
    """Give the experiment, for its smallest network, one that compiles at once."""
    original = checkpoint.build

    def build(architecture, classes, width=None, dtype=None):
        return (
            Tiny(classes)
            if architecture == "smallnet"
            else original(architecture, classes, width, dtype)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "build", build)
        yield
