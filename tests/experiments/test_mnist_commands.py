"""Commands on data-fusion MNIST: all in one go, two networks side by side, the sweep."""

import json
from dataclasses import replace

import jax.numpy as jnp
import optax
import pytest
from PIL import Image
from rich.console import Console

from experiments.mnist import __main__ as command
from experiments.mnist import sweep as sweeping
from experiments.mnist.evaluate import evaluate, table_path
from experiments.mnist.figures import FOLDER, draw
from experiments.mnist.settings import Settings
from experiments.mnist.train import train
from rfp_jax import tables
from tests.datasets.tiny_mnist import write_tiny_mnist

QUIET = Console(quiet=True)
SETTINGS = Settings(epochs=2, batch_size=120)


def loss_of_sources(folder):
    """Cross-entropy of the relevances of each source, taken as logits; their sum."""
    table = tables.open(table_path(folder)).load()
    relevance = [jnp.asarray(table.relevance.sel(source=name)) for name in SETTINGS.sources]
    label = jnp.asarray(table.label.values)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    return sum(float(cross_entropy(logits, label).mean()) for logits in relevance)


@pytest.mark.long
def test_relevance_loss_makes_each_source_speak_for_the_class(tmp_path):
    asked = replace(SETTINGS, relevance_loss=1.0)
    out = tmp_path / "plain"
    for settings, folder in ((SETTINGS, out), (asked, tmp_path / "asked")):
        train(settings, folder, QUIET)
        evaluate(settings, folder, QUIET)
    plain, own = (loss_of_sources(folder) for folder in (out, tmp_path / "asked"))
    assert own < 0.9 * plain
    draw(SETTINGS, out, QUIET, beside=tmp_path / "asked", classes=(1, 7), samples=3)
    names = ["classes", "correct", "densities", "samples", "training", "violins", "wrong"]
    assert sorted(path.stem for path in (out / FOLDER).iterdir()) == names
    for name in names:
        with Image.open(out / FOLDER / f"{name}.png") as image:
            colors = {color for _, color in image.convert("RGB").getcolors(1 << 20)}
            assert image.width > 500
            assert len(colors) > 20, name
    other = replace(asked, samples=replace(asked.samples, seed=7))
    other.claim(tmp_path / "other")
    with pytest.raises(ValueError, match=r"other data(.|\n)*seed: 7 there, 42 now"):
        draw(SETTINGS, out, QUIET, beside=tmp_path / "other")


def test_mnist_from_idx_files_in_one_go(tmp_path, capsys):
    """28 x 28 images through the paper's own network, by the command line."""
    write_tiny_mnist(tmp_path)
    out = tmp_path / "results"
    given = ["--data", "mnist", "--folder", str(tmp_path), "--epochs", "1", "--seed", "3"]
    command.main(["playground", *given, "--source2.data-noise", "1", "--out", str(out)])
    shown = capsys.readouterr().out
    assert f"checkpoint and metrics: {out}" in shown
    assert "test accuracy    network" in shown
    table = tables.open(table_path(out)).load()
    assert table.sizes["sample"] == 20
    assert table.data_noise_right.values.all()
    assert not table.data_noise_left.values.any()
    assert (out / FOLDER / "violins.png").is_file()


def test_relevance_is_captum_lrp_of_the_same_weights(tmp_path, capsys):
    pytest.importorskip("captum")
    write_tiny_mnist(tmp_path)
    out, digits = tmp_path / "results", tmp_path / "digits"
    train(replace(SETTINGS, data="mnist", folder=tmp_path, epochs=1), out, QUIET)
    command.main(["captum", "--float64", "--out", str(out)])
    assert "relevance minus Captum's LRP: mean" in capsys.readouterr().out
    found = json.loads((out / "captum_float64.json").read_text())
    assert found["samples"] == 20
    assert found["largest_relevance"] > 0.01
    assert found["mean_difference"] < found["largest_difference"]
    assert found["largest_difference"] < 1e-5 * found["largest_relevance"]  # its ε is 1e-9
    replace(SETTINGS, epochs=1).claim(digits)
    with pytest.raises(SystemExit, match="train with --data mnist"):
        command.main(["captum", "--out", str(digits)])


def test_a_sweep_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    scores = {
        "accuracy": 0.9,
        "share": {"left": 0.5, "right": 0.5},
        "relevance": {"left": 5.0, "right": 5.0},
        "perceptual": {"left": 0.4, "right": 0.4},
        "shapley": {"left": 0.3, "right": 0.3},
    }
    out, settings = tmp_path / "sweep", Settings(epochs=1)
    options = {"fractions": (1.0, 0.0), "seeds": (5,), "source": 2}

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "train", cut)
        with pytest.raises(KeyboardInterrupt):
            sweeping.sweep(settings, out, QUIET, **options)
    for run in sweeping.runs(settings, [0.0, 1.0], seed=5, source=2):
        if run.folder != "data_noise_1_seed_5":  # this one alone is left to do
            run.settings.claim(out / "runs" / run.folder)
            (out / "runs" / run.folder / sweeping.SCORES).write_text(json.dumps(scores))
    sweeping.sweep(settings, out, QUIET, **options)
    record = json.loads((out / "experiment.json").read_text())["settings"]
    assert record["seeds"] == [5]
    assert not {"seed", "source1", "source2"} & record["samples"].keys()  # they did not run
    found = json.loads((out / "sweep.json").read_text())
    assert found["spoilt"] == "right"
    by_run = {(run["condition"], run["amount"]): run for run in found["runs"]}
    assert len(by_run) == 6
    assert by_run["label noise", 1.0] == {"condition": "label noise", "amount": 1.0, **scores}
    measured = by_run["data noise", 1.0]
    assert abs(measured["perceptual"]["right"]) < 0.1  # nobody misses pure noise
    assert measured["shapley"]["left"] > measured["shapley"]["right"] + 0.1
    assert (out / "sweep.png").stat().st_size > 10_000
