"""Land cover of every pixel: reading, sums over distance, the whole run, and going on with it."""

import itertools
import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from rich.console import Console

from experiments.results import OtherExperimentError
from experiments.segmentation import pipeline, training
from experiments.segmentation.__main__ import main
from experiments.segmentation.edges import EDGES, UNDER, binned, bins, distance_to_edge
from experiments.segmentation.explaining import explainer, measure
from experiments.segmentation.settings import SOURCES, Demo, Networks, Run
from experiments.segmentation.summary import summarize
from experiments.segmentation.training import augment, pixel_cross_entropy, train

QUIET = Console(quiet=True)
NETWORKS = Networks(networks=2, width=2, epochs=2, batch_size=6, crop=8, seed=3)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return Demo(
        patches=40, size=16, networks=NETWORKS, rows=2, out=tmp_path_factory.mktemp("demo") / "out"
    )


@pytest.fixture(scope="module")
def summary(config):
    return pipeline.demo(config, QUIET)


def slow_distance(mask):
    """The distance of each pixel to the nearest one of the other kind, less half a pixel."""
    places = list(itertools.product(*map(range, mask.shape)))
    found = np.full(mask.shape, np.inf)
    for here, there in itertools.product(places, places):
        if mask[here] != mask[there]:
            found[here] = min(found[here], np.hypot(*np.subtract(here, there)))
    return 10 * np.where(mask, 0.5 - found, found - 0.5)


@pytest.mark.parametrize("cover", [0.0, 0.2, 0.7, 1.0])
def test_distance_is_that_to_the_nearest_pixel_of_the_other_kind(cover):
    mask = np.random.default_rng(1).random((7, 9)) < cover
    np.testing.assert_allclose(distance_to_edge(mask), slow_distance(mask))


def test_every_distance_is_in_the_bin_between_its_edges():
    distance = np.array([-np.inf, -1000, -319, -5, 5, 45, 1000, np.inf])
    for value, place in zip(distance, bins(distance), strict=True):
        edges = (-np.inf, *EDGES, np.inf)
        assert edges[place] <= value <= edges[place + 1]
        assert UNDER[place] == (value < 0)
    assert binned(np.ones(8), bins(distance)).sum() == 8


def test_unknown_pixels_do_not_count_in_the_loss(x64):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 3, 3, 4)), rng.integers(0, 4, (2, 3, 3))
    labels[0, 0], labels[1, 2, 1] = -1, -1
    known = labels >= 0
    each = optax.softmax_cross_entropy_with_integer_labels(logits[known], labels[known])
    found = pixel_cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    assert float(found) == pytest.approx(float(each.mean()), abs=1e-12)
    assert float(pixel_cross_entropy(jnp.asarray(logits), jnp.full((2, 3, 3), -1))) == 0


def test_parts_are_cut_out_and_turned_together():
    """Each pixel holds its own number, so that what became of it can be told."""
    labels = np.arange(2 * 6 * 6).reshape(2, 6, 6)
    image = labels[..., None] * np.ones(3, int)
    seen = set()
    for seed in range(200):
        part, label = augment([image, labels], np.random.default_rng(seed), 4)
        np.testing.assert_array_equal(part, label[..., None] * np.ones(3, int))
        np.testing.assert_array_equal(label[1], label[0] + 36)
        down, across = np.divmod(np.sort(label[0], axis=None), 6)
        assert (np.ptp(down), np.ptp(across), len(set(label[0].flat))) == (3, 3, 16)
        steps = {abs(int(step)) for step in np.diff(label[0], axis=0).flat}
        assert steps in ({1}, {6})  # neighbors stay neighbors
        seen.add(label.tobytes())
    assert len(seen) > 60  # of 9 places and 8 ways to turn
    (whole,) = augment([labels], np.random.default_rng(0), 6)
    np.testing.assert_array_equal(np.sort(whole[0], axis=None), labels[0].ravel())


