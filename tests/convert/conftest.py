"""Fixtures of conversions."""

from unittest import mock

import pytest

from rfp_jax.convert._aten import TABLE
from tests.convert.flax_checkpoints import random_state_dict


@pytest.fixture
def smallnet():
    return random_state_dict("smallnet")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A saved program of two sources, with a free batch size."""
    pytest.importorskip("torch")
    from tests.convert.torch_programs import fusion_program

    return fusion_program(tmp_path_factory.mktemp("program"))


@pytest.fixture
def table():
    """The table of PyTorch's operations; what a test registers is taken back."""
    with mock.patch.dict(TABLE):
        yield TABLE
