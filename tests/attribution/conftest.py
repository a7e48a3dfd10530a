"""Fixtures of the attribution methods."""

import pytest

from tests.attribution.four_sources import arranged


@pytest.fixture(params=["zeros", "arrays"])
def baseline(request):
    """A baseline for the library and the same one for the reference."""
    if request.param == "zeros":
        return lambda case: (0.0, None)
    return lambda case: (arranged(case.baselines), case.baselines)
