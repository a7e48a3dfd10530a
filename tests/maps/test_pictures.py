"""Pictures of maps: what is drawn where, read back from the artists."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pages import CLASSES, blocks, make
from rasters import CRS, transform

from rfp_jax import maps
from rfp_jax.plot import SOURCE_COLORS
from rfp_jax.plot import maps as pictures
from rfp_jax.plot._ground import round_length


def drawn(draw, scene, *args, **options):
    """Axes, and the colors [y, x, 4] of their map."""
    ax = Figure().subplots()
    draw(ax, scene, *args, **options)
    (image,) = ax.images
    return ax, np.asarray(image.get_array())


def void(scene):
    return np.isnan(scene.relevance.values).reshape(-1, *scene.output.shape[-2:]).any(0)


def key(ax):
    """The words below a map."""
    (inset,) = ax.child_axes
    return [label.get_text() for label in inset.get_xticklabels()]


def test_a_class_has_its_color_and_markup_is_text():
    scene = make()
    ax, colors = drawn(pictures.draw_classes, scene)
    expected = {0: "#0000ff", 1: "#00aa00", 2: "#ff0000"}
    prediction = scene.prediction.values
    for number, color in expected.items():
        assert (colors[prediction == number] == (*to_rgb(color), 1)).all()
    assert (colors[prediction == 255, 3] == 0).all()
    texts = ax.get_legend().get_texts()
    assert [text.get_text() for text in texts] == [*CLASSES, "no data"]
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize("of", [None, CLASSES[2]])
def test_a_share_goes_from_white_to_the_color_of_the_source(of):
    scene = make(classes=CLASSES)
    ax, colors = drawn(pictures.draw_share, scene, "radar", of=of)
    relevance = scene.relevance.values[:, :2]  # without the bias
    number = scene.prediction.values if of is None else np.full(colors.shape[:2], 2)
    chosen = np.take_along_axis(relevance, np.clip(number, 0, 2)[None, None], 0)[0]
    share = np.abs(chosen[1]) / np.abs(chosen).sum(0)
    known = ~void(scene)
    expected = 1 + (np.array(to_rgb(SOURCE_COLORS[1])) - 1) * share[known][:, None]
    np.testing.assert_allclose(colors[known, :3], expected, atol=1e-6)
    np.testing.assert_array_equal(colors[..., 3] == 0, ~known)
    assert key(ax) == ["0 %", "share", "100 %"]


def test_the_dominating_source_has_its_color_the_more_the_clearer():
    parts = np.array([[[9.0, 5, 0, 1]], [[1.0, 5, 8, 1]], [[-3.0, 1, 1, 1]]])
    parts[..., 3] = np.nan
    _, colors = drawn(pictures.draw_dominance, small(parts))
    first, second = (np.array(to_rgb(color)) for color in SOURCE_COLORS[:2])
    faintest = 0.15
    strengths = [faintest + (1 - faintest) * clear for clear in (0.8, 0, 1)]
    for found, color, strength in zip(colors[0], (first, first, second), strengths, strict=False):
        np.testing.assert_allclose(found[:3], 1 + (color - 1) * strength, atol=1e-6)
    assert colors[0, :, 3].tolist() == [1, 1, 1, 0]
    assert to_gray(colors[0, 1, :3]) > to_gray(colors[0, 0, :3])  # in print, too


def to_gray(color):
    return float(np.dot(color, (0.2126, 0.7152, 0.0722)))


def small(parts):
    height, width = parts.shape[-2:]
    y, x = 5200000 - 10 * (np.arange(height) + 0.5), 600000 + 10 * (np.arange(width) + 0.5)
    variables = {"relevance": (("source", "y", "x"), parts), "output": (("y", "x"), parts.sum(0))}
    coords = {"source": ["optical", "radar", "bias"], "y": y, "x": x}
    return xr.Dataset(variables, coords).rio.write_crs(CRS).rio.write_transform(transform())


def test_relevance_is_centered_at_zero():
    parts = np.zeros((3, 1, 4))
    parts[0, 0] = [-2, 0, 2, 1]
    ax, colors = drawn(pictures.draw_relevance, small(parts), "optical", limit=2.0)
    against, zero, for_it, half = colors[0, :, :3]
    assert zero.tolist() == [1, 1, 1]
    assert against[2] > against[0]  # blue
    assert for_it[0] > for_it[2]  # red
    assert to_gray(for_it) < to_gray(half) < 1
    assert key(ax) == ["−2 against", "0", "for +2"]
    _, bias = drawn(pictures.draw_relevance, small(parts), "bias", limit=2.0)
    assert (bias == 1).all()


def test_axes_have_coordinates_a_scale_bar_and_hatching():
    scene = make()
    ax, _ = drawn(pictures.draw_dominance, scene)
    left, bottom, right, top = scene.rio.bounds()
    assert (*ax.get_xlim(), *ax.get_ylim()) == (left, right, bottom, top)
    assert tuple(ax.images[0].get_extent()) == (left, right, bottom, top)
    ground, bar = ax.patches
    assert ground.get_hatch()
    assert ground.get_bbox().bounds == (left, bottom, right - left, top - bottom)
    assert (bar.get_width(), [text.get_text() for text in ax.texts]) == (200, ["200 m"])
    ax.figure.draw_without_rendering()
    assert "600500" in [label.get_text() for label in ax.get_xticklabels()]


def test_a_bar_of_meters_on_degrees():
    ax, _ = drawn(pictures.draw_dominance, make(crs="EPSG:4326"))
    (text,) = (text.get_text() for text in ax.texts)
    number, unit = text.split()
    bar = ax.patches[1]
    meters = float(number) * (1000 if unit == "km" else 1)
    latitude = np.mean(ax.get_ylim())
    assert bar.get_width() == pytest.approx(
        meters / 111_195 / np.cos(np.radians(latitude)), rel=1e-3
    )
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(latitude)), rel=1e-3)


def test_large_maps_are_drawn_in_cells(monkeypatch):
    monkeypatch.setattr(pictures, "SIDE", 20)
    scene = make()
    ax, colors = drawn(pictures.draw_share, scene, "optical")
    assert colors.shape == (13, 17, 4)
    left, _, right, _ = scene.rio.bounds()
    assert ax.images[0].get_extent()[:2] == [left, right + 20]  # the last cells reach beyond
    assert ax.get_xlim() == (left, right)


def test_all_in_one_figure():
    scene = make(classes=CLASSES)
    rgb = np.zeros((61, 83, 3))
    figure = pictures.overview(scene, rgb, of="water", title="$x^2$")
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == [
        "image", "predicted class", "dominating source for water", "share of optical for water",
        "share of radar for water", "relevance of optical for water",
        "relevance of radar for water", "relevance of bias for water",
    ]  # fmt: skip
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("change", "draw", "error", "message"),
    [
        (
            {},
            lambda s: pictures.overview(s, of="ice"),
            ValueError,
            r"outputs=\['ice'\] or outputs='all'",
        ),
        (
            {"classes": CLASSES},
            lambda s: pictures.overview(s, of="ice"),
            ValueError,
            "no class 'ice'",
        ),
        (
            {"sources": list("abcdefgh")},
            pictures.overview,
            ValueError,
            "draw fewer sources, or sum some",
        ),
        ({}, lambda s: pictures.overview(s.assign_attrs(complete=0)), ValueError, "not complete"),
        ({}, lambda s: pictures.overview(s, np.zeros((61, 84, 3))), ValueError, "same pixels"),
        ({}, lambda s: drawn(pictures.draw_share, s, "bias"), ValueError, "no source 'bias'"),
        ({}, lambda s: drawn(pictures.draw_relevance, s, "dem"), ValueError, "no source 'dem'"),
        (
            {},
            lambda s: drawn(pictures.draw_classes, s.drop_vars("prediction")),
            ValueError,
            "no class is predicted",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, draw, error, message):
    with pytest.raises(error, match=message):
        draw(make(**change))


def test_round_lengths():
    powers = np.random.default_rng(0).uniform(-3, 6, 200)
    for most in 10**powers:
        length = round_length(most)
        assert most / 2.51 < length <= most * (1 + 1e-9)
        assert f"{length:.0e}"[0] in "125"


def test_the_ground_in_true_colors():
    scene = make()
    values = np.random.default_rng(1).uniform(100, 3000, (3, 61, 83))
    values[:, :4, :5] = np.nan
    coords = {"y": scene.y.values, "x": scene.x.values}
    rgb = xr.DataArray(values, coords, ("band", "y", "x")).rio.write_crs(CRS)
    found = maps.true_color(scene, rgb)
    low, high = np.nanpercentile(values, (2, 98))
    expected = np.clip((values - low) / (high - low), 0, 1) * 255
    known = np.isfinite(values).all(0)
    np.testing.assert_allclose(
        found[known, :3], np.moveaxis(expected, 0, -1)[known], atol=0.5 + 1e-9
    )
    np.testing.assert_array_equal(found[..., 3], np.where(known, 255, 0))
    coarse = maps.true_color(scene, (rgb / 20).fillna(0).astype(np.uint8), side=28)
    stored = np.nan_to_num(values / 20).astype(np.uint8)
    np.testing.assert_allclose(
        coarse[..., :3], np.moveaxis(blocks(stored, 3), 0, -1), atol=0.5 + 1e-9
    )
    _, colors = drawn(pictures.draw_true_color, scene, coarse)
    assert colors.shape == (21, 28, 4)
