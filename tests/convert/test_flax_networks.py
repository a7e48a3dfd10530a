"""Checkpoints become Flax networks that compute the same, or one error lists what is wrong."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from rfp_jax.convert import flax
from rfp_jax.convert.flax._architectures import ARCHITECTURES, Name, Size
from rfp_jax.convert.flax._torch_libraries import MODELS
from tests.convert.flax_checkpoints import as_tensors, flax_network, random_state_dict
from tests.golden.weights import key_shapes, relative_error

# Architecture, channels of its arrays, classes, positions of its last feature map.
NETWORKS = [
    ("smallnet", (1, 1), 10, 60),
    ("smallnet", (3, 2), 17, 6),
    ("resnet50", (3,), 17, 4),
    ("fusion_resnet18", (10, 2), 10, 2),
    ("densenet121", (10,), 10, 2),
    ("vgg16", (12,), 17, 2),
]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda network: f"{network[0]}-{network[2]}")
def random_network(request):
    """Architecture, its size and a random state dict in float64."""
    arch, *size = request.param
    state_dict = random_state_dict(arch, *size)
    for key in state_dict:
        if key.endswith("num_batches_tracked"):
            state_dict[key] = np.array(7, np.int64)
    return arch, Size(*size), state_dict


def test_flax_computes_what_pytorch_computes(random_network):
    arch, size, state_dict = random_network
    network = flax_network(arch, size.channels, size.classes, size.positions)
    network.load_state_dict(as_tensors(state_dict), assign=True)
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
    ours = flax_network(arch, (12,), 10, positions).state_dict()
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
        keys = list(flax_network(arch, *size).state_dict())
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
        key: array.astype(np.float32).round(1)
        for key, array in random_state_dict("smallnet").items()
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
    state_dict = random_state_dict("resnet50", (12,), 10, 1)
    variables = flax.to_flax("resnet50", state_dict)
    del state_dict[without]
    counters = [key for key in state_dict if key.endswith("num_batches_tracked")]
    for key in counters:  # files from before PyTorch 0.4.1 have none
        del state_dict[key]
    assert counters
    jax.tree.map(np.testing.assert_array_equal, flax.to_flax("resnet50", state_dict), variables)


def test_unequal_aliases_are_refused():
    state_dict = random_state_dict("resnet50", (12,), 10, 1)
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
