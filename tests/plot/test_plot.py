"""Pictures: what is drawn where, read back from the artists."""

from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from rfp_jax import plot


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def bars(ax):
    """Class to the (bottom, top, color) of its bars; a bar is as wide as its class is apart."""
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


def test_a_source_has_one_color_in_every_picture(rng):
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


def test_samples_of_no_known_class_are_left_out(rng):
    relevance = {name: rng.normal(size=(9, 3)) for name in ("left", "right")}
    labels = np.array([0, 1, 2, 0, 1, 2, -1, -1, -1])
    relevance["left"][6:] = 1000
    assert np.isnan(plot.select_class(relevance["left"], labels)[6:]).all()
    assert plot.violins(relevance, labels).axes[0].get_ylim()[1] < 100
    images = {name: rng.normal(size=(9, 4, 4)) for name in relevance}
    bias = np.zeros((9, 3))
    figure = plot.examples(images, relevance, bias, sum(relevance.values()), labels)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert [title.split(",")[0] for title in titles] == [f"true {k % 3}" for k in range(6)]
    with pytest.raises(ValueError, match="no sample whose class is known"):
        plot.examples(images, relevance, bias, bias, np.full(9, -1))


@pytest.mark.parametrize("missing", [np.nan, np.ma.masked])
def test_missing_pixels_leave_the_scale_of_gray(rng, missing):
    images = {name: np.ma.array(rng.uniform(1, 2, size=(2, 4, 4))) for name in ("left", "right")}
    images["left"][0, 0, 0] = -9999
    images["left"][0, 0, 0] = missing
    values = np.ma.concatenate([np.ma.masked_invalid(each).ravel() for each in images.values()])
    relevance = {name: np.ones((2, 4, 4)) for name in images}
    outputs = {name: np.ones((2, 3)) for name in images}
    for figure in (
        plot.grid(images, ["0", "1"]),
        plot.examples(images, outputs, np.zeros((2, 3)), np.ones((2, 3)), [0, 1]),
    ):
        for ax in figure.axes:
            for image in ax.images:
                assert image.get_clim() == (values.min(), values.max())
    left = plot.heatmap(images, relevance).axes[0].images[0]
    assert left.get_clim() == (
        np.ma.masked_invalid(images["left"]).min(),
        np.ma.masked_invalid(images["left"]).max(),
    )


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


def table_of(rng, samples=12, labels=True):
    """A relevance table; sample 4 has failed, the class of sample 5 is not known."""
    relevance = rng.normal(size=(samples, 3, 3))
    relevance[4] = np.nan
    label = np.arange(samples) % 3
    label[5] = -1
    coords = {
        "source": ["optical", "sar", "bias"],
        "class": ["Forest", "Open $water$", "Urban"],
        "finite": ("sample", np.arange(samples) != 4),
    }
    if labels:
        coords["label"] = ("sample", label)
    variables = {
        "relevance": (("sample", "source", "class"), relevance),
        "output": (("sample", "class"), relevance.sum(1)),
    }
    return xr.Dataset(variables, coords)


def ticks(ax):
    return [tick.get_text() for tick in ax.get_xticklabels()]


def test_violins_take_a_table_and_know_its_classes(rng, tmp_path):
    table = table_of(rng)
    good = table.isel(sample=[i for i in range(12) if i not in (4, 5)])
    arrays = {name: good.relevance.sel(source=name).values for name in ("optical", "sar")}
    expected = plot.violins(arrays, good.label.values)
    for figure in (plot.violins(table), plot.violins(table, table.label)):
        assert ticks(figure.axes[-1]) == ["Forest", "Open $water$", "Urban", "all"]
        assert [ax.get_ylabel() for ax in figure.axes] == ["optical", "sar", "optical − sar"]
        for ax, other in zip(figure.axes, expected.axes, strict=True):
            for body, same in zip(ax.collections, other.collections, strict=True):
                np.testing.assert_allclose(
                    body.get_paths()[0].vertices, same.get_paths()[0].vertices
                )
    plot.violins(table).savefig(tmp_path / "violins.png")  # a name is not a formula
    assert ticks(plot.violins(arrays, good.label.values, names="abc").axes[-1])[:3] == list("abc")
    assert ticks(expected.axes[-1]) == ["0", "1", "2", "all"]


