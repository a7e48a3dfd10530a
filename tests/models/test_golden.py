"""Outputs and relevance against the paper authors' own PyTorch implementation (tests/golden)."""

import jax
import numpy as np
import pytest

import rfp_jax
from rfp_jax.convert.flax import to_flax
from rfp_jax.models import ResNet50, SmallNet
from tests.golden.weights import GOLDEN, golden_state_dict, key_shapes, relative_error


def _check(model, variables, sources, golden, tolerance):
    with jax.enable_x64(True):
        relevance = jax.jit(rfp_jax.relevance(model.apply, argnums=(1, 2)))(variables, *sources)
        plain = model.apply(variables, *sources)
    assert relevance.output.dtype == np.float64
    assert relative_error(plain, golden["output"]) <= tolerance
    assert relative_error(relevance.output, golden["output"]) <= tolerance
    assert relative_error(relevance.bias, golden["bias"]) <= tolerance
    assert relative_error(relevance.sources[0], golden["source_1"]) <= tolerance
    assert relative_error(relevance.sources[1], golden["source_2"]) <= tolerance


@pytest.mark.parametrize(("name", "flattened"), [("28x14", 7680), ("28x28", 18432)])
def test_smallnet(name, flattened):
    golden = np.load(GOLDEN / f"smallnet_{name}.npz")
    shapes = key_shapes("smallnet_28x14") | {"fc1.weight": (128, flattened)}
    variables = to_flax("smallnet", golden_state_dict(shapes, int(golden["seed"])))
    sources = [golden[x].transpose(0, 2, 3, 1) for x in ("x1", "x2")]
    _check(SmallNet(), variables, sources, golden, 1e-10)


def test_resnet50():
    golden = np.load(GOLDEN / "resnet50_s1s2.npz")
    seed = int(golden["seed"])
    variables = to_flax("resnet50", golden_state_dict(key_shapes("resnet50"), seed))
    x = np.random.default_rng(seed + 1000).standard_normal(golden["input_shape"])
    optical, sar = np.split(x.transpose(0, 2, 3, 1), [10], axis=-1)
    _check(ResNet50(), variables, (optical, sar), golden, 1e-9)
