"""The demo on real digits: its files, its figures from another definition, its end on Ctrl-C."""

import importlib
import json
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image
from rich.progress import Progress

import rfp_jax
from experiments import command, digits
from rfp_jax import plot
from rfp_jax.datasets import MultiSource, MultiSourceConfig, load_digits

SETTINGS = {"epochs": 1, "batch_size": 120, "seed": 3}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "results"
    digits.main(digits.Config(**SETTINGS, out=folder))
    return folder


@pytest.fixture(scope="module")
def summary(results):
    return json.loads((results / "summary.json").read_text())


def test_files_are_complete_and_nothing_else_is_left(results):
    assert sorted(path.name for path in results.iterdir()) == [
        "examples.png",
        "summary.json",
        "violins.png",
    ]


@pytest.mark.parametrize("name", ["examples.png", "violins.png"])
def test_pictures_are_wide_enough_and_show_both_sources(results, name):
    with Image.open(results / name) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert image.width >= 800
    for color in plot.source_colors(digits.SOURCES).values():
        rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (pixels == rgb).all(axis=1).sum() > 1000


def test_summary_is_gradient_times_input_on_the_same_network(summary):
    """On a piecewise linear network a half's relevance is gradient times input, summed over it."""
    train, test = (
        MultiSource(load_digits(split), MultiSourceConfig(seed=SETTINGS["seed"]))
        for split in ("train", "test")
    )
    with Progress(disable=True) as progress:
        variables = digits.train(digits.Config(**SETTINGS), train, progress)
    images, labels = test.arrays()["images"], test.arrays()["label"]

    @jax.jit
    @jax.vmap
    def score_and_gradient(label, *images):
        def true_score(*images):
            return digits.TwoBranchNet().apply(variables, *(x[None] for x in images))[0, label]

        return jax.value_and_grad(true_score, argnums=(0, 1))(*images)

    output, gradients = score_and_gradient(labels, *images)
    expected = {
        name: np.sum(gradient * half, axis=(1, 2, 3))
        for name, gradient, half in zip(("left", "right"), gradients, images, strict=True)
    }
    expected["output"] = np.asarray(output)
    expected["bias"] = expected["output"] - expected["left"] - expected["right"]
    logits = np.asarray(digits.TwoBranchNet().apply(variables, *images))
    correct = logits.argmax(axis=1) == labels
    assert summary["test_accuracy"] == pytest.approx(correct.mean())
    assert list(summary["classes"]) == [*map(str, range(10)), "all"]
    for name, row in summary["classes"].items():
        group = labels == int(name) if name != "all" else np.ones(360, bool)
        assert (row["images"], row["correct"]) == (group.sum(), correct[group].sum())
        for part, values in expected.items():
            median = row["median_true_class_relevance"][part]
            assert median == pytest.approx(np.median(values[group]), rel=1e-4, abs=1e-5), part


def test_summary_says_what_it_was_made_from(summary):
    assert summary["settings"] == {**SETTINGS, "learning_rate": 1e-3}
    assert (summary["training_images"], summary["test_images"]) == (1437, 360)


def test_deviations_are_rounding(summary):
    deviation = summary["largest_deviation"]
    scale = deviation["largest_output"]
    assert 0 <= deviation["sum_of_relevances_and_bias_from_output"] < 1e-5 * scale
    assert 0 < deviation["unexplained_with_propagated_bias"] < 1e-5 * scale


def test_a_forgotten_bias_shows_as_unexplained():
    """The summary's report can fail: here sums forget the constant that they add."""
    net = nn.Sequential([nn.Dense(5), nn.relu, nn.Dense(3)])
    forgetful = rfp_jax.rules.lrp0.with_rules(
        {"add": lambda f, *x: rfp_jax.rules.affine(f, *x)._replace(bias=lambda: 0 * f(*x))}
    )

    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (2, 4))
        variables = jax.tree.map(lambda leaf: leaf + 0.1, net.init(jax.random.key(1), x))
        right, wrong = (
            digits.unexplained(net.apply, rules)(variables, x) for rules in ("lrp0", forgetful)
        )
        np.testing.assert_allclose(right, 0, atol=1e-12)
        assert np.abs(wrong).min() > 0.05


def test_the_same_seed_gives_the_same_numbers(results, tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "draw", lambda *_: None)
    digits.main(digits.Config(**SETTINGS, out=tmp_path))
    assert (tmp_path / "summary.json").read_bytes() == (results / "summary.json").read_bytes()


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_ctrl_c_in_training_ends_cleanly(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.digits", "--epochs", "9999", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "1437 to train on" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.split() == "Interrupted: nothing half written is left behind.".split()
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_importing_ends_cleanly(capsys):
    with pytest.raises(SystemExit) as exit, command.lazy_imports():
        raise KeyboardInterrupt
    assert exit.value.code == 130
    assert "Interrupted" in capsys.readouterr().err


def test_a_missing_package_names_the_extra():
    remedy = r"pip install 'rfp-jax\[experiments\]'"
    with pytest.raises(SystemExit, match=remedy), command.lazy_imports():
        importlib.import_module("no_such_package")


def test_a_failure_leaves_earlier_results_alone(tmp_path):
    (tmp_path / "summary.json").write_text("earlier")

    def write_half():
        with command.atomic_outputs(tmp_path) as folder:
            (folder / "summary.json").write_text("la")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert (tmp_path / "summary.json").read_text() == "earlier"


def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"Cannot write to the folder .*--out"):
        digits.main(digits.Config(**SETTINGS, out=tmp_path / "file"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"epochs": 0}, "at least 1, got 0 and 64"),
        ({"batch_size": 0}, "at least 1, got 20 and 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        digits.Config(**setting)
