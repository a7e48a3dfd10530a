"""Pictures: what is drawn where, read back from the artists."""

from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from rfp_jax import plot


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def bars(ax):
    """Class to the (bottom, top, colour) of its bars; a bar is as wide as its class is apart."""
    found = {}
    for patch in ax.patches:
        if patch.get_width() < 1:  # the shade of the true class is 1 wide
            x = round(patch.get_x() + patch.get_width() / 2)
            ends = sorted((patch.get_y(), patch.get_y() + patch.get_height()))
            found.setdefault(x, []).append((*ends, to_hex(patch.get_facecolor()).upper()))
    return found


def test_stacked_bars_add_up_to_the_output(rng):
    relevance = {name: rng.normal(size=6) for name in ("a", "b", "c")}
    bias = rng.normal(size=6)
    output = sum(relevance.values()) + bias
    ax = Figure().subplots()
    plot.draw_bars(ax, relevance, bias, output, label=2)
    for k, parts in bars(ax).items():
        assert max(top for _, top, _ in parts) + min(bottom for bottom, _, _ in parts) == (
            pytest.approx(output[k])
        )
        heights = sorted(top - bottom for bottom, top, _ in parts)
        assert heights == pytest.approx(sorted(abs(v[k]) for v in (bias, *relevance.values())))
        ends = sorted((bottom, top) for bottom, top, _ in parts)
        assert all(a[1] <= b[0] + 1e-12 for a, b in pairwise(ends))  # no overlap
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), output)


def test_a_source_has_one_colour_in_every_picture(rng):
    relevance = {"left": rng.normal(size=(20, 4)), "right": rng.normal(size=(20, 4))}
    labels = np.arange(20) % 4
    images = {"left": np.zeros((20, 8, 4)), "right": np.ones((20, 8, 4))}
    output = sum(relevance.values())
    figure = plot.examples(images, relevance, 0 * output, output, labels)
    image_axes, bar_axes = figure.axes[0], figure.axes[1]
    violin_axes = plot.violins(relevance, labels).axes
    for s, color in enumerate(plot.source_colors(relevance).values()):
        assert to_hex(image_axes.patches[s].get_edgecolor()).upper() == color
        assert all(parts[s + 1][2] == color for parts in bars(bar_axes).values())
        bodies = violin_axes[s].collections
        assert {to_hex(body.get_facecolor()[0]).upper() for body in bodies} == {color}


def test_violins_reach_from_the_smallest_to_the_largest_value(rng):
    values, labels = rng.normal(size=60), np.arange(60) % 3
    ax = Figure().subplots()
    plot.draw_violins(ax, values, labels, classes=3, color="#0072B2")
    groups = [values[labels == label] for label in range(3)] + [values]
    for body, group in zip(ax.collections, groups, strict=True):
        y = body.get_paths()[0].vertices[:, 1]
        assert (y.min(), y.max()) == pytest.approx((group.min(), group.max()))


def test_difference_is_drawn_for_two_sources_alone(rng):
    labels = np.arange(12) % 2
    sources = {name: rng.normal(size=(12, 2)) for name in "abc"}
    assert [ax.get_ylabel() for ax in plot.violins(sources, labels).axes] == ["a", "b", "c"]
    del sources["c"]
    ax = plot.violins(sources, labels).axes[2]
    expected = sources["a"][range(12), labels] - sources["b"][range(12), labels]
    y = ax.collections[-1].get_paths()[0].vertices[:, 1]
    assert (y.min(), y.max()) == pytest.approx((expected.min(), expected.max()))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1.0], [0]),  # one sample
        ([1.0, 1.0, 1.0], [0, 0, 1]),  # no spread, an empty class
        ([np.nan, np.nan], [0, 1]),  # nothing that could be drawn
    ],
)
def test_scarce_values_draw_without_a_warning(values, labels, tmp_path):
    figure = Figure()
    plot.draw_violins(figure.subplots(), values, labels, classes=3, color="#0072B2")
    figure.savefig(tmp_path / "violins.png")


def test_values_that_are_not_finite_are_left_out():
    ax = Figure().subplots()
    values, labels = [1.0, 2.0, np.inf, np.nan, 5.0, 7.0, -np.inf], [0, 0, 0, 0, 1, 1, 1]
    plot.draw_violins(ax, values, labels, classes=2, color="#0072B2")
    spans = [
        (y.min(), y.max()) for y in (body.get_paths()[0].vertices[:, 1] for body in ax.collections)
    ]
    assert spans == [(1, 2), (5, 7), (1, 7)]


def test_unequal_images_stand_side_by_side():
    ax = Figure().subplots()
    plot.draw_sources(ax, {"a": np.zeros((8, 4)), "b": np.ones((4, 4, 1))}, limits=(0, 1))
    (_, a_end, *_), (b_start, _, b_height, _) = (image.get_extent() for image in ax.images)
    assert a_end < b_start
    assert b_height == 4
    assert ax.get_ylim() == (8, 0)


def test_wrong_prediction_stands_out():
    one = np.ones((2, 8, 4))
    relevance = {"left": np.eye(2), "right": np.eye(2)}
    figure = plot.examples(
        {"left": one, "right": one}, relevance, np.zeros((2, 2)), 2 * np.eye(2), [0, 0]
    )
    colors = {text.get_text(): text.get_color() for text in figure.findobj(Text)}
    assert colors["true 0, predicted 0"] == "black"
    assert colors["true 0, predicted 1"] == plot.WRONG_COLOR


def test_more_sources_than_colours_is_refused():
    with pytest.raises(ValueError, match="8 sources, and 7 colours"):
        plot.source_colors(map(str, range(8)))


def test_global_settings_of_matplotlib_stay(rng):
    before = dict(matplotlib.rcParams)
    plot.violins({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(6, 2))}, np.arange(6) % 2)
    assert dict(matplotlib.rcParams) == before
