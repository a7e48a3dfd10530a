"""Networks of PyTorch whose certificates take long to compile."""

import pytest

from tests.convert.test_torch_sampling import CASES, check


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", sorted(CASES))
def test_outputs_are_those_of_pytorch_and_the_audit_passes(name):
    check(name)
