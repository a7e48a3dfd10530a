"""SEN12MS: steps of training by hand, interruption, and settings that do not fit."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rich.console import Console

import rfp_jax
from experiments.results import OtherExperimentError
from experiments.sen12ms import checkpoint
from experiments.sen12ms.settings import Data, Train
from experiments.sen12ms.training import augment, make_step, train
from tests.experiments.tiny_sen12ms import QUIET, SIZE, Tiny

pytestmark = pytest.mark.usefixtures("tiny_networks")


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_a_step_is_that_of_the_loss_written_out(weight):
    config = Train(relevance_loss=weight, augment=False)
    optimizer = optax.sgd(0.1)
    net = Tiny()
    rng = np.random.default_rng(0)
    images = tuple(rng.standard_normal((4, 8, 8, c)).astype(np.float32) for c in (10, 2))
    labels = jnp.array([0, 3, 3, 9])
    variables = jax.jit(net.init)(jax.random.key(0), *images)

    def forward(params, optical, sar):
        everything = {**variables, "params": params}
        return net.apply(everything, optical, sar, train=True, mutable=["batch_stats"])[0]

    def loss(params):
        ce = optax.losses.softmax_cross_entropy_with_integer_labels
        rel = rfp_jax.relevance(forward, argnums=(1, 2))(params, *images)
        alone = [ce(source, labels).mean() for source in rel.sources]
        return ce(rel.output, labels).mean() + weight * sum(alone) / 2

    params = variables["params"]
    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    step = make_step(config, net.apply, optimizer)
    found, _, its = step(variables, optimizer.init(params), images, labels, jax.random.key(0))
    assert its == pytest.approx(float(value), rel=1e-5)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
    for mine, other in zip(*map(jax.tree.leaves, (found["params"], expected)), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    look = jax.jit(functools.partial(net.apply, train=True, mutable=["batch_stats"]))
    _, updates = look(variables, *images)
    for mine, other in zip(
        *map(jax.tree.leaves, (found["batch_stats"], updates["batch_stats"])), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-6)


def test_augmentation_turns_all_sources_alike_and_loses_no_pixel():
    image = np.arange(2 * 5 * 5 * 1, dtype=np.float32).reshape(2, 5, 5, 1)
    seen = set()
    for seed in range(30):
        one, two = augment(jax.random.key(seed), (image, 2 * image))
        np.testing.assert_array_equal(2 * np.asarray(one), two)
        for mine, original in zip(np.asarray(one), image, strict=True):
            turned = [np.rot90(original, k) for k in range(4)]
            turned += [each[:, ::-1] for each in turned]
            (which,) = [k for k, each in enumerate(turned) if (each == mine).all()]
            seen.add(which)
    assert seen == set(range(8))


def test_bfloat16_computes_in_it_and_keeps_parameters_in_float32():
    config = Train(architecture="fusion_resnet18", bfloat16=True)
    model = checkpoint.build("fusion_resnet18", 10, dtype=jnp.bfloat16)
    images = tuple(jax.ShapeDtypeStruct((4, 32, 32, c), jnp.float32) for c in (10, 2))
    variables = jax.eval_shape(model.init, jax.random.key(0), *images)
    assert jax.eval_shape(model.apply, variables, *images).dtype == jnp.bfloat16
    optimizer = optax.adamw(1e-3)
    state = jax.eval_shape(optimizer.init, variables["params"])
    step = make_step(config, model.apply, optimizer)
    labels = jax.ShapeDtypeStruct((4,), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    after, _, loss = jax.eval_shape(step, variables, state, images, labels, key)
    assert loss.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {jnp.dtype("float32")}


def train_settings(root, out, **changes):
    settings = {"architecture": "smallnet", "epochs": 3, "batch_size": 8, "cloud_fraction": 0.5}
    return Train(**{"data": Data(root, size=SIZE), "out": out, **settings, **changes})


def test_training_goes_on_where_it_was_interrupted(root, tmp_path, monkeypatch):
    whole = train_settings(root, tmp_path / "whole")
    folder = train(whole, QUIET)
    part = train_settings(root, tmp_path / "part")

    def crash(*_):
        if json.loads((part.out / "metrics.json").read_text())[-1]["epoch"] == 2:
            raise KeyboardInterrupt

    console = Console(quiet=True)
    monkeypatch.setattr(console, "print", crash)
    with pytest.raises(KeyboardInterrupt):
        train(part, console)
    train(part, QUIET)
    one, two = (json.loads((c.out / "metrics.json").read_text()) for c in (whole, part))
    assert [line["epoch"] for line in one] == [1, 2, 3]
    assert one == two
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["best_prec"] == max(line["accuracy"] for line in one)
    assert "synthetic" in manifest["data"]
    a, b = (checkpoint.load_variables(c.out / "checkpoint") for c in (whole, part))
    for mine, other in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        np.testing.assert_array_equal(mine, other)
    with pytest.raises(OtherExperimentError, match="epochs: 3 there, 4 now"):
        train(dataclasses.replace(part, epochs=4), QUIET)


@pytest.mark.parametrize("width", [None, 16])
def test_published_network_has_a_step_and_is_loaded_again(width, tmp_path):
    """Shapes alone: to compile takes half a minute."""
    images = tuple(jax.ShapeDtypeStruct((4, 32, 32, c), jnp.float32) for c in (10, 2))
    model = checkpoint.build("fusion_resnet18", 10, width)
    variables = jax.eval_shape(model.init, jax.random.key(0), *images)
    stem = variables["params"]["branch1"]["conv1"]["kernel"]
    assert stem.shape == (7, 7, 10, width or 64)
    optimizer = optax.adamw(1e-3)
    state = jax.eval_shape(optimizer.init, variables["params"])
    config = Train(architecture="fusion_resnet18", relevance_loss=0.5)
    step = make_step(config, model.apply, optimizer)
    labels, key = jax.ShapeDtypeStruct((4,), jnp.int32), jax.eval_shape(lambda: jax.random.key(0))
    after, _, loss = jax.eval_shape(step, variables, state, images, labels, key)
    before = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), variables)
    assert before == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), dict(after))
    assert loss.shape == ()
    arrays = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), variables)
    about = {"architecture": "fusion_resnet18", "inputs": 12, "channels": [10, 2], "classes": 10}
    about["width"] = width
    checkpoint.save(tmp_path / "network", checkpoint.Network(model, arrays, about))
    network = checkpoint.load(tmp_path / "network")
    assert network.model == model
    assert jax.tree.structure(network.variables) == jax.tree.structure(arrays)
    checkpoint.check_fits(network, (10, 2), 10, 256)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"width": 16}, "width must be at least 1 and is for fusion_resnet18 alone, got 16 for"),
        ({"width": 0, "architecture": "fusion_resnet18"}, "width must be at least 1"),
        ({"batch_size": 1}, "batch_size at least 2"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"relevance_loss": -1.0}, "relevance_loss must not be negative"),
        ({"cloud_fraction": 2.0}, r"cloud_fraction must lie in \[0, 1\]"),
        ({"seed": -1}, "seed must not be negative"),
        (
            {"architecture": "fusion_resnet18", "data": Data(inputs="s2")},
            "fusion_resnet18 has a branch for each of two sources: use inputs s1s2",
        ),
    ],
)
def test_bad_training_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Train(**setting)


def test_too_few_patches_for_a_batch_are_refused(root, tmp_path):
    with pytest.raises(ValueError, match="24 training patches make no batch of 64"):
        train(train_settings(root, tmp_path / "out", batch_size=64), QUIET)
    assert not (tmp_path / "out").exists()
