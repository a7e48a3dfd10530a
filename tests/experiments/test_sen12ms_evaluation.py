"""SEN12MS: evaluation, scores and figures against what is computed by hand."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
import xarray as xr
from PIL import Image

import rfp_jax
from experiments.sen12ms import checkpoint, figures, plotting
from experiments.sen12ms.evaluation import evaluate, open_tables, share_by_cover
from experiments.sen12ms.settings import Data, Evaluate, Plot
from rfp_jax import tables
from rfp_jax.convert import flax
from rfp_jax.convert.flax import save_manifest, save_variables
from rfp_jax.tables import TableMismatchError, bin_members
from tests.experiments.tiny_sen12ms import QUIET, SIZE, Tiny

pytestmark = pytest.mark.usefixtures("tiny_networks")


def save_network(folder, *channels, classes=10, seed=0):
    images = [jnp.ones((1, SIZE, SIZE, c)) for c in channels]
    model, rng = Tiny(classes), np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *images)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape).astype("f4"), shapes)
    variables["params"] = jax.tree.map(lambda leaf: 2 * leaf - 1, variables["params"])
    manifest = {
        "architecture": "smallnet",
        "inputs": sum(channels),
        "channels": list(channels),
        "classes": classes,
        "input_size": [SIZE, SIZE],
    }
    checkpoint.save(folder, checkpoint.Network(model, variables, manifest))
    return model, variables


@pytest.fixture(scope="module")
def evaluated(root, tmp_path_factory):
    """An evaluation in double precision, its settings, network and summary."""
    folder = tmp_path_factory.mktemp("evaluated")
    model, variables = save_network(folder / "network", 10, 2)
    config = Evaluate(
        data=Data(root, size=SIZE),
        checkpoint=folder / "network",
        out=folder / "evaluation",
        float64=True,
        batch_size=8,
        chunk=5,
        scores=10,
        scores_batch=6,
        draws=3,
    )
    return config, model, variables, evaluate(config, QUIET)


def samples(config, fraction):
    data = config.data.open("test", cloud_fraction=fraction, cloud_cover=True)
    return data, [data[i] for i in range(len(data))]


@pytest.mark.parametrize(("condition", "fraction"), [("clear", 0.0), ("cloudy", 1.0)])
def test_table_is_relevance_of_the_network_on_every_patch(evaluated, condition, fraction):
    config, model, variables, summary = evaluated
    data, each = samples(config, fraction)
    table = open_tables(config.out)[condition].load()
    assert table.id.values.tolist() == data.ids
    for key in ("label", "cloudy", "cloud_cover"):
        np.testing.assert_array_equal(table[key].values, [sample[key] for sample in each])
    with jax.enable_x64(True):
        variables = jax.tree.map(np.float64, variables)
        images = [np.stack([s[k] for s in each]).astype(np.float64) for k in ("optical", "sar")]
        plain = np.asarray(jax.jit(model.apply)(variables, *images))
        rel = jax.jit(rfp_jax.relevance(model.apply, argnums=(1, 2)))(variables, *images)
    np.testing.assert_allclose(table.output, plain, atol=1e-12)
    for name, part in zip(("optical", "sar", "bias"), (*rel.sources, rel.bias), strict=True):
        np.testing.assert_allclose(table.relevance.sel(source=name), part, atol=1e-12)
    labels = np.array([sample["label"] for sample in each])
    found = summary[condition]
    assert (found["samples"], found["failures"]) == (len(each), 0)
    assert found["cloudy"] == (data.patches.twins.sum() if fraction else 0)
    log = plain - np.log(np.exp(plain).sum(1, keepdims=True))
    for form in ("plain", "sum_of_relevances"):
        assert found[form]["accuracy"] == pytest.approx((plain.argmax(1) == labels).mean())
        assert found[form]["loss"] == pytest.approx(-log[np.arange(len(labels)), labels].mean())
    true = [np.abs(np.asarray(r)[np.arange(len(labels)), labels]) for r in rel.sources]
    assert found["share"]["sar"] == pytest.approx((true[1] / (true[0] + true[1])).mean())
    assert "synthetic" in found["data"]


def test_relevances_and_propagated_bias_add_up_to_the_output_in_double_precision(evaluated):
    *_, summary = evaluated
    for found in summary.values():
        assert 0 < found["deviation"]["mean"] <= found["deviation"]["largest"] <= 1e-10
        assert found["dtype"] == "float64"


def test_scores_are_shapley_values_and_permutations_of_accuracies(evaluated):
    config, model, variables, summary = evaluated
    _, each = samples(config, 1.0)
    chosen = np.random.default_rng(config.seed).permutation(len(each))[:10]
    optical, sar = (np.stack([each[i][k] for i in chosen]) for k in ("optical", "sar"))
    labels = np.array([each[i]["label"] for i in chosen])

    apply = jax.jit(model.apply)

    def value(a, b):
        return (np.asarray(apply(variables, a, b)).argmax(1) == labels).mean()

    both, none = value(optical, sar), value(0 * optical, 0 * sar)
    alone, other = value(optical, 0 * sar), value(0 * optical, sar)
    found = summary["cloudy"]["scores"]
    assert found["patches"] == 10
    assert found["accuracy"] == pytest.approx(both)
    assert found["shape"]["optical"] == pytest.approx((both - other + alone - none) / 2)
    assert found["shape"]["sar"] == pytest.approx((both - alone + other - none) / 2)
    moved = []
    for start in (0, 6):
        batch = slice(start, start + 6)
        draws = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), start), 3)
        for key in draws:
            order = jax.random.permutation(key, len(labels[batch]))
            logits = np.asarray(apply(variables, optical[batch], sar[batch][order]))
            moved += [(logits.argmax(1) == labels[batch]).mean()] * len(labels[batch])
    assert found["perceptual"]["sar"] == pytest.approx(both - np.mean(moved))


def test_a_second_call_computes_nothing_again(evaluated):
    config, *_, summary = evaluated
    before = {path: path.stat().st_mtime_ns for path in config.out.rglob("*.*")}
    again = evaluate(config, QUIET)
    assert again == summary
    after = {path: path.stat().st_mtime_ns for path in config.out.rglob("*.*")}
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed <= {"summary.json"}


def test_another_network_does_not_overwrite_an_evaluation(evaluated, tmp_path):
    config, *_, summary = evaluated
    save_network(tmp_path / "network", 10, 2, seed=1)
    with pytest.raises(TableMismatchError, match="parameters"):
        evaluate(dataclasses.replace(config, checkpoint=tmp_path / "network"), QUIET)
    assert json.loads((config.out / "summary.json").read_text()) == summary


def test_broken_patches_are_recorded_and_the_rest_goes_on(evaluated, root, tmp_path):
    config = evaluated[0]
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    data = dataclasses.replace(config.data, root=copy)
    patches = data.open("test").patches
    twin = int(np.flatnonzero(patches.twins)[0])
    banded = int(np.flatnonzero(~patches.twins)[0])  # read in both conditions
    truncated = next(i for i in range(3) if i not in (twin, banded))
    path = patches.file(truncated, "s1")
    path.write_bytes(path.read_bytes()[:300])
    with rasterio.open(patches.file(banded, "lc")) as file:
        shutil.copyfile(file.name, patches.file(banded, "s2"))
    patches.file(twin, "s2_cloudy").unlink()
    config = dataclasses.replace(config, data=data, out=tmp_path / "out", scores=12)
    summary = evaluate(config, QUIET)
    failures = {
        name: dict(tables.first_failures(table, 9))
        for name, table in open_tables(config.out).items()
    }
    names = [patch.name for patch in patches.patches]
    assert set(failures["clear"]) == {names[truncated], names[banded]}
    assert set(failures["cloudy"]) == {names[truncated], names[banded], names[twin]}
    assert path.name in failures["clear"][names[truncated]]
    assert "expected 13 bands, got 4" in failures["clear"][names[banded]]
    assert "SEN12MS-CR" in failures["cloudy"][names[twin]]
    assert summary["cloudy"]["failures"] == 3
    assert summary["cloudy"]["scores"]["patches"] == 9
    good = [i for i in range(len(names)) if i not in (truncated, banded)]
    before, after = (open_tables(c.out)["clear"].load() for c in (evaluated[0], config))
    np.testing.assert_array_equal(after.relevance[good], before.relevance[good])


def test_the_certificate_can_fail():
    """A constant that a rule forgets is nobody's, and shows."""
    net = Tiny()
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        images = [rng.standard_normal((3, 8, 8, c)) for c in (10, 2)]
        shapes = jax.eval_shape(net.init, jax.random.key(0), *images)
        variables = jax.tree.map(lambda leaf: 0.1 + rng.random(leaf.shape), shapes)

        def residual(rules="lrp0"):
            explain = rfp_jax.relevance(net.apply, (1, 2), bias="propagate", rules=rules)
            found = jax.jit(explain)(variables, *images)
            return found.output - sum(found.sources) - found.bias, found

        zero, found = residual()
        np.testing.assert_allclose(zero, 0, atol=1e-12)
        usual = jax.jit(rfp_jax.relevance(net.apply, argnums=(1, 2)))(variables, *images)
        np.testing.assert_allclose(found.bias, usual.bias, atol=1e-12)
        for mine, its in zip(found.sources, usual.sources, strict=True):
            np.testing.assert_allclose(mine, its, atol=1e-12)
        forgetful = rfp_jax.rules.lrp0.with_rules(
            {"add": lambda f, *x: rfp_jax.rules.affine(f, *x)._replace(bias=lambda: 0 * f(*x))}
        )
        missing, _ = residual(forgetful)
        assert np.abs(missing).max() > 0.05


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        ((10,), {}, "the network sees 10 channels, the data have 12"),
        ((10, 2), {"classes": 17}, "the network has 10 classes, the data 17"),
        ((6, 6), {}, r"the network's sources have \[6, 6\] channels, the data \[10, 2\]"),
        ((10, 2), {"size": 32}, r"the network fits images of \[16, 16\], the data have 32 x 32"),
    ],
)
def test_a_network_for_other_data_is_refused(root, tmp_path, channels, options, message):
    save_network(tmp_path / "network", *channels)
    data = Data(**{"root": root, "size": SIZE} | options)
    config = Evaluate(data=data, checkpoint=tmp_path / "network", out=tmp_path / "out")
    with pytest.raises(ValueError, match=message):
        evaluate(config, QUIET)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no network .*FileNotFoundError.*python -m convert"),
        ("{", "holds no network .*JSONDecodeError"),
        ('{"architecture": "resnet51", "classes": 10}', "holds no network .*resnet51"),
        ('{"architecture": "resnet50"}', "holds no network .*KeyError: 'classes'"),
        (
            '{"architecture": "resnet50", "classes": 10, "channels": [10], "inputs": 12}',
            "12 inputs, but channels",
        ),
    ],
)
def test_a_folder_without_a_network_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        checkpoint.load(tmp_path)


