"""Whole networks of PyTorch: outputs, relevance, and everything a module can be made of."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import rfp_jax
from rfp_jax.convert import ProgramError, from_torch, to_torch
from tests.golden.weights import GOLDEN, golden_state_dict, key_shapes, relative_error

torch = pytest.importorskip("torch")
from orbax.checkpoint import v1 as ocp  # noqa: E402 (the same extra)

from rfp_jax.convert.flax._torch_models import ResNet50  # noqa: E402
from tests.convert.torch_networks import (  # noqa: E402 (needs PyTorch)
    Attention,
    ConvNext,
    Fusion,
    Layers,
    Residual,
    Tokens,
    gradient_times_input,
    images,
    randomized,
)

NETWORKS = [Fusion, Residual, ConvNext, Attention, Layers]
IDS = np.array([[1, 2, 3], [4, 0, 10]])


@pytest.fixture(autouse=True)
def _double(x64):
    pass


def torch_output(module, *args, **kwargs):
    with torch.no_grad():
        return module(
            *(torch.from_numpy(x) for x in args),
            **{k: torch.from_numpy(x) if np.ndim(x) else x for k, x in kwargs.items()},
        )


@pytest.mark.parametrize("network", NETWORKS)
def test_outputs_and_relevance_agree_with_pytorch(network):
    module, sources = randomized(network()), images()
    fun, params = from_torch(module)
    relevance = jax.jit(rfp_jax.relevance(fun, argnums=(1, 2)))(params, *sources)
    expected = torch_output(module, *sources).numpy()
    assert relative_error(relevance.output, expected) <= 1e-12
    assert relative_error(relevance.bias + sum(relevance.sources), expected) <= 1e-12

    heat = jax.jit(rfp_jax.heatmap(fun, argnums=(1, 2), outputs="all"))(params, *sources)
    for forward, reverse in zip(relevance.sources, heat, strict=True):
        total = reverse.sum(tuple(range(2, reverse.ndim))).T
        assert relative_error(total, forward) <= 1e-10
    if network is Layers:  # what is inside PyTorch's layers cannot be frozen from outside
        return
    for ours, oracle in zip(heat, gradient_times_input(module, sources), strict=True):
        assert relative_error(ours, oracle) <= 1e-10


def test_golden_relevance_of_the_network_written_anew_with_the_published_keys():
    """The authors' numbers for the SEN12MS ResNet-50; the module itself is our writing of it.

    The published modules are not in this repository. Ours has the keys and shapes of the published
    checkpoint (`tests/golden/resnet50_keys.json`) and weights of a seed, from which the authors'
    own implementation of relevance in PyTorch computed the numbers (`tests/golden/README.md`).
    """
    golden = np.load(GOLDEN / "resnet50_s1s2.npz")
    seed = int(golden["seed"])
    module = ResNet50([12], 10).double().eval()
    weights = golden_state_dict(key_shapes("resnet50"), seed)
    module.load_state_dict({key: torch.from_numpy(array) for key, array in weights.items()})
    x = np.random.default_rng(seed + 1000).standard_normal(golden["input_shape"])
    fun, params = from_torch(module)
    split = rfp_jax.sources.groups({"optical": range(10), "sar": range(10, 12)}, axis=1)
    relevance = jax.jit(rfp_jax.relevance(fun, argnums=1, split=split))(params, x)
    assert relative_error(relevance.output, torch_output(module, x)) <= 1e-12
    assert relative_error(relevance.output, golden["output"]) <= 1e-12
    assert relative_error(relevance.bias, golden["bias"]) <= 1e-12
    assert relative_error(relevance.sources["optical"], golden["source_1"]) <= 1e-12
    assert relative_error(relevance.sources["sar"], golden["source_2"]) <= 1e-12


def test_batch_sizes_are_free_and_each_is_exported_once():
    module = randomized(Residual())
    fun, params = from_torch(module)
    for batch in (1, 3, 1):
        sources = images(batch)
        assert relative_error(fun(params, *sources), torch_output(module, *sources)) <= 1e-12
    assert len(fun.programs.cache) == 2


def test_gradients_by_parameters_are_those_of_pytorch():
    module, sources = randomized(Fusion()), images()
    fun, params = from_torch(module)
    ours = jax.grad(lambda params: (fun(params, *sources) ** 2).sum())(params)
    (module(*map(torch.from_numpy, sources)) ** 2).sum().backward()
    named = dict(module.named_parameters())
    assert set(named) <= set(ours)
    for name, parameter in named.items():
        assert relative_error(ours[name], parameter.grad) <= 1e-10


def test_params_are_named_as_in_the_state_dict_and_tied_ones_stand_once():
    _, params = from_torch(randomized(Tokens()))
    assert set(params) == {
        "embedding.weight", "layer.weight", "layer.bias", "scale", "frequencies",
    }  # fmt: skip
    assert all(leaf.dtype == jnp.float64 for leaf in params.values())


@pytest.mark.parametrize("kwargs", [{}, {"mask": np.array([[True, False, True]] * 2)},
                                    {"double": True}])  # fmt: skip
def test_tokens_keywords_and_dataclasses(kwargs):
    module = randomized(Tokens())
    fun, params = from_torch(module)
    ours = jax.jit(lambda params, ids: fun(params, ids, **kwargs))(params, IDS)
    theirs = torch_output(module, IDS, **kwargs)
    assert set(ours) == {field.name for field in dataclasses.fields(theirs)}
    assert ours["loss"] is None
    assert relative_error(ours["logits"], theirs.logits) <= 1e-12
    assert relative_error(ours["hidden"], theirs.hidden) <= 1e-12


def test_an_embedding_as_source():
    module = randomized(Tokens())
    fun, params = from_torch(module, sources="embedding")
    (embedded,) = fun.source_values(params, IDS)
    np.testing.assert_array_equal(embedded, params["embedding.weight"][IDS])
    logits = lambda params, embedded: fun(params, embedded, IDS)["logits"]  # noqa: E731
    relevance = jax.jit(rfp_jax.relevance(logits, argnums=1))(params, embedded)
    expected = torch_output(module, IDS).logits.numpy()
    assert relative_error(relevance.output, expected) <= 1e-12

    tensor = torch.from_numpy(np.array(embedded)).requires_grad_()
    module.embedding.forward = lambda ids: tensor
    output = module(torch.from_numpy(IDS)).logits
    (gradient,) = torch.autograd.grad(output[1, 2, 3], tensor)
    oracle = (gradient * tensor).detach()[1].sum()
    np.testing.assert_allclose(relevance.sources[1, 2, 3], oracle, rtol=1e-10)


def test_two_submodules_as_sources():
    module, sources = randomized(Fusion()), images()
    fun, params = from_torch(module, sources=("optical", "sar"))
    values = fun.source_values(params, *sources)
    assert [value.shape for value in values] == [(3, 6, 4, 4)] * 2
    expected = torch_output(module, *sources)
    assert relative_error(fun(params, *values, *sources), expected) <= 1e-12
    assert not np.allclose(fun(params, values[0], 0 * values[1], *sources), expected)


def test_a_source_that_is_no_single_output_is_refused():
    with pytest.raises(ValueError, match="no submodule 'nothing'"):
        from_torch(randomized(Fusion()), sources="nothing")
    fun, params = from_torch(randomized(Layers()), sources="gru")
    with pytest.raises(ProgramError, match=r"'gru' returns 2 arrays"):
        fun.source_values(params, *images())
    with pytest.raises(ProgramError, match=r"come the outputs of gru"):
        fun(params)


def test_cast_parameters_cast_the_network():
    module, sources = randomized(ConvNext()), images()
    fun, params = from_torch(module)
    expected = torch_output(module, *sources)
    for dtype, tolerance in ((jnp.float32, 1e-5), (jnp.bfloat16, 0.1)):
        low = fun(jax.tree.map(lambda leaf, to=dtype: leaf.astype(to), params), *sources)
        assert low.dtype == dtype
        assert relative_error(low.astype(float), expected) <= tolerance


def test_a_network_in_single_precision_runs_in_double():
    module, sources = randomized(ConvNext()), images()
    fun, params = from_torch(module.float())
    ours = fun(jax.tree.map(lambda leaf: leaf.astype(float), params), *sources)
    assert relative_error(ours, torch_output(module.double(), *sources)) <= 1e-12
    with pytest.raises(ProgramError, match=r"changed since .* 'gamma' is now float64"):
        fun(params, *images(2))


def test_parts_cast_differently_are_refused():
    fun, params = from_torch(randomized(Fusion()))
    params["head.bias"] = params["head.bias"].astype(jnp.float32)
    with pytest.raises(ProgramError, match=r"cast to different dtypes: .*'head.bias' is float32"):
        fun(params, *images())


class Mixed(torch.nn.Module):
    """Computes its norm in single precision whatever it is given."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, x):
        y = self.layer(x)
        scale = torch.rsqrt(y.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return y * scale.to(y.dtype)


def test_parts_in_single_precision_stay_in_it():
    module, x = randomized(Mixed()), np.random.default_rng(0).standard_normal((2, 3))
    fun, params = from_torch(module)
    error = relative_error(fun(params, x), torch_output(module, x))
    assert error <= 1e-6
    exact = module.layer(torch.from_numpy(x))
    exact = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + 1e-6)
    assert relative_error(fun(params, x), exact.detach()) > 1e-10  # double would be nearer


