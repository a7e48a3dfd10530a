"""Methods compared on maps: counts against loops over pixels, controls, and the whole command."""

import json
import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.compare.__main__ import run
from experiments.compare.maps.command import Config, main
from experiments.compare.maps.measure import QUANTITIES, Bench, numbers, summarize
from experiments.compare.maps.methods import REFERENCE, WINDOW, Method, methods
from experiments.segmentation.explaining import Paired
from experiments.segmentation.settings import SOURCES, Demo, Networks
from experiments.segmentation.unet import UNet

SIDE, SAMPLES = 20, 3
TINY = Demo(
    patches=40, size=16, networks=Networks(networks=2, width=2, epochs=1, batch_size=6, crop=8)
)


@pytest.fixture(scope="module")
def case():
    model, rng = UNet(4, width=2), np.random.default_rng(0)
    images = [rng.normal(size=(SAMPLES, SIDE, SIDE, c)).astype("f4") for c in (3, 2)]
    variables = jax.jit(model.init)(jax.random.key(0), *images)
    mask = np.zeros((SAMPLES, SIDE, SIDE), bool)
    batch = Paired({"clear": tuple(images)}, np.zeros(mask.shape, int), mask, ["a", "b", "c"], 2)
    return model.apply, variables, batch


@pytest.fixture(scope="module")
def tried(case):
    return methods(case[0], SOURCES, jax.random.key(1))


def test_every_method_is_there_and_gives_a_map_of_each_source(case, tried):
    _, variables, batch = case
    assert [each.name for each in tried if not each.control] == [
        "RFP, bias kept",
        "RFP, bias shared",
        "RFP, bias propagated",
        "jax.linearize",
        "gradient × input, windows of 16",
        "Grad-CAM of bands",
        "occlusion",
        "Shapley value",
    ]
    found = {each.name: each.explain(variables, *batch.images["clear"]) for each in tried}
    for name, said in found.items():
        assert [part.shape for part in said] == [(SAMPLES, SIDE, SIDE, 4)] * 2, name
    np.testing.assert_allclose(found[REFERENCE], found["jax.linearize"], rtol=1e-4, atol=1e-4)
    linear, windows = (
        np.asarray(found[name][0])
        for name in ("jax.linearize", f"gradient × input, windows of {WINDOW}")
    )
    for down, across in ((slice(0, 16), slice(16, 20)), (slice(16, 20), slice(0, 16))):
        block = windows[:, down, across]
        expected = linear[:, down, across].sum((1, 2), keepdims=True)
        np.testing.assert_allclose(
            block, np.broadcast_to(expected, block.shape), rtol=1e-3, atol=1e-3
        )


def test_sums_are_loops_over_pixels(case):
    """Sums of one method; the last sample fills the batch up and does not count."""
    apply, variables, batch = case
    images = batch.images["clear"]
    rng = np.random.default_rng(1)
    said = tuple(rng.normal(size=(SAMPLES, SIDE, SIDE, 4)).astype("f4") for _ in SOURCES)
    other = tuple(2 * part + rng.normal(size=part.shape).astype("f4") for part in said)

    def explain(variables, *given):
        return said if all(map(np.array_equal, given, images)) else other

    steps = []
    bench = Bench(apply, [Method("a", explain), Method(REFERENCE, explain)], 2)
    found = bench.measure(variables, [batch, batch], lambda: steps.append(1))["clear"]
    assert len(steps) == 2
    best = np.asarray(apply(variables, *images)).argmax(-1)
    changed, pixels = np.zeros((2, 2)), np.zeros(2)
    for s in range(2):
        swapped = [im[[1, 2, 0]] if t == s else im for t, im in enumerate(images)]
        named = np.asarray(apply(variables, *swapped)).argmax(-1)
        for n, y, x in np.ndindex(2, SIDE, SIDE):
            first = int(np.argmax([abs(part[n, y, x, best[n, y, x]]) for part in said]))
            changed[s, first] += named[n, y, x] != best[n, y, x]
            pixels[first] += s == 0
    sums = found["a"]
    np.testing.assert_array_equal(sums["changed"], 2 * changed)
    np.testing.assert_array_equal(sums["pixels"], 2 * pixels)
    assert sums["agrees"] == 2 * pixels.sum()
    mse = [[2 * np.mean((said[t][n] - other[t][n]) ** 2) for t in range(2)] for n in range(2)]
    np.testing.assert_allclose(sums["mse"], [np.sum(mse, 0)] * 2, rtol=1e-5)
    pearson = np.corrcoef(said[0][0].ravel(), other[0][0].ravel())[0, 1]
    pearson += np.corrcoef(said[0][1].ravel(), other[0][1].ravel())[0, 1]
    assert sums["pearson"][1, 0] == pytest.approx(2 * pearson, rel=1e-5)
    assert sums["known"].tolist() == [[4, 4], [4, 4]]