def test_sums_are_those_of_every_pixel_by_itself(config, summary):
    """Shares by derivatives, as relevance of such a network is gradient times input."""
    run = config.run
    variables = train(run, 3, run.out / "network_3", QUIET)
    found = measure(run, variables, lambda: None)
    pixels, shares, right = np.zeros(12), np.zeros(12), np.zeros(12)
    data = run.open("test", cloud_fraction=1, cloud_mask=True)
    apply = jax.jit(run.model.apply)
    derivative = jax.jit(lambda *both: jax.jvp(partial(run.model.apply, variables), *both)[1])
    twins = np.flatnonzero(data.patches.twins)
    for sample in map(data.__getitem__, map(int, twins)):
        images = [sample[name][None] for name in SOURCES]
        output = np.asarray(apply(variables, *images))[0]
        parts = []
        for place in range(2):
            still = [jnp.zeros_like(image) for image in images]
            still[place] = images[place]
            parts.append(np.abs(derivative(images, still)[0]))
        for y, x in itertools.product(range(16), range(16)):
            best = output[y, x].argmax()
            optical, radar = (part[y, x, best] for part in parts)
            place = bins(distance_to_edge(sample["cloud_mask"]))[y, x]
            pixels[place] += 1
            shares[place] += radar / (optical + radar) if optical + radar else 0.5
            right[place] += best == sample["land_cover"][y, x]
    assert found["patches"] == len(twins)
    assert found["pixels"] == pixels.tolist()
    assert sum(found["pixels"]) == len(twins) * 16 * 16
    assert found["cloudy"]["right"] == right.tolist()
    np.testing.assert_allclose(found["cloudy"]["share"]["propagate"], shares, rtol=1e-3)
    assert found["deviation"] < 1e-4


def test_a_source_of_another_place_is_the_next_patch_of_the_batch(config, summary):
    run = config.run
    variables = train(run, 3, run.out / "network_3", QUIET)
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(6, 16, 16, channels)).astype("f4") for channels in (10, 2)]
    found = explainer(run.classes, run.networks.width)(variables, *images)
    others = [np.roll(image, 1, axis=0) for image in images]
    for name, swapped in (
        ("optical", (others[0], images[1])),
        ("sar", (images[0], others[1])),
    ):
        named = np.asarray(run.model.apply(variables, *swapped)).argmax(-1)
        assert (named == found.without[name]).mean() > 0.999
        assert (named != found.prediction).any()


def sums(share, right):
    """Make measurements of a network, the same in all bins but for clouds and beside them."""
    every = np.where(UNDER, share, 0.25)
    of_condition = {
        "share": {"share": every.tolist(), "propagate": every.tolist()},
        "right": (right * np.ones(12)).tolist(),
        "right_without": {name: [0.1] * 12 for name in SOURCES},
    }
    clear = json.loads(json.dumps(of_condition))
    clear["share"]["share"] = [0.25] * 12
    return {
        "patches": 3, "deviation": 1e-6, "pixels": [1] * 12, "known": [1] * 12,
        "clear": clear, "cloudy": of_condition,
    }  # fmt: skip


def test_summary_has_means_and_standard_errors_over_networks():
    shares = np.array([0.3, 0.5, 0.4])
    found = summarize([sums(share, 0.6 + share / 10) for share in shares], "a note")
    effect = found["share_of_radar"]["share"]["effect"]
    error = shares.std(ddof=1) / np.sqrt(3)
    assert effect["under clouds"] == pytest.approx({"mean": 0.15, "standard_error": error})
    assert effect["beside clouds"] == pytest.approx({"mean": 0, "standard_error": 0})
    assert found["accuracy"]["clear"]["beside clouds"]["mean"] == pytest.approx(0.64)
    lost = found["uses"]["cloudy"]["sar"]["under clouds"]
    assert lost == pytest.approx({"mean": 0.54, "standard_error": error / 10})
    assert found["pixels"] == {"under clouds": int(UNDER.sum()), "beside clouds": 6}
    curve = found["over_distance"]["share_of_radar"]["share"]["cloudy"]
    np.testing.assert_allclose(curve["mean"], [0.4] * 5 + [0.25] * 5)
    np.testing.assert_allclose(curve["standard_error"], [error] * 5 + [0] * 5, atol=1e-12)
    assert found["data"] == "a note"


