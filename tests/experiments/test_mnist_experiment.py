"""Data-fusion MNIST: training that goes on, evaluation against gradients, what is refused."""

import json
import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import linen as nn
from rich.console import Console

import rfp_jax
from experiments import checkpoints, results
from experiments.mnist import __main__ as command
from experiments.mnist import sweep as sweeping
from experiments.mnist import train as training
from experiments.mnist.evaluate import evaluate, table_path
from experiments.mnist.figures import draw
from experiments.mnist.settings import Settings
from experiments.mnist.train import train, trained
from rfp_jax import plot, tables
from rfp_jax.datasets import MultiSourceConfig, SourceConfig
from tests.datasets.tiny_mnist import idx_images, idx_labels, write_gz, write_tiny_mnist

QUIET = Console(quiet=True)
SETTINGS = Settings(epochs=2, batch_size=120)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Results of two epochs."""
    folder = tmp_path_factory.mktemp("mnist") / "results"
    train(SETTINGS, folder, QUIET)
    evaluate(SETTINGS, folder, QUIET)
    return folder


@pytest.fixture(scope="module")
def samples():
    return SETTINGS.load("test").arrays()


def content(folder):
    """Every file below a folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_metrics_of_every_epoch_are_of_the_network(out, samples):
    history = json.loads((out / "metrics.json").read_text())
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    assert history[1]["training_loss"] < history[0]["training_loss"]
    variables = trained(SETTINGS, out)
    logits = np.asarray(SETTINGS.network.apply(variables, *samples["images"]), np.float64)
    label = samples["label"]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(360), label])
    assert history[1]["test_loss"] == pytest.approx(expected, rel=1e-5)
    assert history[1]["test_accuracy"] == np.mean(logits.argmax(1) == label)


def test_a_training_that_was_cut_off_goes_on_as_if_it_had_not_been(out, tmp_path, monkeypatch):
    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_json", cut)
        with pytest.raises(KeyboardInterrupt):
            train(SETTINGS, tmp_path / "cut", QUIET)
    with pytest.raises(checkpoints.CheckpointError, match=r"1 of 2 epochs: run `train` again"):
        trained(SETTINGS, tmp_path / "cut")
    train(SETTINGS, tmp_path / "cut", QUIET)
    for name in ("metrics.json", results.ABOUT):
        assert (tmp_path / "cut" / name).read_bytes() == (out / name).read_bytes()
    jax.tree.map(
        np.testing.assert_array_equal, trained(SETTINGS, tmp_path / "cut"), trained(SETTINGS, out)
    )


def test_table_is_gradient_times_input(out, samples):
    """On a piecewise linear network relevance is gradient times input, summed over a source."""
    variables = trained(SETTINGS, out)

    @jax.jit
    @jax.vmap
    def jacobian(*images):
        def scores(*images):
            return SETTINGS.network.apply(variables, *(x[None] for x in images))[0]

        return jax.jacrev(scores, argnums=(0, 1))(*images)

    table = tables.open(table_path(out)).load()
    assert table.id.values.tolist() == [str(name) for name in samples["id"]]
    assert tables.provenance(table)["data"]["arguments"]["view"] == "halves"
    for name, gradient, image in zip(
        SETTINGS.sources, jacobian(*samples["images"]), samples["images"], strict=True
    ):
        expected = np.einsum("nkhwc,nhwc->nk", np.asarray(gradient, float), image.astype(float))
        np.testing.assert_allclose(table.relevance.sel(source=name), expected, atol=2e-5)
    plain = SETTINGS.network.apply(variables, *samples["images"])
    np.testing.assert_allclose(table.output, plain, atol=2e-5)
    np.testing.assert_allclose(table.relevance.sum("source"), plain, atol=2e-5)


def test_evaluation_says_what_the_table_holds(out):
    found = json.loads((out / "evaluation.json").read_text())
    table = tables.open(table_path(out)).load()
    total, label = table.relevance.sum("source").values, table.label.values
    assert found["accuracy"] == found["accuracy_of_sum"] == np.mean(total.argmax(1) == label)
    assert found["loss_of_sum"] == pytest.approx(found["loss"], rel=1e-5)
    assert 0 < found["mean_difference"] <= found["largest_difference"] < 2e-5
    own = {name: table.relevance.sel(source=name).values for name in ("left", "right", "bias")}
    alone = {name: np.mean(own[name].argmax(1) == label) for name in SETTINGS.sources}
    assert found["accuracy_of_source_alone"] == alone
    true = {name: plot.select_class(values, label) for name, values in own.items()}
    for name, values in true.items():
        assert found["median_relevance"][name] == pytest.approx(np.median(values))
    share = np.abs(true["left"]) / (np.abs(true["left"]) + np.abs(true["right"]))
    assert found["median_share"]["left"] == pytest.approx(np.median(share))


def test_relevances_add_up_to_the_output_in_double_precision(out):
    found = evaluate(SETTINGS, out, QUIET, dtype="float64")
    assert 0 < found["largest_difference"] < 1e-12
    assert tables.open(table_path(out, "float64")).relevance.dtype == np.float64