def test_a_converted_network_is_loaded_as_it_was_written(tmp_path):
    """Load what `python -m convert` writes for the published ResNet-50 of both sensors."""
    about = flax.Manifest(
        architecture="resnet50",
        inputs=12,
        channels=[12],
        classes=10,
        input_size=None,
        dtypes=["float32"],
        source="single_ResNet50_s1s2.pth",
        source_sha256="0" * 64,
        epoch=99,
        best_prec=0.6,
        num_batches_tracked=None,
        largest_difference=1e-6,
        relative_difference=1e-6,
        versions={},
    )
    variables = {"params": {"fc": {"bias": np.arange(10, dtype=np.float32)}}}
    (tmp_path / "network").mkdir()
    save_variables(tmp_path / "network", variables)
    save_manifest(tmp_path / "network", about)
    network = checkpoint.load(tmp_path / "network")
    assert (type(network.model).__name__, network.model.num_classes) == ("ResNet50", 10)
    np.testing.assert_array_equal(network.variables["params"]["fc"]["bias"], np.arange(10))
    checkpoint.check_fits(network, (10, 2), 10, 256)
    with pytest.raises(ValueError, match="the network sees 12 channels, the data have 10"):
        checkpoint.check_fits(network, (10,), 10, 256)


def test_several_labels_one_source_and_17_classes(root, tmp_path):
    save_network(tmp_path / "network", 2, classes=17)
    data = Data(root, size=SIZE, inputs="s1", classes=17, multi_label=True)
    config = Evaluate(
        data=data,
        checkpoint=tmp_path / "network",
        out=tmp_path / "out",
        conditions=("clear",),
        scores=4,
        scores_batch=4,
        draws=1,
    )
    summary = evaluate(config, QUIET)
    table = open_tables(config.out)["clear"].load()
    right = ((table.output.values >= 0) == table.label.values).all(1)
    assert summary["clear"]["plain"]["accuracy"] == pytest.approx(right.mean())
    p = 1 / (1 + np.exp(-table.output.values.astype(float)))
    by_hand = -np.where(table.label.values, np.log(p), np.log(1 - p)).mean()
    assert summary["clear"]["plain"]["loss"] == pytest.approx(by_hand, rel=1e-5)
    drawn = plotting.draw(Plot(data=data, evaluation=config.out, out=tmp_path / "figures"))
    assert {path.name for path in drawn} == {"examples.png", "sheet.png", "report.html"}


