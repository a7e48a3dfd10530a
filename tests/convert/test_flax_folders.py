"""Conversion of a file to a folder: whole or not at all, checked, by command."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from rfp_jax import convert
from rfp_jax.convert import flax
from rfp_jax.convert._command import main
from rfp_jax.convert.flax._check import self_check
from rfp_jax.models import SmallNet
from tests.convert.flax_checkpoints import as_tensors, random_state_dict, save_file


def _listing(folder):
    return sorted(path.name for path in folder.rglob("*"))


def _published(smallnet):
    return {"epoch": 9, "best_prec": 0.75, "model_state_dict": as_tensors(smallnet)}


def test_converts_a_file(tmp_path, smallnet):
    path = save_file(tmp_path / "a.pth", _published(smallnet))
    target = tmp_path / "deep" / "er" / "smallnet"
    manifest = flax.convert_file(path, target)
    written = json.loads((target / "manifest.json").read_text())
    assert written["architecture"] == "smallnet"
    assert (written["inputs"], written["channels"], written["classes"]) == (2, [1, 1], 10)
    assert written["input_size"] == [28, 14]
    assert written["source"] == "a.pth"
    assert written["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (written["epoch"], written["best_prec"]) == (9, 0.75)
    assert written["dtypes"] == ["float64"]
    assert 0 <= written["relative_difference"] <= 1e-4
    assert sorted(os.listdir(tmp_path)) == ["a.pth", "deep"]
    assert os.listdir(target.parent) == ["smallnet"]
    assert sorted(os.listdir(target)) == ["manifest.json", "variables"]

    model, variables, loaded = flax.load(target)
    assert loaded == manifest
    assert model == SmallNet(num_classes=10)
    jax.tree.map(np.testing.assert_array_equal, variables, flax.to_flax("smallnet", smallnet))
    back = flax.to_torch("smallnet", variables)
    assert all(np.array_equal(back[key], array) for key, array in smallnet.items())


def test_load_of_any_network_takes_a_checkpoint(tmp_path, smallnet):
    """`rfp_jax.convert.load` reads whatever the command wrote."""
    path = save_file(tmp_path / "a.pth", _published(smallnet))
    assert main([str(path), str(tmp_path / "out")]) == 0
    fun, params = convert.load(tmp_path / "out")
    model, variables, _ = flax.load(tmp_path / "out")
    halves = 2 * (np.linspace(0, 1, 2 * 28 * 14, dtype="float32").reshape(2, 28, 14, 1),)
    np.testing.assert_array_equal(fun(params, *halves), model.apply(variables, *halves))
    (tmp_path / "out" / "manifest.json").write_text('{"architecture": "smallnet"}')
    with pytest.raises(convert.ConversionError, match="is not a folder that `rfp-jax convert"):
        convert.load(tmp_path / "out")


def test_manifest_of_a_published_network(tmp_path):
    state_dict = {
        key: array.astype(np.float32) if array.ndim else array
        for key, array in random_state_dict("resnet50", (12,), 10, 1).items()
    }
    state_dict["encoder.1.num_batches_tracked"][()] = 254000
    path = save_file(tmp_path / "single_ResNet50_s1s2.pth", as_tensors(state_dict))
    manifest = flax.convert_file(path, tmp_path / "resnet50")
    assert manifest.architecture == "resnet50"
    assert (manifest.inputs, manifest.channels, manifest.classes) == (12, [12], 10)
    assert manifest.input_size is None
    assert manifest.num_batches_tracked == 254000
    assert (manifest.epoch, manifest.best_prec) == (None, None)
    assert manifest.dtypes == ["float32"]


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_leaves_an_existing_target_alone(tmp_path, smallnet, kind):
    path = save_file(tmp_path / "a.pth", as_tensors(smallnet))
    target = tmp_path / "out"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("precious")
    else:
        target.symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="out exists already"):
        flax.convert_file(path, target)
    assert _listing(tmp_path) == ["a.pth", "out"]
    assert kind != "file" or target.read_text() == "precious"


def test_leaves_alone_what_appears_meanwhile(tmp_path, smallnet, monkeypatch):
    path, target = save_file(tmp_path / "a.pth", as_tensors(smallnet)), tmp_path / "out"

    def somebody_else(*arguments):
        target.mkdir()
        return self_check(*arguments)

    monkeypatch.setattr("rfp_jax.convert.flax._check.self_check", somebody_else)
    with pytest.raises(FileExistsError, match="out exists already"):
        flax.convert_file(path, target)
    assert _listing(tmp_path) == ["a.pth", "out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interrupted_conversion_leaves_nothing(tmp_path, smallnet, error, monkeypatch):
    path = save_file(tmp_path / "a.pth", as_tensors(smallnet))

    def interrupted(*_):
        assert any(name.startswith(".out.") for name in os.listdir(tmp_path))
        raise error

    monkeypatch.setattr("rfp_jax.convert.flax._check.self_check", interrupted)
    with pytest.raises(error):
        flax.convert_file(path, tmp_path / "out")
    assert _listing(tmp_path) == ["a.pth"]


def test_self_check_finds_a_wrong_conversion(tmp_path, smallnet, monkeypatch):
    state_dict = as_tensors(smallnet)
    variables = flax.to_flax("smallnet", smallnet)
    check = self_check("smallnet", state_dict, variables)
    assert check.relative_difference <= 1e-5
    assert check.input_shapes == [(2, 28, 14, 1), (2, 28, 14, 1)]
    kernel = variables["params"]["fc1"]["kernel"]
    kernel[:] = smallnet["fc1.weight"].T  # flattened as PyTorch does
    with pytest.raises(flax.SelfCheckError, match=r"differ by .* at most 0.0001 passes"):
        self_check("smallnet", state_dict, variables)

    path = save_file(tmp_path / "a.pth", state_dict)
    monkeypatch.setattr("rfp_jax.convert.flax._files.to_flax", lambda *_: variables)
    with pytest.raises(flax.SelfCheckError):
        flax.convert_file(path, tmp_path / "out")
    assert _listing(tmp_path) == ["a.pth"]


def test_self_check_refuses_nan(tmp_path, smallnet):
    smallnet["fc2.bias"][3] = np.nan
    path = save_file(tmp_path / "a.pth", as_tensors(smallnet))
    with pytest.raises(flax.SelfCheckError, match="not finite"):
        flax.convert_file(path, tmp_path / "out")
    assert _listing(tmp_path) == ["a.pth"]


def test_load_says_what_is_no_conversion(tmp_path):
    with pytest.raises(flax.ConversionError, match="is not a folder that `rfp-jax convert C"):
        flax.load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"architecture": "smallnet"}')
    with pytest.raises(flax.ConversionError, match=r"missing .* required"):
        flax.load(tmp_path)


def test_command(tmp_path, smallnet, capsys):
    path = save_file(tmp_path / "a.pth", _published(smallnet))
    arguments = [str(path), str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "architecture        smallnet" in printed
    assert "largest difference  " in printed
    assert main(arguments) == 1
    assert "out exists already" in capsys.readouterr().err
    assert main([str(path), str(tmp_path / "other"), "--arch", "vgg16"]) == 1
    assert "keys look like those of smallnet" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--arch", "alexnet"])
    assert stopped.value.code != 0


@pytest.mark.usefixtures("ctrl_c_is_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_command_leaves_nothing(tmp_path, smallnet, number):
    path = save_file(tmp_path / "a.pth", as_tensors(smallnet))
    script = (
        "import os, sys, rfp_jax.convert.flax._check, rfp_jax.convert._command as command\n"
        f"rfp_jax.convert.flax._check.self_check = lambda *_: os.kill(os.getpid(), {int(number)})\n"
        "sys.exit(command.main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path / "out")],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 128 + number
    assert _listing(tmp_path) == ["a.pth"]