def test_that_relevances_add_up_can_fail(x64):
    """A constant that a rule forgets is missing in their sum."""
    net = nn.Sequential([nn.Dense(5), nn.relu, nn.Dense(3)])
    x = jax.random.normal(jax.random.key(0), (2, 4))
    variables = jax.tree.map(lambda leaf: leaf + 0.1, net.init(jax.random.key(1), x))

    def missing(rules):
        explain = rfp_jax.relevance(net.apply, argnums=1, bias="propagate", rules=rules)
        found = explain(variables, x)
        return found.output - found.bias - found.sources

    forgetful = rfp_jax.rules.lrp0.with_rules(
        {"add": lambda f, *x: rfp_jax.rules.affine(f, *x)._replace(bias=lambda: 0 * f(*x))}
    )
    np.testing.assert_allclose(missing("lrp0"), 0, atol=1e-12)
    assert np.abs(missing(forgetful)).min() > 0.05


def test_settings_are_read_back(tmp_path):
    samples = MultiSourceConfig(
        view="full", sum_labels=True, source2=SourceConfig(0.5, shuffle=True), seed=3
    )
    settings = Settings(samples=samples, relevance_loss=0.5)
    settings.claim(tmp_path / "results")
    assert Settings.from_folder(tmp_path / "results") == settings
    assert settings.sources == ("first", "second")


def test_runs_of_a_sweep_spoil_one_source_by_one_condition():
    found = list(sweeping.runs(Settings(), [0.0, 0.5], seed=7, source=1))
    spoilt = {run.folder: run.settings.samples.source1 for run in found}
    assert spoilt == {
        "clean_seed_7": SourceConfig(),
        "data_noise_0.5_seed_7": SourceConfig(data_noise=0.5),
        "label_noise_0.5_seed_7": SourceConfig(label_noise=0.5),
        "shuffle_1_seed_7": SourceConfig(shuffle=True),
    }
    assert all(run.settings.samples.source2 == SourceConfig() for run in found)
    assert {run.settings.samples.seed for run in found} == {7}


def test_a_folder_with_other_results_is_left_alone(out):
    before = content(out)
    with pytest.raises(SystemExit, match=r"another experiment:\n  epochs: 2 there, 3 now\nChoose"):
        command.main(["train", "--epochs", "3", "--batch-size", "120", "--out", str(out)])
    with pytest.raises(SystemExit, match=r"experiment: \"mnist\" there, \"mnist sweep\" now"):
        command.main(["sweep", "--out", str(out)])
    assert content(out) == before


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "summary.json").write_text("mine")
    with pytest.raises(SystemExit, match=r"holds files, but no results of an experiment"):
        command.main(["train", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"holds files, but no results of an experiment"):
        command.main(["evaluate", "--out", str(tmp_path)])
    assert content(tmp_path) == {"summary.json": b"mine"}


def test_a_checkpoint_of_another_shape_is_refused(out, tmp_path):
    full = replace(SETTINGS, samples=MultiSourceConfig(view="full"))
    full.claim(tmp_path / "results")
    (out / "checkpoints").rename(tmp_path / "results" / "checkpoints")
    try:
        before = content(tmp_path / "results")
        message = (
            r"another network or optimizer:\n  variables/params/Dense_0/kernel: "
            r"float32\[1024, 128\] in the checkpoint, float32\[2048, 128\] here"
        )
        with pytest.raises(SystemExit, match=message):
            command.main(["evaluate", "--out", str(tmp_path / "results")])
        with pytest.raises(checkpoints.CheckpointError, match=message):
            train(full, tmp_path / "results", QUIET)
        assert content(tmp_path / "results") == before
    finally:
        (tmp_path / "results" / "checkpoints").rename(out / "checkpoints")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["train", "--source1.data-noise", "1.5"], r"must lie in\W+\[0, 1\], got 1.5"),
        (["sweep", "--source2.label-noise", "-0.1"], r"must lie in\W+\[0, 1\], got -0.1"),
        (["train", "--data", "cifar"], r"choose from|invalid choice|{digits,mnist}"),
    ],
)
def test_bad_settings_are_refused(given, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as exit:
        command.main([*given, "--out", str(tmp_path / "out")])
    assert exit.value.code == 2
    shown = re.sub(r"[│\s]+", " ", capsys.readouterr().err)
    assert re.search(message, shown), shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["train", "--relevance-loss", "-1"], "must not be negative, got -1.0"),
        (["train", "--epochs", "0"], "at least 1, got 0 and 64"),
        (["train", "--learning-rate", "nan"], "must be positive, got nan"),
        (["sweep", "--fractions", "0", "1.2"], r"must lie in \[0, 1\], got 1.2"),
        (["sweep", "--source", "3"], "source must be 1 or 2, got 3"),
        (["sweep", "--seed", "7"], r"the sweep does not use --seed: .*--seeds"),
        (["sweep", "--source1.data-noise", "0.5"], r"the sweep does not use --source1"),
        (["train", "--data", "mnist", "--folder", "nowhere"], "no MNIST in nowhere. Download"),
        (["evaluate"], "no results at"),
        (["plot"], "no results at"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(given, message, tmp_path):
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        command.main([*given, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match="unknown data set 'cifar': choose from digits, mnist"):
        Settings(data="cifar")


def test_an_empty_split_is_refused(tmp_path):
    write_tiny_mnist(tmp_path)
    write_gz(tmp_path / "t10k-images-idx3-ubyte.gz", idx_images(np.zeros((0, 28, 28), np.uint8)))
    write_gz(tmp_path / "t10k-labels-idx1-ubyte.gz", idx_labels(np.zeros(0, np.uint8)))
    given = ["train", "--data", "mnist", "--folder", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="empty"):
        command.main(given)
    assert not (tmp_path / "out").exists()


def test_drawing_needs_classes_that_exist(out):
    with pytest.raises(ValueError, match=r"classes from 0 to 9, got 8, \[10\]"):
        draw(SETTINGS, out, QUIET, classes=(10,))