@pytest.fixture(scope="module")
def drawn(evaluated, tmp_path_factory):
    config = evaluated[0]
    out = tmp_path_factory.mktemp("figures")
    settings = Plot(
        data=config.data,
        evaluation=config.out,
        compare=config.out,
        checkpoint=config.checkpoint,
        out=out,
        bins=3,
        samples=4,
    )
    titles, figures_of = [], plotting._figures

    def watched(*arguments):
        for name, figure in figures_of(*arguments):
            titles.append(figure.get_suptitle())
            yield name, figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plotting, "_figures", watched)
        return settings, plotting.draw(settings), titles


def test_every_figure_is_drawn_and_is_not_blank(drawn):
    settings, paths, _ = drawn
    assert {path.name for path in paths} == {
        *("cloud_cover.png", "densities_clear.png", "densities_cloudy.png", "examples.png"),
        *("sheet.png", "violins_clear.png", "violins_cloudy.png", "per_class.csv"),
        *("pixels_clear.png", "pixels_cloudy.png", "report.html"),
    }
    assert {path.name for path in settings.out.iterdir()} == {path.name for path in paths}
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("L"))
                assert image.width >= 400
                assert pixels.std() > 10, path


def test_every_figure_says_that_the_data_are_synthetic(drawn):
    settings, _, titles = drawn
    assert len(titles) == 9
    assert all("synthetic data, not SEN12MS" in title for title in titles)
    page = (settings.out / "report.html").read_text()
    assert "synthetic data, not SEN12MS" in page
    assert page.count("data:image/png;base64,") > 4


