"""The check against PyTorch, and shapes at every node."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax.convert import (
    DifferenceError,
    OperationError,
    ProgramError,
    from_torch,
    register_torch_operation,
)

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


def test_an_operation_of_another_shape_is_refused(table):
    fun, params = from_torch(nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval())
    register_torch_operation("relu", lambda x: x[..., :2])
    with pytest.raises(OperationError, match=r"'relu' of submodule '1'.*\(2, 2\).*\(2, 3\)"):
        fun(params, np.ones((2, 3), "float32"))


def test_the_check_names_the_first_node_that_differs(table):
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).eval()
    example = np.ones((2, 3), "float32")
    fun, _ = from_torch(module, check=(example,))
    assert fun.compared.relative <= 1e-6
    for form in (example, torch.from_numpy(example), {"input": example}, [example]):
        assert from_torch(module, check=form)[0].compared.relative <= 1e-6
    register_torch_operation("tanh", lambda x: jnp.tanh(x) + 1e-3)
    with pytest.raises(DifferenceError, match=r"part first at aten\.tanh.*'tanh' of submodule '1'"):
        from_torch(module, check=(example,))


class Chaotic(nn.Module):
    """Doubles rounding errors fifty times."""

    def forward(self, x):
        for _ in range(50):
            x = 4 * x * (1 - x)
        return x


def test_rounding_that_adds_up_is_a_warning():
    x = np.linspace(0.11, 0.87, 7, dtype="float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fun, _ = from_torch(Chaotic().eval(), check=(x,))
    if fun.compared.relative > fun.compared.tolerance:
        assert any("rounding adds up" in str(warning.message) for warning in caught)


def test_a_program_without_an_example_cannot_be_checked():
    with pytest.raises(ProgramError, match="holds no example"):
        from_torch(nn.Linear(2, 2).eval(), check=True)
