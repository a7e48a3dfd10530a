"""Fixtures of conversions."""

import pytest

from tests.convert.flax_checkpoints import random_state_dict


@pytest.fixture
def smallnet():
    return random_state_dict("smallnet")