def test_the_run_is_complete_and_says_that_it_is_synthetic(config, summary):
    out = config.run.out
    assert json.loads((out / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert "synthetic" in summary["data"]
    assert summary["networks"] == 2
    assert sum(summary["pixels"].values()) == summary["patches"] * 16 * 16
    for name in ("maps", "over_distance"):
        with Image.open(out / f"{name}.png") as image:
            colors = image.convert("RGB").getcolors(1 << 22)
            assert image.width > 1000
            assert len(colors) > 50


def test_a_run_that_was_cut_off_goes_on(config, summary, tmp_path, monkeypatch):
    again = replace(config, out=tmp_path / "out")
    epochs, step = [], training.make_step
    monkeypatch.setattr(pipeline, "_draw", lambda *_: None)  # another test looks at the figures

    def cut_off(*given):
        optimizer, take = step(*given)

        def counted(*args):
            epochs.append(1)
            if len(epochs) == 6:  # in the second epoch of the first network
                raise KeyboardInterrupt
            return take(*args)

        return optimizer, counted

    with monkeypatch.context() as patch:
        patch.setattr(training, "make_step", cut_off)
        with pytest.raises(KeyboardInterrupt):
            pipeline.demo(again, QUIET)
        assert not (again.run.out / "summary.json").exists()
        found = pipeline.demo(again, QUIET)
    assert len(epochs) == 6 + 4 + 8  # 4 steps an epoch: the first epoch is not taken again
    assert found == summary
    monkeypatch.setattr(training, "make_step", step)
    monkeypatch.setattr(pipeline, "measure", None)  # what is measured is not measured again
    assert pipeline.demo(again, QUIET) == summary


def test_what_does_not_fit_is_refused(config, summary, tmp_path):
    with pytest.raises(OtherExperimentError, match=r"networks\.epochs: 2 there, 3 now"):
        pipeline.run(replace(config.run, networks=replace(NETWORKS, epochs=3)), QUIET)
    with pytest.raises(ValueError, match="another synthetic archive"):
        pipeline.demo(replace(config, patches=50), QUIET)
    with pytest.raises(ValueError, match="networks must be at least 2"):
        Networks(networks=1)
    with pytest.raises(ValueError, match="size must be a multiple of 4"):
        Run(size=18)
    with pytest.raises(ValueError, match="crop must be a multiple of 4"):
        Networks(crop=6)
    with pytest.raises(ValueError, match="crop must not be larger"):
        Run(size=16, networks=Networks(crop=32))
    with pytest.raises(FileNotFoundError, match="no SEN12MS in"):
        pipeline.run(Run(root=tmp_path / "none", out=tmp_path / "out"), QUIET)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="make no batch of 100"):
        train(replace(config.run, networks=replace(NETWORKS, batch_size=100)), 1, tmp_path, QUIET)


def test_the_command_prints_the_numbers(config, summary, capsys):
    given = ["--patches", "40", "--size", "16", "--networks", "2", "--width", "2", "--epochs", "2"]
    given += [
        "--batch-size",
        "6",
        "--crop",
        "8",
        "--seed",
        "3",
        "--rows",
        "2",
        "--out",
        str(config.out),
    ]
    main(["demo", *given])
    shown = capsys.readouterr().out
    mean = summary["share_of_radar"]["share"]["cloudy"]["under clouds"]["mean"]
    assert f"{mean:.3f} ±" in shown
    assert "synthetic data" in shown
