"""Relevance on accelerators, as far as it can be known without one.

Programs are lowered for CUDA and TPU, and split over eight simulated devices.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax import export

import rfp_jax
from benchmarks.speed import training, workloads
from benchmarks.speed.workloads import VisionTransformer
from rfp_jax.models import FusionResNet18, SmallNet


class UNet(nn.Module):
    """A map of classes from two images: down, up, skip."""

    @nn.compact
    def __call__(self, optical, sar):
        fine = nn.relu(nn.Conv(8, (3, 3))(jnp.concatenate([optical, sar], -1)))
        coarse = nn.relu(nn.Conv(8, (3, 3))(nn.max_pool(fine, (2, 2), (2, 2))))
        up = jax.image.resize(coarse, fine.shape, "bilinear")
        return nn.Conv(4, (1, 1))(jnp.concatenate([fine, up], -1))


class Recurrent(nn.Module):
    """Two sensors, step by step."""

    @nn.compact
    def __call__(self, accelerometer, gyroscope):
        series = jnp.concatenate([accelerometer, gyroscope], -1)
        return nn.Dense(4)(jnp.asarray(nn.RNN(nn.OptimizedLSTMCell(8))(series))[:, -1])


class Causal(nn.Module):
    """Two sequences of tokens, one after the other, under a causal mask."""

    @nn.compact
    def __call__(self, text, image):
        x = jnp.concatenate([text, image], 1)
        mask = nn.make_causal_mask(jnp.ones(x.shape[:2]))
        x = x + nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x), mask=mask)
        return nn.Dense(4)(nn.gelu(nn.Dense(16)(nn.LayerNorm()(x))))


def image(bands, side=32):
    return jax.ShapeDtypeStruct((2, side, side, bands), jnp.float32)


def series(features):
    return jax.ShapeDtypeStruct((2, 12, features), jnp.float32)


WORKLOADS = {
    "SmallNet": (SmallNet(), (image(1, 28), image(1, 28))),
    "FusionResNet18": (FusionResNet18(), (image(10), image(2))),
    "ViT": (VisionTransformer(layers=2), (image(10), image(2))),
    "U-Net": (UNet(), (image(4), image(2))),
    "LSTM": (Recurrent(), (series(3), series(3))),
    "causal transformer": (Causal(), (series(8), series(8))),
}


def calls(program):
    """Names of what a program calls outside StableHLO."""
    return set(re.findall(r"custom_call @([\w.]+)", program.mlir_module()))


PLATFORMS = ["cuda", "tpu"]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(WORKLOADS))
def test_relevance_and_its_gradient_are_lowered(name):
    model, sources = WORKLOADS[name]
    variables = jax.eval_shape(model.init, jax.random.key(0), *sources)
    explained = rfp_jax.relevance(model.apply, argnums=(1, 2))

    def gradient(variables, *sources):
        return jax.grad(lambda v: sum(r.sum() for r in explained(v, *sources).sources))(variables)

    forward, relevance, trained = (
        export.export(jax.jit(fun), platforms=PLATFORMS)(variables, *sources)
        for fun in (model.apply, explained, gradient)
    )
    assert list(relevance.platforms) == PLATFORMS
    assert calls(relevance) <= calls(forward)  # nothing that a platform may lack
    assert not any("callback" in call for call in calls(trained))


def abstract(make):
    """A workload of the benchmark, of shapes in the place of arrays."""
    kept = []

    def build():
        kept.append(make())
        return kept[0].arguments

    variables, *sources = jax.eval_shape(build)
    return replace(kept[0], variables=variables, sources=tuple(sources))


LONG = {"resnet50", "fusion", "torch-resnet50", "torch-vit", "bands-13", "smallnet-500"}
LONG |= {"resnet50-float64", "resnet50-bfloat16", "training-resnet50"}
"""Workloads whose programs are those of others, larger."""


def quick_and_long(names):
    return [pytest.param(n, marks=pytest.mark.long) if n in LONG else n for n in names]


@pytest.mark.slow
@pytest.mark.parametrize("name", quick_and_long(workloads.WORKLOADS))
def test_each_workload_of_the_benchmark_is_lowered(name):
    with jax.enable_x64(name.endswith("float64")):
        work = abstract(workloads.WORKLOADS[name])
        forward, relevance = (
            export.export(jax.jit(fun), platforms=PLATFORMS)(*work.arguments)
            for fun in (work.fun, work.explain())
        )
    (output,) = forward.out_avals
    parts = [part.shape for part in relevance.out_avals]
    if work.axis is None:
        assert parts.count(output.shape) >= 2 + work.count  # output, bias, and a part a source
    else:
        assert (work.count, *output.shape) in parts
    assert calls(relevance) <= calls(forward)


@pytest.mark.parametrize("name", quick_and_long(training.TRAININGS))
def test_each_training_step_of_the_benchmark_is_lowered(name):
    work = abstract(training.TRAININGS[name])
    plain, explained = (
        export.export(jax.jit(step), platforms=PLATFORMS)(*work.arguments)
        for step in training.steps(work).values()
    )
    weights = [leaf.shape for leaf in jax.tree.leaves(work.variables)]
    assert [gradient.shape for gradient in explained.out_avals] == weights
    assert calls(explained) <= calls(plain)


@pytest.fixture(scope="module")
def sharded():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, Path(__file__).with_name("sharded.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["batch", "weights and batch", "features"])
def test_sharded_numbers_are_equal(sharded, layout):
    assert sharded[layout]["devices"] == 8
    assert sharded[layout]["gap"] < 1e-6


def test_sharded_relevance_moves_what_the_forward_pass_moves(sharded):
    assert sharded["batch"]["forward"] == sharded["batch"]["relevance"] == 0
    weights = sharded["weights and batch"]
    assert 0 < weights["relevance"] <= weights["forward"]  # each weight is gathered once
    features = sharded["features"]  # activations move, and so do the contributions of two sources
    assert 0 < features["relevance"] <= 3 * features["forward"]
