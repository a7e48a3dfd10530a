"""The archive that all tests of the data read, and a copy that a test may damage."""

import shutil
from pathlib import Path

import pytest

from rfp_jax.datasets.sen12ms import synthesize
from tests.datasets.sen12ms.archives import PATCHES, SIZE


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("sen12ms") / "archive", PATCHES, size=SIZE, seed=7)


@pytest.fixture
def copy(root, tmp_path):
    return Path(shutil.copytree(root, tmp_path / "copy"))