def test_a_table_can_be_drawn_by_another_class_than_the_true_one(rng):
    table = table_of(rng, labels=False)
    with pytest.raises(ValueError, match="the table has no labels: pass the class of each"):
        plot.violins(table)
    with pytest.raises(ValueError, match=r"one class to draw.*got float64\[12, 3\]"):
        plot.violins(table, table.output)
    top = table.output.fillna(-np.inf).argmax("class")
    body = plot.violins(table, top).axes[0].collections[-1].get_paths()[0].vertices
    values = plot.select_class(np.nan_to_num(table.relevance.values[:, 0]), top.values)
    values = np.delete(values, 4)
    assert (body[:, 1].min(), body[:, 1].max()) == pytest.approx((values.min(), values.max()))
    with pytest.raises(ValueError, match="arrays know no labels"):
        plot.violins({"a": np.ones((3, 2))})
    with pytest.raises(ValueError, match="2 names of 3 classes"):
        plot.violins(table, top, names="ab")


def test_densities_take_tables_and_names(rng):
    table = table_of(rng, 40)
    figure = plot.densities({"a": table, "b": table}, classes=["Urban", 0])
    assert [ax.get_ylabel() for ax in figure.axes] == ["Urban", "", "Forest", ""]
    rows = (table.label.values == 2) & table.finite.values
    median = np.median(table.relevance.sel(source="optical").values[rows, 2])
    drawn = [line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert pytest.approx(median) in drawn


def test_examples_take_a_table(rng):
    table = table_of(rng, 8)
    images = {name: rng.random((8, 4, 4)) for name in ("optical", "sar")}
    figure = plot.examples(images, table)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    good = [i for i in range(8) if i not in (4, 5)]
    names = table["class"].values
    top = table.output.values.argmax(1)
    assert titles == [
        f"true {names[table.label.values[i]]},\npredicted {names[top[i]]}" for i in good
    ]
    assert ticks(figure.axes[1]) == list("012")  # there is no room for long names
    assert figure.legends[0].get_title().get_text() == "0 Forest, 1 Open $water$, 2 Urban"
    short = plot.examples(images, table, names="abc")
    assert ticks(short.axes[1]) == list("abc")
    np.testing.assert_array_equal(figure.axes[8].images[0].get_array(), images["optical"][6])
    with pytest.raises(ValueError, match="with arrays, pass bias, output and labels"):
        plot.examples(images, {name: np.ones((8, 3)) for name in images})


def test_more_sources_than_colors_is_refused():
    with pytest.raises(ValueError, match="8 sources, and 7 colors"):
        plot.source_colors(map(str, range(8)))


def test_global_settings_of_matplotlib_stay(rng):
    before = dict(matplotlib.rcParams)
    plot.violins({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(6, 2))}, np.arange(6) % 2)
    assert dict(matplotlib.rcParams) == before


def _pixels(image):
    """The colors that an image's artist shows, [height, width, 4]."""
    return image.to_rgba(image.get_array())


