"""The models: shapes, dtypes, sources, training, and PyTorch's initializers.

That they compute what PyTorch computes is tested in tests/convert/test_flax_networks.py and in
test_golden.py.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax.traverse_util import flatten_dict, unflatten_dict

from rfp_jax.convert.flax import to_torch
from rfp_jax.convert.flax._torch_libraries import MODELS
from rfp_jax.models import VGG16, DenseNet121, FusionResNet18, ResNet50, SmallNet
from rfp_jax.models._layers import max_pool
from tests.golden.weights import relative_error

SIZES = {SmallNet: 10, ResNet50: 32, FusionResNet18: 32, DenseNet121: 32, VGG16: 32}
# The networks here are run once and small: compiling them takes longest.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
every_model = pytest.mark.parametrize("model", SIZES, ids=lambda model: model.__name__)


def _sources(model, batch=2, channels=(3, 2), seed=0):
    rng = np.random.default_rng(seed)
    size = SIZES[model]
    return [rng.standard_normal((batch, size, size, n)).astype(np.float32) for n in channels]


def _variables(model, sources, seed=0):
    """Random variables, sooner than `init` draws them: positive where they divide or scale."""
    rng = np.random.default_rng(seed)
    dtype = sources[0].dtype
    shapes = jax.eval_shape(model.init, jax.random.key(0), *sources)

    def draw(path, leaf):
        if path[-1] in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(dtype)
        scale = math.sqrt(2 / math.prod(leaf.shape[:-1])) if path[-1] == "kernel" else 0.1
        return (scale * rng.standard_normal(leaf.shape)).astype(dtype)

    drawn = {path: draw(path, leaf) for path, leaf in flatten_dict(shapes).items()}
    return unflatten_dict(drawn)


@every_model
def test_one_logit_per_class_and_image(model):
    for channels in ((1,), (3, 2), (2, 1, 1)):
        sources = _sources(model, batch=3, channels=channels)
        logits, _ = jax.eval_shape(
            model(num_classes=7).init_with_output, jax.random.key(0), *sources
        )
        assert logits.shape == (3, 7)


def test_joined_sources_are_one_array():
    one, two = _sources(ResNet50, batch=1)
    both = np.concatenate([one, two], axis=-1)
    variables = _variables(ResNet50(), [both])
    apply = quick_jit(ResNet50().apply)
    apart, together = apply(variables, one, two), apply(variables, both)
    np.testing.assert_array_equal(apart, together)
    assert np.abs(np.asarray(apart)).max() > 0


@every_model
def test_computes_in_the_dtype_asked_for(model):
    sources = _sources(model, batch=1)

    def dtypes(module, *arrays):
        logits, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), *arrays)
        return logits.dtype, {leaf.dtype for leaf in jax.tree.leaves(variables["params"])}

    assert dtypes(model(), *sources) == (jnp.float32, {jnp.dtype(jnp.float32)})
    half = model(dtype=jnp.bfloat16)
    assert dtypes(half, *sources) == (jnp.bfloat16, {jnp.dtype(jnp.float32)})
    half = model(dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    assert dtypes(half, *sources) == (jnp.bfloat16, {jnp.dtype(jnp.bfloat16)})
    with jax.enable_x64(True):
        double = model(param_dtype=jnp.float64)
        doubles = [source.astype(np.float64) for source in sources]
        assert dtypes(double, *doubles) == (jnp.float64, {jnp.dtype(jnp.float64)})


@pytest.mark.parametrize("model", [SmallNet, FusionResNet18], ids=lambda model: model.__name__)
def test_bfloat16_is_close_to_float32(model):
    sources = _sources(model)
    variables = _variables(model(), sources)
    half = quick_jit(model(dtype=jnp.bfloat16).apply)(variables, *sources)
    assert half.dtype == jnp.bfloat16
    full = quick_jit(model().apply)(variables, *sources)
    assert 0 < relative_error(half.astype(jnp.float32), full) < 0.05


@every_model
def test_says_what_is_wrong_with_its_sources(model):
    small, (good, _) = SIZES[model], _sources(model)
    module = model()

    def call(*sources):
        return jax.eval_shape(module.init, jax.random.key(0), *sources)

    with pytest.raises(TypeError, match="no source was given"):
        call()
    with pytest.raises(ValueError, match=r"source 2 has shape \(4, 4\): expected \[batch, height"):
        call(good, np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="agree in batch, height and width"):
        call(good, np.zeros((2, small, small + 2, 3), np.float32))
    with pytest.raises(ValueError, match="agree in batch, height and width"):
        call(good, np.zeros((1, small, small, 3), np.float32))


@pytest.mark.parametrize(
    ("model", "minimum"), [(SmallNet, 6), (DenseNet121, 29), (VGG16, 32), (ResNet50, 1)]
)
def test_smallest_image(model, minimum):
    def logits(size):
        x = np.zeros((1, size, size, 2), np.float32)
        return jax.eval_shape(model().init_with_output, jax.random.key(0), x)[0]

    assert logits(minimum).shape == (1, 10)
    with pytest.raises(ValueError, match=f"at least {minimum} x {minimum}"):
        logits(minimum - 1)


@pytest.mark.parametrize(("window", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (3, 2, 0)])
@pytest.mark.parametrize("size", [8, 9])
def test_max_pool_is_pytorchs(window, stride, padding, size):
    """Negative inputs too: padding is -inf there, not 0."""
    x = -np.random.default_rng(0).uniform(1, 2, (2, size, size + 1, 3)).astype(np.float32)
    expected = torch.nn.functional.max_pool2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2)), window, stride, padding
    )
    actual = max_pool(jnp.asarray(x), window, stride, padding)
    np.testing.assert_array_equal(actual, expected.numpy().transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("model", "arch", "joined"),
    [
        (FusionResNet18, "fusion_resnet18", False),
        pytest.param(DenseNet121, "densenet121", True, marks=pytest.mark.long),
    ],
)
def test_training_step_is_pytorchs(model, arch, joined):
    """Normalization by the batch, and a tenth of its statistics kept, in float64."""
    with jax.enable_x64(True):
        sources = [x.astype(np.float64) for x in _sources(model, batch=4)]
        variables = _variables(model(), sources)
        apply = quick_jit(model().apply, static_argnames=("train", "mutable"))
        output, updated = apply(variables, *sources, train=True, mutable=("batch_stats",))
        kept = apply(variables, *sources, mutable=("batch_stats",))[1]

    network = MODELS[arch]((5,) if joined else (3, 2), classes=10, positions=1).double().train()
    state = {key: torch.from_numpy(array) for key, array in to_torch(arch, variables).items()}
    network.load_state_dict(state)
    inputs = [torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in sources]
    expected = network(*([torch.cat(inputs, dim=1)] if joined else inputs))
    assert relative_error(output, expected.detach().numpy()) < 1e-9

    before, after = to_torch(arch, variables), to_torch(arch, {**variables, **updated})
    means = [key for key in after if key.endswith("running_mean")]
    assert len(means) > 10
    for key, tensor in network.state_dict().items():
        if key in means:
            np.testing.assert_allclose(after[key], tensor.numpy(), rtol=1e-9, atol=1e-12)
            assert not np.array_equal(before[key], after[key])
    jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], variables["batch_stats"])


def test_vgg_drops_out_in_training_only():
    sources = _sources(VGG16, batch=1)
    variables = _variables(VGG16(), sources)
    apply = quick_jit(VGG16().apply, static_argnames="train")

    def trained(seed):
        return apply(variables, *sources, train=True, rngs={"dropout": jax.random.key(seed)})

    plain = apply(variables, *sources)
    np.testing.assert_array_equal(plain, apply(variables, *sources))
    assert not np.allclose(trained(0), plain)
    assert not np.allclose(trained(0), trained(1))


def _initial(model, paths, collection="params"):
    """Some of the variables that a model starts with; what is not asked for is not drawn."""
    sources = _sources(model, batch=1)

    @quick_jit
    def draw(key):
        variables = model(num_classes=100).init(key, *sources)[collection]
        return {path: flatten_dict(variables, sep="/")[path] for path in paths}

    return {path: np.asarray(array) for path, array in draw(jax.random.key(0)).items()}


def _torch_default(shape):
    weight = torch.empty(shape)
    torch.nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # as Conv2d and Linear do
    return weight.numpy()


def _sen12ms(shape):
    weight = torch.empty(shape)
    torch.nn.init.kaiming_normal_(weight)  # as the published networks then do
    return weight.numpy()


@pytest.mark.parametrize(
    ("model", "torch_draws", "layers"),
    [
        (SmallNet, _torch_default, ["branch1/conv1", "branch2/conv2", "fc1", "fc2"]),
        (ResNet50, _sen12ms, ["encoder/conv1", "encoder/layer3_0/conv2", "fc"]),
        (ResNet50, _sen12ms, ["encoder/layer2_0/downsample_conv"]),
        (FusionResNet18, _sen12ms, ["branch1/conv1", "branch2/layer4_1/conv1", "fc"]),
        (DenseNet121, _sen12ms, ["conv0", "block2/layer3/conv2", "transition1/conv", "classifier"]),
        (VGG16, _sen12ms, ["conv1_1", "conv3_2", "fc1", "fc3"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_kernels_start_as_pytorchs(model, torch_draws, layers):
    """Spread and extremes of the numbers drawn are those that PyTorch draws."""
    torch.manual_seed(0)
    for kernel in _initial(model, [f"{layer}/kernel" for layer in layers]).values():
        expected = torch_draws(kernel.shape[::-1])
        slack = 5 / math.sqrt(kernel.size)  # several standard errors
        np.testing.assert_allclose(kernel.std(), expected.std(), rtol=slack)
        normal = expected.max() > 2 * expected.std()  # else uniform, with a sharp bound
        np.testing.assert_allclose(
            np.abs(kernel).max(), np.abs(expected).max(), rtol=0.3 if normal else slack
        )


@pytest.mark.parametrize(
    ("model", "fan_ins"),
    [
        (SmallNet, {"branch1/conv1": 27, "branch2/conv2": 9 * 32, "fc1": 9 * 128, "fc2": 128}),
        (VGG16, {"conv1_1": 9 * 5, "conv3_2": 0, "fc1": 512, "fc2": 4096, "fc3": 4096}),
        (ResNet50, {"fc": 2048}),
        (FusionResNet18, {"fc": 1024}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_biases_start_within_pytorchs_bound(model, fan_ins):
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)); 0 where torchvision's VGG says so."""
    for path, bias in _initial(model, [f"{layer}/bias" for layer in fan_ins]).items():
        fan_in = fan_ins[path.removesuffix("/bias")]
        bound = 1 / math.sqrt(fan_in) if fan_in else 0
        assert 0.8 * bound <= np.abs(bias).max() <= bound, path


def test_normalization_starts_as_pytorchs():
    sources = _sources(DenseNet121)
    variables = jax.eval_shape(DenseNet121().init, jax.random.key(0), *sources)
    paths = flatten_dict(variables["batch_stats"], sep="/")
    stats = _initial(DenseNet121, list(paths), "batch_stats")
    assert len(stats) == 2 * 121
    for path, array in stats.items():
        np.testing.assert_array_equal(array, 1 if path.endswith("var") else 0)
    norms = ["norm0", "block3/layer7/norm2", "transition2/norm", "norm5"]
    params = _initial(DenseNet121, [f"{n}/{leaf}" for n in norms for leaf in ("scale", "bias")])
    for path, array in params.items():
        np.testing.assert_array_equal(array, 1 if path.endswith("scale") else 0)
