"""Checkpoint files: every form is read, nothing runs, damage is refused."""

import hashlib
import os

import jax
import numpy as np
import pytest
import torch

from rfp_jax.convert import flax
from rfp_jax.convert.flax import read_checkpoint
from tests.convert.flax_checkpoints import as_tensors, save_file


class _Code:
    """The deed of a hostile file: it leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


class _BigEndian:
    """A NumPy number as a big-endian machine writes it."""

    def __reduce__(self):
        make = np.float64(0).__reduce__()[0]
        return make, (np.dtype(">f8"), np.array(0.25, ">f8").tobytes())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", ["", "model_state_dict", "state_dict"])
def test_reads_every_form(tmp_path, smallnet, legacy, prefix, wrapped):
    content = {prefix + key: tensor for key, tensor in as_tensors(smallnet).items()}
    if wrapped:
        content = {
            "epoch": 31,
            "arch": "SmallNet",
            wrapped: content,
            "optimizer_state_dict": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": []},
            "best_prec": np.float64(0.625),  # scikit-learn's scores are NumPy's numbers
        }
    path = save_file(tmp_path / "a.pth", content, legacy=legacy)
    checkpoint = read_checkpoint(path)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (checkpoint.epoch, checkpoint.best_prec) == ((31, 0.625) if wrapped else (None, None))
    assert list(checkpoint.state_dict) == [prefix + key for key in smallnet]
    jax.tree.map(
        np.testing.assert_array_equal,
        flax.to_flax("smallnet", checkpoint.state_dict),
        flax.to_flax("smallnet", smallnet),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (_BigEndian(), 0.25),
        (torch.tensor(0.75), 0.75),
        (float("nan"), None),
        ("high", None),
    ],
)
def test_reads_scores(tmp_path, smallnet, value, expected):
    content = {"model_state_dict": as_tensors(smallnet), "best_prec": value}
    assert read_checkpoint(save_file(tmp_path / "a.pth", content)).best_prec == expected


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_runs_no_code(tmp_path, smallnet, legacy):
    mark = tmp_path / "mark"
    content = {"model_state_dict": as_tensors(smallnet), "config": _Code(mark)}
    path = save_file(tmp_path / "evil.pth", content, legacy=legacy)
    with pytest.raises(flax.CheckpointError, match=r"evil.pth carries more than tensors.*mkdir"):
        read_checkpoint(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # so the file does carry code


def test_refuses_objects_in_numpys_clothes(tmp_path):
    """NumPy's scalar maker would take any type; a structured type with pointers among them."""
    scalar = np.zeros(1, [("pointer", "O")])[0]
    content = {"model_state_dict": {"w": torch.ones(1)}, "best_prec": scalar}
    with pytest.raises(flax.CheckpointError):
        read_checkpoint(save_file(tmp_path / "a.pth", content))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.999])
def test_half_a_download(tmp_path, smallnet, legacy, kept):
    path = save_file(tmp_path / "half.pth", as_tensors(smallnet), legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(flax.CheckpointError, match=r"half.pth is (empty|not a PyTorch checkpoint)"):
        read_checkpoint(path)


def test_damaged_byte(tmp_path, smallnet):
    path = save_file(tmp_path / "damaged.pth", as_tensors(smallnet))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(flax.CheckpointError, match=r"damaged.pth is damaged: the check sum of"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>404</html>", "not a PyTorch checkpoint"),
        (b"\x80\x02.", "not a PyTorch checkpoint"),
        (bytes(range(255, 191, -1)), "not a PyTorch checkpoint"),
        (torch.ones(3), "holds Tensor"),
        ({}, "is empty or not a dict"),
        ({"model_state_dict": None}, "its 'model_state_dict' is empty or not a dict"),
        ({"weights": {"w": torch.ones(1)}}, "other things than dense tensors under weights"),
        ({"w": torch.ones(2).to_sparse()}, "other things than dense tensors under w"),
        ({"w": torch.ones(2, device="meta")}, "other things than dense tensors under w"),
        (torch.nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear"),
    ],
    ids=str,
)
def test_no_checkpoint(tmp_path, content, message):
    path = tmp_path / "a.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file(path, content)
    with pytest.raises(flax.CheckpointError, match=message):
        read_checkpoint(path)


def test_no_file(tmp_path):
    with pytest.raises(flax.CheckpointError, match="cannot be read: No such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(flax.CheckpointError, match="cannot be read: Is a directory"):
        read_checkpoint(tmp_path)
