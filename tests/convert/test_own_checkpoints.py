"""People's own checkpoints: what training and other libraries put around a network."""

import argparse
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rfp_jax.convert import flax
from rfp_jax.convert._command import main
from rfp_jax.convert.flax import read_checkpoint
from rfp_jax.convert.flax._architectures import ARCHITECTURES
from rfp_jax.convert.flax._layouts import WholeMap
from rfp_jax.convert.flax._torch_libraries import MODELS
from tests.golden.weights import GOLDEN, golden_state_dict, key_shapes, relative_error

QUICK = {"xla_backend_optimization_level": 0}  # compiling takes longer than computing
SHAPES = {
    key: tuple(tensor.shape)
    for key, tensor in MODELS["smallnet"]((1, 1), 10, 60).state_dict().items()
}


@pytest.fixture
def smallnet():
    arrays = golden_state_dict(SHAPES, 0)
    return {key: torch.from_numpy(array.astype(np.float32)) for key, array in arrays.items()}


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def prefixed(prefix, state_dict):
    return {prefix + key: tensor for key, tensor in state_dict.items()}


# ---- prefixes and wrappers ---------------------------------------------------------------------


class Compiled(torch.nn.Module):
    """The result of `torch.compile`, without a compiler: it keeps the module as `_orig_mod`."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "model.", "net.", "model.module._orig_mod.", "net.net."]
)
def test_prefixes_are_taken_off(smallnet, prefix):
    given = prefixed(prefix, smallnet)
    assert flax.recognize(given) == "smallnet"
    same(flax.to_flax("smallnet", given), flax.to_flax("smallnet", smallnet))


def test_an_average_of_a_compiled_module_is_read(smallnet):
    network = MODELS["smallnet"]((1, 1), 10, 60)
    network.load_state_dict(smallnet)
    network.fc1 = Compiled(network.fc1)  # compiled in part: the prefix stands in the middle
    averaged = torch.optim.swa_utils.AveragedModel(Compiled(network)).state_dict()
    assert {"n_averaged", "module._orig_mod.fc1._orig_mod.weight"} <= averaged.keys()
    same(flax.to_flax("smallnet", averaged), flax.to_flax("smallnet", smallnet))


def test_keys_that_would_collide_are_left_as_they_are(smallnet):
    given = smallnet | {"_orig_mod.fc2.bias": smallnet["fc2.bias"] + 1}
    with pytest.raises(flax.StateDictError) as raised:
        flax.to_flax("smallnet", given)
    assert raised.value.unexpected == ("_orig_mod.fc2.bias",)


@pytest.mark.parametrize("name", ["model", "net", "ema", "state_dict", "state_dict_ema"])
def test_the_part_that_is_taken_is_named(tmp_path, smallnet, name, capsys):
    path = tmp_path / "a.pth"
    torch.save({"epoch": 3, name: smallnet, "lr": 0.1}, path)
    found = read_checkpoint(path)
    assert found.part == name
    assert found.state_dict.keys() == smallnet.keys()
    if name == "ema":
        assert main([str(path), str(tmp_path / "out")]) == 0
        assert "state dict          ema" in capsys.readouterr().out
        assert json.loads((tmp_path / "out/manifest.json").read_text())["state_dict"] == "ema"


def test_of_two_state_dicts_neither_is_taken_in_silence(tmp_path, smallnet, capsys):
    path = tmp_path / "a.pth"
    averaged = {key: tensor + 1 for key, tensor in smallnet.items()}
    torch.save({"state_dict": smallnet, "state_dict_ema": averaged, "teacher": averaged}, path)
    with pytest.raises(flax.CheckpointError) as raised:
        read_checkpoint(path)
    for part in ("'state_dict' (12 tensors), 'state_dict_ema' (12 tensors)", "--state-dict"):
        assert part in str(raised.value)
    for name in ("state_dict_ema", "teacher"):  # any entry can be named
        found = read_checkpoint(path, name)
        assert found.part == name
        np.testing.assert_array_equal(found.state_dict["fc2.bias"], averaged["fc2.bias"])
    with pytest.raises(flax.CheckpointError, match=r"no state dict 'ema'; those it has: state_d"):
        read_checkpoint(path, "ema")
    assert main([str(path), str(tmp_path / "out")]) == 1
    assert "several state dicts" in capsys.readouterr().err
    assert main([str(path), str(tmp_path / "out"), "--state-dict", "state_dict_ema"]) == 0
    np.testing.assert_array_equal(
        flax.load(tmp_path / "out").variables["params"]["fc2"]["bias"], averaged["fc2.bias"]
    )


def test_settings_beside_a_state_dict_do_no_harm(tmp_path, smallnet):
    path = tmp_path / "a.pth"
    settings = argparse.Namespace(lr=0.1, out=Path("runs/1"), nested=argparse.Namespace(a=[1]))
    torch.save({"model": smallnet, "args": settings, "log": Path("/tmp/log"), "epoch": 4}, path)
    found = read_checkpoint(path)
    assert (found.part, found.epoch) == ("model", 4)
    assert not Path("runs").exists()


# ---- weight normalization ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["old", "new"])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_is_multiplied_out(smallnet, form, dim):
    network = MODELS["smallnet"]((1, 1), 10, 60)
    network.load_state_dict(smallnet)
    for name in ("branch1.0", "fc2"):
        layer = network.get_submodule(name)
        if form == "new":
            layer = torch.nn.utils.parametrizations.weight_norm(layer, dim=dim)
        else:
            with pytest.warns(FutureWarning, match="weight_norm"):
                torch.nn.utils.weight_norm(layer, dim=dim)
        with torch.no_grad():
            for key, parameter in layer.named_parameters():
                if key.endswith(("weight_g", "original0")):
                    parameter.mul_(1.5)
    given = network.state_dict()
    network(*(torch.zeros(1, 1, 28, 14),) * 2)  # the old form multiplies out when it is called
    assert "fc2.weight" not in given
    assert flax.recognize(given) == "smallnet"
    found = flax.to_flax("smallnet", given)["params"]
    for name, place in (("fc2", found["fc2"]), ("branch1.0", found["branch1"]["conv1"])):
        expected = network.get_submodule(name).weight.detach().numpy()
        expected = expected.T if name == "fc2" else expected.transpose(2, 3, 1, 0)
        np.testing.assert_allclose(place["kernel"], expected, rtol=1e-6)
        assert place["kernel"].dtype == np.float32


# ---- other libraries ---------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["torchvision_resnet50", "torchvision_densenet121"])
def test_networks_of_torchvision_give_its_outputs(arch):
    state_dict = golden_state_dict(key_shapes(arch), 0)
    assert flax.recognize(state_dict) == arch
    images = np.random.default_rng(1).standard_normal((2, 12, 64, 64)).transpose(0, 2, 3, 1)
    variables = flax.to_flax(arch, state_dict)
    model = flax.get_architecture(arch).model(num_classes=17)
    with jax.enable_x64(True):
        output = jax.jit(model.apply, compiler_options=QUICK)(variables, images)
    with np.load(GOLDEN / "torchvision.npz") as golden:
        assert relative_error(output, golden[arch]) < 1e-10
    same(flax.to_torch(arch, variables), state_dict)


@pytest.mark.parametrize("channels", [3, 12])
@pytest.mark.parametrize("arch", ["torchvision_vgg16", "timm_vgg16"])
def test_vgg16_of_both_libraries_has_our_shapes(arch, channels):
    shapes = key_shapes(arch) | {"features.0.weight": (64, channels, 3, 3)}
    zero = np.zeros((), np.float16)  # one number, seen in every shape
    state_dict = {key: np.broadcast_to(zero, shape) for key, shape in shapes.items()}
    assert flax.recognize(state_dict) == arch
    network = MODELS[arch].__name__  # its keys are those of the library
    with torch.device("meta"):
        ours = MODELS[arch]((channels,), 17, 49).state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in ours.items()} == shapes, network
    variables = flax.to_flax(arch, state_dict)
    architecture = ARCHITECTURES[arch]
    image = jax.ShapeDtypeStruct((1, 224, 224, channels), jnp.float32)
    declared = jax.eval_shape(architecture.model(num_classes=17).init, jax.random.key(0), image)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, declared)


def test_a_convolution_over_a_whole_map_is_a_dense_layer():
    rng = np.random.default_rng(0)
    weight, image = rng.standard_normal((5, 3, 2, 2)), rng.standard_normal((4, 3, 2, 2))
    expected = torch.nn.functional.conv2d(torch.from_numpy(image), torch.from_numpy(weight))
    layout = WholeMap(channels=3, extent=2)
    kernel = layout.to_flax(weight)
    flat = image.transpose(0, 2, 3, 1).reshape(4, -1)
    np.testing.assert_allclose(flat @ kernel, expected[..., 0, 0].numpy(), rtol=1e-12)
    np.testing.assert_array_equal(layout.to_torch(kernel), weight)
    assert layout.torch_shape(kernel.shape) == weight.shape


def test_the_nearest_architecture_is_named(smallnet):
    shapes = key_shapes("torchvision_resnet50")
    del shapes["layer1.0.conv3.weight"]
    backbone = {f"backbone.body.{key}": shape for key, shape in shapes.items()}
    with pytest.raises(flax.UnknownArchitectureError) as raised:
        flax.recognize(backbone)
    fitting = sum(not key.endswith("num_batches_tracked") for key in shapes)
    for part in (
        "Nearest is torchvision_resnet50",
        f"{fitting} of {len(shapes)} keys fit",
        "common prefix 'backbone.body.'",
        "from_torch",
    ):
        assert part in str(raised.value)
    with pytest.raises(flax.UnknownArchitectureError, match=r"common prefix is 'a\.b\.'"):
        flax.recognize(["a.b.c", "a.b.d.e"])


# ---- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_and_shards_hold_the_same(tmp_path, smallnet, dtype):
    given = {f"model.{key}": tensor.to(dtype) for key, tensor in smallnet.items()}
    expected = flax.to_flax("smallnet", given)
    save_file(given, tmp_path / "whole.safetensors", metadata={"format": "pt"})
    found = read_checkpoint(tmp_path / "whole.safetensors")
    same(flax.to_flax("smallnet", found.state_dict), expected)
    names = sorted(given)
    parts = {"a-1-of-2.safetensors": names[:5], "a-2-of-2.safetensors": names[5:]}
    for file, keys in parts.items():
        save_file({key: given[key] for key in keys}, tmp_path / file)
    index = tmp_path / "a.safetensors.index.json"
    places = {key: file for file, keys in parts.items() for key in keys}
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    same(flax.to_flax("smallnet", read_checkpoint(index).state_dict), expected)
    if dtype is torch.bfloat16:
        manifest = flax.convert_file(index, tmp_path / "out")
        assert manifest.dtypes == ["bfloat16"]
        same(flax.load(tmp_path / "out").variables, expected)


def test_shards_of_pytorch_files_and_what_is_wrong_with_them(tmp_path, smallnet):
    index = tmp_path / "pytorch_model.bin.index.json"
    torch.save(smallnet, tmp_path / "one.bin")
    index.write_text(json.dumps({"weight_map": dict.fromkeys(smallnet, "one.bin")}))
    same(
        flax.to_flax("smallnet", read_checkpoint(index).state_dict),
        flax.to_flax("smallnet", smallnet),
    )
    for content, message in (
        ("{}", "is not an index of a checkpoint"),
        ("[" * 100_000, "is not an index of a checkpoint"),
        ('{"weight_map": {"a": "../one.bin"}}', "expected files beside it"),
        ('{"weight_map": {"a": "two.bin"}}', "two.bin"),
        ('{"weight_map": {"a": "one.bin"}}', "lacks a, which"),
    ):
        index.write_text(content)
        with pytest.raises(flax.CheckpointError, match=message):
            read_checkpoint(index)
    (tmp_path / "half.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(flax.CheckpointError, match=r"half.safetensors is not a safetensors file"):
        read_checkpoint(tmp_path / "half.safetensors")


def test_conversion_is_compared_with_outputs_that_somebody_saved(tmp_path, smallnet, capsys):
    network = MODELS["smallnet"]((1, 1), 10, 60).eval()
    network.load_state_dict(smallnet)
    path, own = tmp_path / "a.pth", tmp_path / "own.npz"
    torch.save(smallnet, path)
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((3, 1, 28, 14)).astype(np.float32) for _ in range(2))
    with torch.inference_mode():
        output = network(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    np.savez(own, left=left, right=right, output=output)
    manifest = flax.convert_file(path, tmp_path / "out", check=own)
    assert manifest.own_outputs["file"] == "own.npz"
    assert 0 < manifest.own_outputs["relative_difference"] < 1e-5
    assert flax.load(tmp_path / "out").manifest == manifest
    assert main([str(path), str(tmp_path / "two"), "--check", str(own)]) == 0
    assert "your outputs" in capsys.readouterr().out
    for arrays, message in (
        ({"left": right, "right": left, "output": output}, "PyTorch and Flax differ by"),
        ({"left": left, "output": output}, "do not fit smallnet: left"),
        ({"left": left, "right": right}, "expected 'output' and the inputs"),
        ({"left": left[0], "right": right[0], "output": output}, "expected inputs"),
        ({"left": left, "right": right, "output": output[:2]}, "smallnet gives"),
        ({"left": left, "right": right, "output": output * math.nan}, "not finite"),
    ):
        np.savez(own, **arrays)
        with pytest.raises(flax.SelfCheckError, match=message):
            flax.convert_file(path, tmp_path / "three", check=own)
        assert not (tmp_path / "three").exists()
    own.write_bytes(b"nothing")
    assert main([str(path), str(tmp_path / "three"), "--check", str(own)]) == 1
    assert "own.npz is not an .npz" in capsys.readouterr().err
