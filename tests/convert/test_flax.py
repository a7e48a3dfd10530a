"""PyTorch to Flax and back, against PyTorch itself."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from rfp_jax.convert import flax
from rfp_jax.convert._command import main
from rfp_jax.convert.flax import read_checkpoint
from rfp_jax.convert.flax._architectures import ARCHITECTURES, Name, Size
from rfp_jax.convert.flax._check import self_check
from rfp_jax.convert.flax._torch_libraries import MODELS
from rfp_jax.models import SmallNet
from tests.golden.weights import golden_state_dict, key_shapes, relative_error

# Architecture, channels of its arrays, classes, positions of its last feature map.
NETWORKS = [
    ("smallnet", (1, 1), 10, 60),
    ("smallnet", (3, 2), 17, 6),
    ("resnet50", (3,), 17, 4),
    ("fusion_resnet18", (10, 2), 10, 2),
    ("densenet121", (10,), 10, 2),
    ("vgg16", (12,), 17, 2),
]


def _network(arch, channels=(1, 1), classes=10, positions=60):
    with torch.device("meta"):
        return MODELS[arch](channels, classes, positions)


def _state_dict(arch, *size, seed=0):
    shapes = {key: tuple(t.shape) for key, t in _network(arch, *size).state_dict().items()}
    return golden_state_dict(shapes, seed)


def _tensors(state_dict):
    return {key: torch.from_numpy(array) for key, array in state_dict.items()}


@pytest.fixture
def smallnet():
    return _state_dict("smallnet")


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda network: f"{network[0]}-{network[2]}")
def random_network(request):
    """Architecture, its size and a random state dict in float64."""
    arch, *size = request.param
    state_dict = _state_dict(arch, *size)
    for key in state_dict:
        if key.endswith("num_batches_tracked"):
            state_dict[key] = np.array(7, np.int64)
    return arch, Size(*size), state_dict


def test_flax_computes_what_pytorch_computes(random_network):
    arch, size, state_dict = random_network
    network = _network(arch, size.channels, size.classes, size.positions)
    network.load_state_dict(_tensors(state_dict), assign=True)
    architecture = ARCHITECTURES[arch]
    shapes = architecture.input_shapes(size, batch=2)
    rng = np.random.default_rng(1)
    sources = [rng.standard_normal(shape) for shape in shapes]
    with torch.inference_mode():
        inputs = [torch.from_numpy(x.transpose(0, 3, 1, 2)) for x in sources]
        expected = network.eval()(*inputs).numpy()
    with jax.enable_x64(True):
        model = architecture.model(num_classes=size.classes)
        quick = {"xla_backend_optimization_level": 0}  # compiling takes longer than computing
        apply = jax.jit(model.apply, compiler_options=quick)
        actual = apply(flax.to_flax(arch, state_dict), *sources)
    assert actual.shape == (2, size.classes)
    assert actual.dtype == np.float64
    assert relative_error(actual, expected) < 1e-11


def test_round_trip_is_exact(random_network):
    arch, _, state_dict = random_network
    variables = flax.to_flax(arch, state_dict)
    back = flax.to_torch(arch, variables, num_batches_tracked=7)
    assert back.keys() == state_dict.keys()
    for key, array in state_dict.items():
        assert back[key].dtype == array.dtype
        np.testing.assert_array_equal(back[key], array, err_msg=key)
    again = flax.to_flax(arch, back)
    jax.tree.map(np.testing.assert_array_equal, again, variables)


@pytest.mark.parametrize("arch", ["resnet50", "densenet121", "vgg16"])
def test_published_keys_and_shapes(arch):
    """The published key tables convert, and our PyTorch definition has exactly them."""
    shapes = key_shapes(arch)
    positions = {"resnet50": 1}.get(arch, 64)
    ours = _network(arch, (12,), 10, positions).state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in ours.items()} == shapes
    assert flax.recognize(shapes) == arch
    zero = np.zeros((), np.float16)  # one number, seen in every shape
    state_dict = {key: np.broadcast_to(zero, shape) for key, shape in shapes.items()}
    variables = flax.to_flax(arch, state_dict)
    model = ARCHITECTURES[arch].model(num_classes=10)
    image = jax.ShapeDtypeStruct((1, 256, 256, 12), jnp.float32)
    declared = jax.eval_shape(model.init, jax.random.key(0), image)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, declared)


def test_every_architecture_is_complete():
    assert set(ARCHITECTURES) == set(Name.__args__) == set(MODELS)
    for arch, *size in NETWORKS:
        keys = list(_network(arch, *size).state_dict())
        assert flax.recognize(keys) == arch
        assert flax.recognize([f"module.{key}" for key in keys]) == arch


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda a: a, id="numpy"),
        pytest.param(jnp.asarray, id="jax"),
        pytest.param(torch.from_numpy, id="torch"),
        pytest.param(lambda a: torch.nn.Parameter(torch.from_numpy(a)), id="parameter"),
        pytest.param(lambda a: torch.from_numpy(a).bfloat16(), id="bfloat16"),
        pytest.param(lambda a: torch.from_numpy(a).half().T.contiguous().T, id="strided half"),
    ],
)
def test_takes_any_kind_of_array(make):
    smallnet = {
        key: array.astype(np.float32).round(1) for key, array in _state_dict("smallnet").items()
    }
    given = {key: make(array) for key, array in smallnet.items() if array.ndim == 2}
    dtype = jax.tree.leaves(flax.to_flax("smallnet", smallnet | given))[0].dtype
    variables = flax.to_flax("smallnet", smallnet | given)
    kernel = variables["params"]["fc2"]["kernel"]
    assert isinstance(kernel, np.ndarray)
    assert dtype == np.float32
    expected = np.asarray(jnp.asarray(smallnet["fc2.weight"].T, kernel.dtype))
    np.testing.assert_array_equal(kernel, expected)
    back = flax.to_torch("smallnet", variables)
    assert back["fc2.weight"].dtype == kernel.dtype


def test_variables_own_their_memory(smallnet):
    variables = flax.to_flax("smallnet", smallnet)
    before = variables["params"]["fc2"]["bias"].copy()
    smallnet["fc2.bias"][:] = 0
    np.testing.assert_array_equal(variables["params"]["fc2"]["bias"], before)


def test_data_parallel_prefix(smallnet):
    prefixed = {f"module.{key}": array for key, array in smallnet.items()}
    jax.tree.map(
        np.testing.assert_array_equal,
        flax.to_flax("smallnet", prefixed),
        flax.to_flax("smallnet", smallnet),
    )


@pytest.mark.parametrize("without", ["conv1.weight", "encoder.0.weight"])
def test_one_of_two_aliases_suffices(without):
    state_dict = _state_dict("resnet50", (12,), 10, 1)
    variables = flax.to_flax("resnet50", state_dict)
    del state_dict[without]
    counters = [key for key in state_dict if key.endswith("num_batches_tracked")]
    for key in counters:  # files from before PyTorch 0.4.1 have none
        del state_dict[key]
    assert counters
    jax.tree.map(np.testing.assert_array_equal, flax.to_flax("resnet50", state_dict), variables)


def test_unequal_aliases_are_refused():
    state_dict = _state_dict("resnet50", (12,), 10, 1)
    state_dict["conv1.weight"] = state_dict["conv1.weight"] + 1
    with pytest.raises(flax.StateDictError, match="names the same tensor") as raised:
        flax.to_flax("resnet50", state_dict)
    assert raised.value.invalid == ("conv1.weight",)


def test_one_error_lists_everything(smallnet):
    del smallnet["fc1.bias"], smallnet["branch1.0.weight"]
    smallnet["fc3.weight"] = np.zeros((2, 2))
    smallnet["fc1.num_batches_tracked"] = np.array(3)
    smallnet["branch2.2.bias"] = np.zeros(63)
    smallnet["fc2.bias"] = np.zeros((10, 1))
    smallnet["branch1.0.bias"] = np.zeros(32, np.int32)
    with pytest.raises(flax.StateDictError) as raised:
        flax.to_flax("smallnet", smallnet)
    error = raised.value
    assert set(error.missing) == {"fc1.bias", "branch1.0.weight"}
    assert set(error.unexpected) == {"fc3.weight", "fc1.num_batches_tracked"}
    assert set(error.misshapen) == {"branch2.2.bias", "fc2.bias"}
    assert set(error.invalid) == {"branch1.0.bias"}
    for text in (
        "does not fit smallnet (1 + 1 input channels, 10 classes)",
        "fc1.bias: (128,)",
        "fc2.bias: expected (10,), got (10, 1)",
        "branch1.0.bias: expected floating point numbers, got int32",
    ):
        assert text in str(error)


@pytest.mark.parametrize(
    ("kind", "key", "array"),
    [
        ("missing", "fc2.bias", None),
        ("unexpected", "fc3.bias", np.zeros(3)),
        ("misshapen", "fc2.bias", np.zeros(11)),
        ("invalid", "fc2.bias", np.zeros(10, bool)),
    ],
)
def test_each_fault_alone_is_an_error(smallnet, kind, key, array):
    smallnet.pop(key, None)
    if array is not None:
        smallnet[key] = array
    with pytest.raises(flax.StateDictError) as raised:
        flax.to_flax("smallnet", smallnet)
    kinds = ("missing", "unexpected", "misshapen", "invalid")
    found = {name: getattr(raised.value, name) for name in kinds}
    assert found == {name: (key,) if name == kind else () for name in kinds}


@pytest.mark.parametrize("shape", [(128,), (128, 7681), (128, 0), (128, 64, 120)])
def test_flattened_size_must_fit(smallnet, shape):
    smallnet["fc1.weight"] = np.zeros(shape)
    with pytest.raises(flax.StateDictError) as raised:
        flax.to_flax("smallnet", smallnet)
    assert raised.value.misshapen == ("fc1.weight",)


def test_wrong_architecture_is_named(smallnet):
    with pytest.raises(flax.StateDictError, match="keys look like those of smallnet") as raised:
        flax.to_flax("resnet50", smallnet)
    assert len(raised.value.missing) == 267
    assert set(raised.value.unexpected) == set(smallnet)
    with pytest.raises(flax.UnknownArchitectureError, match="expected one of smallnet"):
        flax.to_flax("resnet51", smallnet)
    with pytest.raises(flax.UnknownArchitectureError, match=r"belong to none of .*: a, b"):
        flax.recognize(["b", "a"])
    with pytest.raises(flax.UnknownArchitectureError, match="there are none"):
        flax.recognize([])
    keys: Any = list(smallnet)
    with pytest.raises(TypeError, match=r"pass model.state_dict\(\), not list"):
        flax.to_flax("smallnet", keys)


def test_to_torch_lists_everything(smallnet):
    variables = flax.to_flax("smallnet", smallnet)
    params = variables["params"]
    del params["fc1"]["bias"]
    params["fc2"]["bias"] = np.zeros(9)
    params["fc3"] = {"kernel": np.zeros((2, 2))}
    with pytest.raises(flax.StateDictError) as raised:
        flax.to_torch("smallnet", variables)
    assert raised.value.missing == ("params/fc1/bias",)
    assert raised.value.misshapen == ("params/fc2/bias",)
    assert raised.value.unexpected == ("params/fc3/kernel",)


# ---- files -------------------------------------------------------------------------------------


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


def _save(path, content, *, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def _listing(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", ["", "model_state_dict", "state_dict"])
def test_reads_every_form(tmp_path, smallnet, legacy, prefix, wrapped):
    content = {prefix + key: tensor for key, tensor in _tensors(smallnet).items()}
    if wrapped:
        content = {
            "epoch": 31,
            "arch": "SmallNet",
            wrapped: content,
            "optimizer_state_dict": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": []},
            "best_prec": np.float64(0.625),  # scikit-learn's scores are NumPy's numbers
        }
    path = _save(tmp_path / "a.pth", content, legacy=legacy)
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
    content = {"model_state_dict": _tensors(smallnet), "best_prec": value}
    assert read_checkpoint(_save(tmp_path / "a.pth", content)).best_prec == expected


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_runs_no_code(tmp_path, smallnet, legacy):
    mark = tmp_path / "mark"
    content = {"model_state_dict": _tensors(smallnet), "config": _Code(mark)}
    path = _save(tmp_path / "evil.pth", content, legacy=legacy)
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
        read_checkpoint(_save(tmp_path / "a.pth", content))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.999])
def test_half_a_download(tmp_path, smallnet, legacy, kept):
    path = _save(tmp_path / "half.pth", _tensors(smallnet), legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(flax.CheckpointError, match=r"half.pth is (empty|no PyTorch checkpoint)"):
        read_checkpoint(path)


def test_damaged_byte(tmp_path, smallnet):
    path = _save(tmp_path / "damaged.pth", _tensors(smallnet))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(flax.CheckpointError, match=r"damaged.pth is damaged: the check sum of"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>404</html>", "no PyTorch checkpoint"),
        (b"\x80\x02.", "no PyTorch checkpoint"),
        (bytes(range(255, 191, -1)), "no PyTorch checkpoint"),
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
        _save(path, content)
    with pytest.raises(flax.CheckpointError, match=message):
        read_checkpoint(path)


def test_no_file(tmp_path):
    with pytest.raises(flax.CheckpointError, match="cannot be read: No such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(flax.CheckpointError, match="cannot be read: Is a directory"):
        read_checkpoint(tmp_path)


def _published(smallnet):
    return {"epoch": 9, "best_prec": 0.75, "model_state_dict": _tensors(smallnet)}


def test_converts_a_file(tmp_path, smallnet):
    path = _save(tmp_path / "a.pth", _published(smallnet))
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


def test_manifest_of_a_published_network(tmp_path):
    state_dict = {
        key: array.astype(np.float32) if array.ndim else array
        for key, array in _state_dict("resnet50", (12,), 10, 1).items()
    }
    state_dict["encoder.1.num_batches_tracked"][()] = 254000
    path = _save(tmp_path / "single_ResNet50_s1s2.pth", _tensors(state_dict))
    manifest = flax.convert_file(path, tmp_path / "resnet50")
    assert manifest.architecture == "resnet50"
    assert (manifest.inputs, manifest.channels, manifest.classes) == (12, [12], 10)
    assert manifest.input_size is None
    assert manifest.num_batches_tracked == 254000
    assert (manifest.epoch, manifest.best_prec) == (None, None)
    assert manifest.dtypes == ["float32"]


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_leaves_an_existing_target_alone(tmp_path, smallnet, kind):
    path = _save(tmp_path / "a.pth", _tensors(smallnet))
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
    path, target = _save(tmp_path / "a.pth", _tensors(smallnet)), tmp_path / "out"

    def somebody_else(*arguments):
        target.mkdir()
        return self_check(*arguments)

    monkeypatch.setattr("rfp_jax.convert.flax._check.self_check", somebody_else)
    with pytest.raises(FileExistsError, match="out exists already"):
        flax.convert_file(path, target)
    assert _listing(tmp_path) == ["a.pth", "out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interrupted_conversion_leaves_nothing(tmp_path, smallnet, error, monkeypatch):
    path = _save(tmp_path / "a.pth", _tensors(smallnet))

    def interrupted(*_):
        assert any(name.startswith(".out.") for name in os.listdir(tmp_path))
        raise error

    monkeypatch.setattr("rfp_jax.convert.flax._check.self_check", interrupted)
    with pytest.raises(error):
        flax.convert_file(path, tmp_path / "out")
    assert _listing(tmp_path) == ["a.pth"]


def test_self_check_finds_a_wrong_conversion(tmp_path, smallnet, monkeypatch):
    state_dict = _tensors(smallnet)
    variables = flax.to_flax("smallnet", smallnet)
    check = self_check("smallnet", state_dict, variables)
    assert check.relative_difference <= 1e-5
    assert check.input_shapes == [(2, 28, 14, 1), (2, 28, 14, 1)]
    kernel = variables["params"]["fc1"]["kernel"]
    kernel[:] = smallnet["fc1.weight"].T  # flattened as PyTorch does
    with pytest.raises(flax.SelfCheckError, match=r"differ by .* at most 0.0001 passes"):
        self_check("smallnet", state_dict, variables)

    path = _save(tmp_path / "a.pth", state_dict)
    monkeypatch.setattr("rfp_jax.convert.flax._files.to_flax", lambda *_: variables)
    with pytest.raises(flax.SelfCheckError):
        flax.convert_file(path, tmp_path / "out")
    assert _listing(tmp_path) == ["a.pth"]


def test_self_check_refuses_nan(tmp_path, smallnet):
    smallnet["fc2.bias"][3] = np.nan
    path = _save(tmp_path / "a.pth", _tensors(smallnet))
    with pytest.raises(flax.SelfCheckError, match="not finite"):
        flax.convert_file(path, tmp_path / "out")
    assert _listing(tmp_path) == ["a.pth"]


def test_load_says_what_is_no_conversion(tmp_path):
    with pytest.raises(flax.ConversionError, match="is no folder that `python -m convert`"):
        flax.load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"architecture": "smallnet"}')
    with pytest.raises(flax.ConversionError, match=r"missing .* required"):
        flax.load(tmp_path)


# ---- the command -------------------------------------------------------------------------------


def test_command(tmp_path, smallnet, capsys):
    path = _save(tmp_path / "a.pth", _published(smallnet))
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
    path = _save(tmp_path / "a.pth", _tensors(smallnet))
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