def test_heatmap_has_one_scale_centered_at_zero(rng):
    images = {"optical": rng.random((3, 6, 5, 3)), "SAR": rng.random((3, 4, 4))}
    relevance = {"optical": rng.normal(size=(3, 6, 5, 10)), "SAR": rng.normal(size=(3, 4, 4))}
    figure = plot.heatmap(images, relevance, names="abc", columns=2)
    overlaid = [ax for ax in figure.axes if len(ax.images) == 2]
    greatest = max(np.abs(relevance["optical"].sum(-1)).max(), np.abs(relevance["SAR"]).max())
    assert len(overlaid) == 6
    for place, ax in enumerate(overlaid):
        sample, source = divmod(place, 2)
        name = ("optical", "SAR")[source]
        pale, heat = ax.images
        assert heat.get_clim() == pytest.approx((-greatest, greatest))
        expected = relevance[name][sample]
        expected = expected.sum(-1) if name == "optical" else expected
        np.testing.assert_allclose(heat.get_array(), expected)
        assert float(ax.get_xlabel().replace("−", "-")) == pytest.approx(expected.sum(), rel=1e-2)
        assert pale.get_extent() == heat.get_extent()
        assert pale.get_array().ndim == 2  # gray: colors below would mix with those of relevance


def test_heatmap_shows_sign_by_color_and_nothing_at_zero():
    ax = Figure().subplots()
    relevance = np.array([[2.0, -2.0, 0.0, np.nan]])
    plot.draw_heatmap(ax, np.zeros((1, 4)), relevance, limit=2.0, limits=(0, 1))
    positive, negative, zero, missing = _pixels(ax.images[1])[0]
    assert positive[0] > 2 * positive[2]
    assert negative[2] > 2 * negative[0]
    assert zero[3] < 0.05 < positive[3] == negative[3] == 1
    assert missing[0] == missing[1] == missing[2]


def test_color_bar_says_that_values_are_beyond_it(rng):
    images, relevance = {"a": np.ones((1, 4, 4))}, {"a": rng.normal(size=(1, 4, 4))}
    for limit, beyond in ((0.1, True), (9.0, False), (None, False)):
        bar = plot.heatmap(images, relevance, limit=limit).axes[-1]
        assert len(bar.patches) == 2 * beyond  # the points at both ends


def test_heatmap_of_nothing_draws_without_a_warning(tmp_path):
    zeros = {"a": np.zeros((1, 4, 4))}
    plot.heatmap(zeros, zeros).savefig(tmp_path / "zero.png")
    missing = {"a": np.full((1, 4, 4), np.nan)}
    plot.heatmap(zeros, missing).savefig(tmp_path / "nan.png")


@pytest.mark.parametrize(
    ("images", "relevance", "message"),
    [
        ({"a": (1, 4, 4)}, {"b": (1, 4, 4)}, r"images of \['a'\], but relevance of \['b'\]"),
        ({"a": (1, 4, 4)}, {"a": (1, 4, 5)}, r"a: images .* of \(1, 4, 4\), heatmaps"),
    ],
)
def test_heatmap_refuses_what_does_not_fit(images, relevance, message):
    with pytest.raises(ValueError, match=message):
        plot.heatmap(
            {name: np.zeros(shape) for name, shape in images.items()},
            {name: np.zeros(shape) for name, shape in relevance.items()},
        )


def test_tokens_stand_in_cells_of_their_relevance(rng):
    words, relevance = [["a", "bc", "d"], ["e"]], rng.normal(size=(2, 3))
    ax = plot.tokens(words, relevance, names=["first", "second"]).axes[0]
    assert [text.get_text() for text in ax.texts] == ["a", "bc", "d", "e"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
    np.testing.assert_allclose(ax.images[0].get_array(), relevance[:1])
    np.testing.assert_allclose(ax.images[1].get_array(), relevance[1:, :1])
    greatest = max(np.abs(relevance[0]).max(), abs(relevance[1, 0]))
    assert {image.get_clim() for image in ax.images} == {(-greatest, greatest)}
    for text, place in zip(ax.texts, [(0, 0), (1, 0), (2, 0), (0, 1)], strict=True):
        assert (int(text.get_position()[0]), int(text.get_position()[1])) == place


def test_tokens_refuse_relevance_of_another_length():
    with pytest.raises(ValueError, match=r"here \[1, 2\]; got \[1, 1\]"):
        plot.tokens([["a", "b"]], [[1.0]])


def test_curve_is_the_mean_of_its_repeats_in_the_band_of_all():
    ax = Figure().subplots()
    repeats = [[1.0, 4.0, np.nan], [3.0, 2.0, 6.0]]
    plot.draw_curve(ax, [0.0, 0.5, 1.0], repeats, color="#0072B2")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [2, 3, 6])
    corners = ax.collections[0].get_paths()[0].vertices
    for x, low, high in ((0, 1, 3), (0.5, 2, 4), (1, 6, 6)):
        at = corners[corners[:, 0] == x, 1]
        assert (at.min(), at.max()) == (low, high)