def test_table_of_classes_by_hand(drawn, evaluated):
    settings, *_ = drawn
    with (settings.out / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = open_tables(settings.evaluation)["cloudy"].load()
    names = [str(name) for name in table["class"].values]
    assert [row["class"] for row in rows] == 2 * [*names, "all"]
    for row in rows[11:]:
        k = names.index(row["class"]) if row["class"] != "all" else None
        chosen = table.label.values == k if k is not None else np.ones(table.sizes["sample"], bool)
        assert int(row["patches"]) == chosen.sum()
        if not chosen.any():
            continue
        true = table.relevance.values[np.arange(len(chosen)), :, table.label.values][chosen]
        medians = [float(row[f"median relevance of {s}"]) for s in ("optical", "sar", "bias")]
        np.testing.assert_allclose(medians, np.median(true, 0), atol=1e-4)
        share = np.abs(true[:, 0]) / np.abs(true[:, :2]).sum(1)
        assert float(row["median share of optical"]) == pytest.approx(np.median(share), abs=1e-4)
        right = (table.prediction == table.label).values[chosen].mean()
        assert float(row["accuracy"]) == pytest.approx(right, abs=1e-4)


def test_share_over_cloud_cover_of_a_table_by_hand():
    cover = [0.0, 0.1, 0.5, 0.6, 0.9, 1.0]
    relevance = np.zeros((6, 3, 2))
    relevance[:, 0, 0] = [9, 7, 5, 5, 2, 0]
    relevance[:, 1, 0] = [1, 3, 5, -5, 8, 4]
    table = xr.Dataset(
        {"relevance": (("sample", "source", "class"), relevance)},
        coords={
            "source": ["optical", "sar", "bias"],
            "label": ("sample", [0] * 6),
            "cloud_cover": ("sample", cover),
            "finite": ("sample", [True] * 6),
        },
    )
    found = share_by_cover(table, 3)
    assert [(row["from"], row["to"], row["samples"]) for row in found] == [
        (0, pytest.approx(1 / 3), 2),
        (pytest.approx(1 / 3), pytest.approx(2 / 3), 2),
        (pytest.approx(2 / 3), 1, 2),
    ]
    np.testing.assert_allclose([row["share"]["optical"] for row in found], [0.8, 0.5, 0.1])
    np.testing.assert_allclose([row["share"]["sar"] for row in found], [0.2, 0.5, 0.9])
    for name in ("optical", "sar"):  # of two values the half of their distance
        errors = [row["standard_error"][name] for row in found]
        np.testing.assert_allclose(errors, [0.1, 0, 0.1], atol=1e-15)
    alone = share_by_cover(table.isel(sample=[0]), 3)
    assert [row["standard_error"]["sar"] for row in alone] == [None]


def test_bins_take_every_sample_once():
    values = np.array([0.0, 0.2, 0.4, 0.999, 1.0])
    members = bin_members(values, np.linspace(0, 1, 6))
    assert [each.tolist() for each in members] == [[0], [1], [2], [], [3, 4]]


def test_true_colors_are_red_green_blue():
    from rfp_jax.datasets.sen12ms import normalize_s2

    image = np.zeros((1, 1, 10), np.float32)
    image[..., :3] = 300, 1500, 3000  # blue, green, red
    np.testing.assert_allclose(
        figures.true_color(normalize_s2(image))[0, 0], [1, 0.5, 0.1], atol=1e-5
    )


def test_plot_without_an_evaluation_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run `python -m experiments.sen12ms evaluate`"):
        plotting.draw(Plot(evaluation=tmp_path, out=tmp_path / "out"))