def test_parameters_are_sharded_and_saved_like_any_tree(tmp_path):
    """Two devices hold half of each array whose first axis is even; Orbax writes and reads them."""
    module = randomized(Fusion()).float()  # `enable_x64` is not heard by Orbax's threads
    sources = [image.astype(np.float32) for image in images(2)]
    fun, params = from_torch(module)
    explain = jax.jit(rfp_jax.relevance(fun, argnums=(1, 2)))
    expected = explain(params, *sources)
    mesh = jax.make_mesh((2,), ("device",), (AxisType.Auto,))

    def halved(leaf):
        even = leaf.ndim > 0 and leaf.shape[0] % 2 == 0
        return jax.device_put(leaf, NamedSharding(mesh, P("device") if even else P()))

    sharded = jax.tree.map(halved, params)
    assert not sharded["mix.weight"].is_fully_replicated
    found = explain(sharded, *sources)
    assert len(found.output.sharding.device_set) == 2
    for ours, alone in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert relative_error(ours, alone) <= 1e-5

    ocp.save(str(tmp_path / "params"), sharded)
    place = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)  # noqa: E731
    read = ocp.load(str(tmp_path / "params"), jax.tree.map(place, sharded))
    assert set(read) == set(params)
    for name, leaf in params.items():
        assert read[name].dtype == leaf.dtype
        np.testing.assert_array_equal(read[name], leaf)
    np.testing.assert_array_equal(explain(read, *sources).output, found.output)
    to_torch(read, module)


def test_written_back():
    module, sources = randomized(Tokens()), IDS
    fun, params = from_torch(module)
    trained = jax.tree.map(lambda leaf: leaf + 0.125, params)
    to_torch(trained, module)
    assert module.head.weight is module.embedding.weight
    expected = torch_output(module, sources).logits
    assert relative_error(fun(trained, sources)["logits"], expected) <= 1e-12
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(ProgramError, match="'scale' is missing"):
        to_torch({name: leaf for name, leaf in params.items() if name != "scale"}, module)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_other_parameters_are_refused():
    fun, params = from_torch(randomized(Fusion()))
    wrong = {**params, "head.bias": params["head.bias"][:2], "extra": params["head.bias"]}
    with pytest.raises(ProgramError, match=r"'extra' is not known; head.bias has shape \(2,\)"):
        fun(wrong, *images())


def test_without_double_precision_indices_are_what_pytorch_takes():
    module = randomized(Tokens()).float()
    with jax.enable_x64(False):
        fun, params = from_torch(module)
        ours = jax.jit(fun)(params, jnp.asarray(IDS))
    theirs = torch_output(module, IDS)
    assert ours["logits"].dtype == jnp.float32
    assert relative_error(ours["logits"], theirs.logits) <= 1e-5