def test_curves_of_a_quantity_have_one_scale_and_one_color():
    colors = plot.source_colors(["left", "right"]) | {"": "black"}
    values = {
        "noise": {"share": {"left": [0.5, 0.1], "right": [0.5, 0.9]}, "accuracy": {"": [1, 0.5]}},
        "shuffle": {"share": {"left": [0.4, 2.0], "right": [0.6, 0.0]}, "accuracy": {"": [0, 1]}},
    }
    condition = {"noise": [0, 1], "shuffle": [0, 1]}
    figure = plot.curves(condition, values, colors=colors)
    axes = np.reshape(figure.axes, (2, 2))
    assert [[ax.get_xlabel() for ax in row] for row in axes] == [["noise"] * 2, ["shuffle"] * 2]
    assert axes[0, 0].get_ylim() == axes[1, 0].get_ylim() != axes[0, 1].get_ylim()
    assert [line.get_color() for line in axes[1, 0].lines] == ["#0072B2", "#E69F00"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["left", "right"]
    with pytest.raises(ValueError, match=r"conditions \['shuffle'\], but values of \['noise'"):
        plot.curves({"shuffle": [0, 1]}, values, colors=colors)
    with pytest.raises(ValueError, match=r"with 3 points, got \[2\]"):
        plot.draw_curve(axes[0, 0], [1, 2, 3], [1, 2], color="black")


def test_densities_lie_where_the_class_lies(rng):
    labels = np.arange(200) % 4
    apart = np.where(labels == 2, 10.0, -10.0) + rng.normal(size=200)
    relevance = np.zeros((200, 4))
    relevance[:, 2] = apart
    sources = {"left": relevance, "right": 0 * relevance}
    figure = plot.densities({"a": sources, "b": sources}, labels, classes=[2, 0], names="wxyz")
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "", ""]
    assert [ax.get_ylabel() for ax in figure.axes] == ["y", "", "w", ""]
    assert all(ax.yaxis.label.get_visible() for ax in figure.axes[::2])
    ax = figure.axes[0]
    (filled,) = ax.collections
    others, median = [line for line in ax.lines if to_hex(line.get_color()).upper() == "#0072B2"]
    x, y = others.get_data()
    assert x[np.argmax(y)] == pytest.approx(-10, abs=1)
    body = filled.get_paths()[0].vertices
    assert body[np.argmax(body[:, 1]), 0] == pytest.approx(10, abs=1)
    assert median.get_xdata()[0] == np.median(apart[labels == 2])


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [1.0, np.nan, np.nan], [np.nan] * 3])
def test_densities_of_scarce_values_draw_without_a_warning(values, tmp_path):
    relevance = {"left": np.array(values)[:, None]}
    plot.densities({"net": relevance}, [0, 0, 0], classes=[0]).savefig(tmp_path / "density.png")


def test_grid_shows_every_sample_on_one_scale(rng):
    images = {"left": rng.random((5, 8, 4, 1)), "right": rng.random((5, 8, 4))}
    figure = plot.grid(images, list("abcde"), columns=3)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "d", "e", ""]
    shown = [image for ax in figure.axes for image in ax.images]
    assert len({image.get_clim() for image in shown}) == 1
    np.testing.assert_allclose(shown[3].get_array(), images["right"][1])
    with pytest.raises(ValueError, match=r"4 names, but images: {'left': 5, 'right': 5}"):
        plot.grid(images, list("abcd"))