def test_numbers_by_hand():
    """Source 0 dominates 30 pixels, source 1 dominates 10."""
    sums = {
        "changed": np.array([[15, 1], [3, 8]]),
        "pixels": np.array([30, 10]),
        "agrees": 20.0,
        "pearson": np.array([[1.0, 4.0], [2.0, 1.0]]),
        "known": np.full((2, 2), 5),
        "mse": np.array([[6.0, 2.0], [1.0, 8.0]]),
        "size": np.array([10.0, 4.0]),
        "seconds": [1.0, 2.0, 6.0],
    }
    assert numbers(sums) == pytest.approx(
        {
            "agrees": 0.5,
            "dominating": 23 / 40,
            "other": 4 / 40,
            "difference": 19 / 40,
            "within": ((15 / 30 - 1 / 10) + (8 / 10 - 3 / 30)) / 2,
            "pearson": (4 / 5 + 2 / 5) / 2,
            "mse": (2 / 4 + 1 / 10) / 2,
            "pearson_itself": 1 / 5,
            "mse_itself": (6 / 10 + 8 / 4) / 2,
            "seconds": 2.0,
        }
    )
    again = {**sums, "agrees": 24.0}
    found = summarize([{"clear": {"a": sums}}, {"clear": {"a": again}}])["clear"]["a"]
    assert found["agrees"] == pytest.approx({"mean": 0.55, "standard_error": 0.05})
    everywhere = {**sums, "changed": np.array([[15, 0], [3, 0]]), "pixels": np.array([40, 0])}
    assert math.isnan(numbers(everywhere)["within"])
    found = summarize([{"clear": {"a": everywhere}}] * 2)["clear"]["a"]
    assert found["within"] == {"mean": None, "standard_error": None}
    assert set(found) == set(QUANTITIES)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    return Config(replace(TINY, out=folder / "networks"), patches=5, out=folder / "out")


def test_the_command_compares_and_says_where_the_results_are(config, capsys):
    found = main(config)
    shown = capsys.readouterr().out
    assert json.loads((config.out / "compare_maps.json").read_text()) == found
    assert (found["networks"], found["patches"]) == (2, 5)
    assert "synthetic" in found["data"]
    assert list(found["methods"]) == ["clear", "cloudy"]
    for condition in found["methods"].values():
        assert condition["RFP, bias kept"]["agrees"]["mean"] == 1
        assert condition["jax.linearize"]["agrees"]["mean"] > 0.99
        assert condition["random numbers"]["pearson_itself"]["mean"] == pytest.approx(1)
        assert condition["always optical"]["within"]["mean"] is None
        optical, radar = (condition[f"always {name}"] for name in SOURCES)
        assert optical["dominating"] == pytest.approx(radar["other"])
        assert optical["difference"]["mean"] == pytest.approx(-radar["difference"]["mean"])
    assert "RFP, bias shared" in shown
    assert "…" not in shown  # nothing is cut
    assert "synthetic data" in shown
    for name in ("compare_maps.json", "compare_maps.png", "shares.png"):
        assert str(config.out / name) in shown
    for name in ("compare_maps.png", "shares.png"):
        with Image.open(config.out / name) as image:
            assert len(image.convert("RGB").getcolors(1 << 22) or ()) > 50


def test_another_comparison_in_the_folder_is_refused(config, capsys):
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit, match=r"holds (another experiment|files)"):
        main(replace(config, patches=4))


def test_what_cannot_be_compared_is_refused(capsys):
    with pytest.raises(ValueError, match="patches must be at least 2, as they replace each other"):
        Config(patches=1)
    with pytest.raises(SystemExit):
        run(["--maps", "--patches", "1"])
    assert "patches must be at least 2" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        run(["--maps", "--help"])
    assert ended.value.code == 0
    assert "dominates" in capsys.readouterr().out
