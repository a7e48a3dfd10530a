"""Networks of PyTorch that are refused, and operations that are missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rfp_jax.convert import (
    ExportError,
    MissingOperationError,
    OperationError,
    ProgramError,
    convert_program,
    from_torch,
    register_torch_operation,
)
from rfp_jax.convert._command import main
from tests.golden.weights import relative_error

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from tests.convert.torch_networks import randomized  # noqa: E402
from tests.convert.torch_programs import Around, saved  # noqa: E402


class Depends(nn.Module):
    def forward(self, x):
        return 2 * x if x.sum() > 0 else x


class Unknown(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x) + torch.special.bessel_j1(x)


class Eigenvalues(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvalsh(x + x.mT)


class Defined(nn.Module):
    """Operations that the table lacks, and that PyTorch defines by others."""

    def forward(self, x, y):
        loss = nn.functional.huber_loss(x, y, reduction="none")
        return loss + torch.nn.functional.binary_cross_entropy_with_logits(x, y.sigmoid())


class Chosen(nn.Module):
    def forward(self, x):
        return x[x > 0].sum()


class Strided(nn.Module):
    """Views by their places in memory, of a transposed tensor too; one is written to."""

    def forward(self, x):
        y = x.clone()
        y.as_strided((2,), (5,), 1).mul_(3)
        return y.mT.as_strided((2, 3), (1, 4)) * x.as_strided((3,), (4,))


class Part(nn.Module):
    def forward(self, x):
        return x[:, 1:].as_strided((2,), (4,))


def test_training_mode_is_refused():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    module.eval()
    module[1].train()
    with pytest.raises(ValueError, match=r"in training mode: 1\. .*call module\.eval\(\) first"):
        from_torch(module)
    fun, params = from_torch(module.eval())
    module.train()
    with pytest.raises(ValueError, match="training mode"):
        fun(params, np.ones((1, 2), "float32"))


def test_control_flow_that_depends_on_data_is_refused():
    fun, params = from_torch(Around(Depends()).eval())
    with pytest.raises(
        ExportError, match=r"(?s)submodule: inner.*test_torch_refusals.*torch.where"
    ):
        fun(params, np.ones((3, 3), "float32"))


def test_missing_operations_are_listed_before_anything_runs(table):
    fun, params = from_torch(Around(Unknown()).eval())
    register_torch_operation("linear", lambda *_: pytest.fail("something ran"))
    with pytest.raises(MissingOperationError, match="register_torch_operation") as caught:
        fun(params, np.ones((3, 3), "float32"))
    assert caught.value.operations == {
        "special_bessel_j0": ("inner",),
        "special_bessel_j1": ("inner",),
    }


def test_nothing_is_written_if_operations_are_missing(tmp_path, capsys):
    path = saved(tmp_path, Around(Unknown()).eval(), (torch.ones(3, 3),))
    with pytest.raises(MissingOperationError, match=r"special_bessel_j0: in inner"):
        convert_program(path, tmp_path / "out")
    assert main([str(path), str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "error: 2 operations of this network are not in the table" in said
    assert "special_bessel_j1: in inner" in said
    assert list(tmp_path.iterdir()) == [path]


def test_a_registered_operation_runs(table, x64):
    module = randomized(Around(Eigenvalues()))
    fun, params = from_torch(module)
    x = np.random.default_rng(0).standard_normal((3, 3))
    register_torch_operation("_linalg_eigh", lambda x, *_: (jnp.linalg.eigvalsh(x), None))
    expected = module(torch.from_numpy(x)).detach()
    assert relative_error(fun(params, x), expected) <= 1e-10


def test_what_pytorch_defines_by_others_is_computed_by_them(table, x64):
    assert not {"huber_loss", "binary_cross_entropy_with_logits"} & set(table)
    arrays = np.random.default_rng(0).standard_normal((2, 3, 4))
    fun, _ = from_torch(Defined().eval(), check=tuple(arrays))
    assert fun.compared.relative <= 1e-12


def test_a_size_that_depends_on_values_is_refused():
    fun, params = from_torch(Around(Chosen()).eval())
    with pytest.raises(OperationError, match=r"submodule 'inner' needs numbers .*torch\.where"):
        jax.jit(fun)(params, np.ones((3, 3), "float32"))


def test_views_by_their_places_in_memory(x64):
    fun, params = from_torch(Strided().eval(), check=(np.arange(12.0).reshape(3, 4),))
    assert fun.compared.relative == 0
    fun, params = from_torch(Part().eval())
    with pytest.raises(ProgramError, match="as_strided of a part of a tensor"):
        fun(params, np.ones((3, 4)))
