"""Cloud masks explained: a small network in the package's format, then the package's own."""

import json
from dataclasses import replace

import jax
import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, numpy_helper
from PIL import Image as Picture

from experiments.clouds.__main__ import Config, main
from experiments.clouds.explaining import explain, explainer, speaking
from experiments.clouds.images import BANDS, IN_CLOUD, Image, paint_clouds, real_image
from experiments.clouds.network import (
    CLASSES,
    package_file,
    package_mask,
    read_network,
    run_onnxruntime,
    widen_to_float32,
)
from experiments.clouds.summary import compare, summarize
from rfp_jax.datasets.sen12ms._scenery import CLOUD

csmask = pytest.importorskip("ukis_csmask.mask", reason="not installed: ukis-csmask")
pytest.importorskip("spyndex", reason="not installed: spyndex")

PACKAGE = csmask.__file__

WINDOW = 128
SHAPE = (300, 300)
SMALL = f"""
    <ir_version: 8, opset_import: ["" : 17]>
    small (float[n, 4, {WINDOW}, {WINDOW}] x) => (float[n, 3, {WINDOW}, {WINDOW}] y) {{
        half = Cast <to = 10> (x)
        seen = Conv <pads = [1, 1, 1, 1]> (half, first, shift)
        active = Relu (seen)
        pooled = GlobalAveragePool (active)
        gate = Sigmoid (pooled)
        gated = Mul (active, gate)
        scores = Conv (gated, second, offset)
        y = Cast <to = 1> (scores)
    }}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A network with float16 inside and global pooling, where the package looks for its own."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("package")
    model = onnx.parser.parse_model(SMALL)
    shapes = {"first": (6, 4, 3, 3), "shift": (6,), "second": (3, 6, 1, 1), "offset": (3,)}
    for name, shape in shapes.items():
        values = (rng.normal(size=shape) / 2).astype(np.float16)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    about = {
        "dataset_statistics": {
            "img": [[0.05, 0.07, 0.09, 0.2], [0.1, 0.1, 0.1, 0.1]],
            "band_names": list(BANDS),
        },
        "target_size": [WINDOW, WINDOW],
    }
    onnx.save(model, folder / "model_4b_l2a.onnx")
    about = {"data": about, "model": {"version": "0"}}
    (folder / "model_4b_l2a.json").write_text(json.dumps(about))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csmask, "__file__", str(folder / "mask.py"))
        yield read_network(package_file("l2a"))


@pytest.fixture(scope="module")
def image():
    return paint_clouds(real_image(), seed=2)


@pytest.fixture(scope="module")
def found(small, image):
    return explain(small, explainer(small), image.reflectance, lambda: None)


def test_the_image_is_a_real_one_in_reflectance():
    image = real_image()
    assert image.reflectance.shape == (*SHAPE, 4)
    assert image.reflectance.dtype == np.float32
    assert 0.01 < image.reflectance.min() < np.median(image.reflectance) < 0.3
    assert not image.opacity.any()
    assert not image.shadow.any()


def test_painted_clouds_are_those_of_the_formula_and_nothing_else_changes(image):
    ground = real_image().reflectance
    o, s = image.opacity[..., None], image.shadow[..., None]
    clear = (o == 0) & (s == 0)
    assert 0.2 < (image.opacity > 0).mean() < 0.4
    np.testing.assert_array_equal(np.where(clear, image.reflectance, 0), np.where(clear, ground, 0))
    shaded = (o == 0) & (s > 0)
    np.testing.assert_allclose(
        np.where(shaded, image.reflectance, 0), np.where(shaded, (1 - s) * ground, 0), atol=1e-6
    )
    cloud = (image.reflectance - (1 - o) * (1 - s) * ground) / np.where(o > 0.5, o, np.inf)
    tops = (cloud / (CLOUD[list(IN_CLOUD)] / 10_000))[image.opacity > 0.5]
    np.testing.assert_allclose(tops, tops[:, :1] * np.ones(4), rtol=1e-4)  # white in all bands
    assert 0.7 < tops.min() < tops.max() < 1.01
    np.testing.assert_array_equal(paint_clouds(real_image(), 2).reflectance, image.reflectance)
    assert (paint_clouds(real_image(), 3).opacity != image.opacity).any()


def test_widening_leaves_no_float16_and_keeps_the_function(small, image):
    model = onnx.load(small.path)
    widen_to_float32(model)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert kinds == {TensorProto.FLOAT}
    assert str(model).count("data_type: 10") == 0
    windows = small.windows(image.reflectance)[:2]
    single = run_onnxruntime(small.path, windows, widen=True)
    half = run_onnxruntime(small.path, windows, widen=False)
    np.testing.assert_allclose(jax.jit(small.fun)(small.params, windows), single, atol=2e-5)
    np.testing.assert_allclose(single, half, atol=0.05)


def test_parts_add_up_to_the_evidence_of_the_blended_logits(small, image, found):
    logits = run_onnxruntime(small.path, small.windows(image.reflectance), widen=True)
    np.testing.assert_allclose(found.logits, logits, atol=2e-5)
    blended = small.mean_of_windows(np.moveaxis(logits, 1, -1), SHAPE)
    evidence = blended - blended.mean(-1, keepdims=True)
    np.testing.assert_allclose(found.output, evidence, atol=5e-5)
    np.testing.assert_allclose(found.bands.sum(0) + found.bias, found.output, atol=1e-4)
    assert found.deviation < 1e-5
    ones = np.ones((len(logits), WINDOW, WINDOW, 1))
    np.testing.assert_allclose(small.mean_of_windows(ones, SHAPE), 1, atol=1e-12)


@pytest.mark.parametrize("band", BANDS)
def test_a_band_that_the_network_does_not_look_at_has_no_relevance(small, image, band):
    """Each band alone: their order in the result is that of their names in the image."""
    at = BANDS.index(band)
    blind = dict(small.params)
    blind["first"] = blind["first"].at[:, at].set(0)
    window = image.reflectance[:WINDOW, :WINDOW]
    found = explain(replace(small, params=blind), explainer(small), window, lambda: None)
    assert [bool(np.any(part)) for part in found.bands] == [each != band for each in BANDS]


def test_the_mask_is_the_package_s_own(small, image, found):
    package = package_mask(image.reflectance, BANDS, "l2a")
    compared = compare(small, image, found, package)
    assert compared["logits_float32"] < 1e-5
    assert compared["logits_float16"] < 1e-2
    assert compared["mask_float32"] == 0
    assert compared["mask"] == (found.mask != package).sum() < 100
    assert compared["margin"] < 1e-2
    ordered = np.sort(found.probability[found.mask != package], -1)
    assert compared["margin"] == pytest.approx((ordered[:, 2] - ordered[:, 1]).max(initial=0))
    assert len(np.unique(package)) > 1


def test_the_band_that_speaks_most_is_found_pixel_by_pixel():
    bands = np.random.default_rng(0).normal(size=(3, 5, 7))
    first, share = speaking(bands)
    for y, x in np.ndindex(5, 7):
        for_it = [value for value in bands[:, y, x] if value > 0]
        if not for_it:
            assert (first[y, x], share[y, x]) == (-1, 0)
            continue
        assert bands[first[y, x], y, x] == max(for_it)
        assert share[y, x] == pytest.approx(max(for_it) / sum(for_it))
    assert (first == -1).any()


def test_summary_is_of_the_pixels_that_are_named(small, image, found):
    summary = summarize(image, found, BANDS)
    for number, name in enumerate(CLASSES):
        there, each = found.mask == number, summary["classes"][name]
        assert each["pixels"] == there.sum()
        if there.any():
            means = each["mean_relevance"]
            total = found.output[..., number][there].mean()
            assert sum(means.values()) == pytest.approx(total, abs=1e-3)
            assert sum(each["speaks_most"].values()) <= 1 + 1e-9
    assert summarize(real_image(), found, BANDS)["found"]["painted cloud"] is None


def test_the_command_writes_figures_and_a_certificate(small, tmp_path, capsys):
    out = tmp_path / "out"
    report = main(Config(out=out))
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(report))
    assert report["certificate"]["passed"]
    assert "Conserved" in capsys.readouterr().out
    assert "conv_general_dilated" in (out / "certificate.txt").read_text()
    assert report["images"]["painted"]["found"]["painted cloud"] is not None
    for name in ("real", "painted"):
        with Picture.open(out / f"{name}.png") as picture:
            assert picture.width > 1000
            assert len(picture.convert("RGB").getcolors(1 << 22)) > 100
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "experiment.json").write_text('{"experiment": "mnist", "settings": {}}')
    with pytest.raises(SystemExit, match="holds the experiment 'mnist'"):
        main(Config(out=tmp_path / "other"))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["l1c", "l2a"])
def test_the_trained_networks_are_read_without_a_missing_operation(level, monkeypatch):
    """Shapes alone: what they compute is compared in the experiment itself."""
    monkeypatch.setattr(csmask, "__file__", PACKAGE)
    network = read_network(package_file(level))
    assert (network.bands, network.window) == (BANDS, (256, 256))
    windows = network.windows(real_image().reflectance)
    assert windows.shape == (4, 4, 256, 256)
    out = jax.eval_shape(network.fun, network.params, windows)
    assert out.shape == (4, 3, 256, 256)


def test_an_image_without_clouds_or_shadows_is_drawn_and_counted(small):
    flat = Image("flat", np.full((*SHAPE, 4), 0.1, np.float32), *np.zeros((2, *SHAPE)))
    assert summarize(flat, explain(small, explainer(small), flat.reflectance, lambda: None), BANDS)
