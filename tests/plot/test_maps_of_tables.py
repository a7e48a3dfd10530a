"""Pictures of the maps that tables keep: pixels for coordinates, -1 for unknown, true classes."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from rfp_jax import maps, tables
from rfp_jax.plot import SOURCE_COLORS
from rfp_jax.plot import maps as pictures
from rfp_jax.tables import Columns, Places, RunOptions, evaluate

CLASSES = ("open water", "forest", "<b>town</b>")
ROWS, WIDE = 24, 40
LOOKS = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)


def network(params, optical, radar):
    return optical @ params["optical"] + radar @ params["radar"]


def samples():
    draw = np.random.default_rng(1)
    for i in range(3):
        label = draw.integers(0, 3, (ROWS, WIDE))
        label[:2] = 255
        optical = draw.normal(size=(ROWS, WIDE, 3)).astype(np.float32)
        optical[4, 5] = 3e38 if i < 2 else np.nan  # too large for a sum; refused, the sample fails
        radar = draw.normal(size=(ROWS, WIDE, 3)).astype(np.float32)
        yield {"optical": optical, "radar": radar, "label": label, "id": f"tile {i}"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("maps") / "table.zarr"
    evaluate(
        network,
        list(samples()),
        path,
        params={"optical": LOOKS, "radar": LOOKS[::-1].copy()},
        sources=("optical", "radar"),
        classes=CLASSES,
        columns=Columns(),
        places=Places(ignore_index=255, keep_maps=True),
        run=RunOptions(progress=False, threads=0),
    )
    return tables.open_maps(path)


def drawn(draw, one, *args, **options):
    ax = Figure().subplots()
    draw(ax, one, *args, **options)
    (image,) = ax.images
    return ax, np.asarray(image.get_array())


def test_pixels_are_counted_from_the_upper_left(found):
    ax, colors = drawn(pictures.draw_dominance, found.isel(sample=1))
    assert (*ax.get_xlim(), *ax.get_ylim()) == (0, WIDE, ROWS, 0)
    assert tuple(ax.images[0].get_extent()) == (0, WIDE, ROWS, 0)
    assert colors.shape == (ROWS, WIDE, 4)
    ground, bar = ax.patches
    assert ground.get_hatch()
    assert (bar.get_width(), [text.get_text() for text in ax.texts]) == (10, ["10 pixels"])
    assert ROWS / 2 < bar.get_y() + bar.get_height() < bar.get_y() < ROWS  # at the lower left
    sizes = np.abs(found.relevance.isel(sample=1).values[:2])
    known = np.isfinite(sizes).all(0)
    assert np.argwhere(~known).tolist() == [[4, 5]]
    np.testing.assert_array_equal(colors[..., 3] > 0, known)
    palette = np.array([to_rgb(color) for color in SOURCE_COLORS[:2]])
    share = sizes.max(0) / sizes.sum(0)
    strength = (0.15 + 0.85 * (2 * share - 1))[..., None]
    expected = 1 + (palette[np.nan_to_num(sizes).argmax(0)] - 1) * strength
    np.testing.assert_allclose(colors[known, :3], expected[known], atol=1e-5)


def test_true_classes_are_drawn_where_they_are_known(found):
    one = found.isel(sample=0)
    ax, true = drawn(pictures.draw_classes, one, "label")
    _, predicted = drawn(pictures.draw_classes, one)
    label = one.label.values
    assert (true[:2, :, 3] == 0).all()
    assert (true[2:, :, 3] == 1).all()
    for number in range(3):
        (color,) = np.unique(true[label == number], axis=0)
        np.testing.assert_array_equal(
            predicted[one.prediction.values == number],
            [color] * int((one.prediction == number).sum()),
        )
    texts = ax.get_legend().get_texts()
    assert [text.get_text() for text in texts] == [*CLASSES, "no data"]
    assert not any(text.get_parse_math() for text in texts)


def test_all_of_a_sample_in_one_figure(found, monkeypatch):
    one = found.isel(sample=0)
    figure = pictures.overview(one, np.zeros((ROWS, WIDE, 3)), title=str(one.id.item()))
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == [
        "image", "predicted class", "true class", "dominating source", "share of optical",
        "share of radar", "relevance of optical", "relevance of radar", "relevance of bias",
    ]  # fmt: skip
    figure.draw_without_rendering()
    monkeypatch.setattr(pictures, "SIDE", 10)  # in cells of 4 x 4 pixels
    coarse = pictures.overview(one)
    for ax in coarse.axes:
        if ax.images and ax.get_title():
            assert (*ax.get_xlim(), *ax.get_ylim()) == (0, WIDE, ROWS, 0), ax.get_title()
            assert ax.images[0].get_extent() == [0, WIDE, ROWS, 0]
            assert ax.images[0].get_array().shape == (6, 10, 4)
    relevance = found.relevance.isel(sample=0).values[0]
    _, colors = drawn(pictures.draw_relevance, one, "optical", limit=1e9)
    assert np.isfinite(relevance[8:12, 8:12]).all()
    assert colors[2, 2, :3] == pytest.approx([1, 1, 1], abs=0.02)


def test_a_sample_that_failed_is_hatched(found):
    for draw in (pictures.draw_dominance, pictures.draw_classes):
        ax, colors = drawn(draw, found.isel(sample=2))
        assert (colors[..., 3] == 0).all()
        assert ax.patches[0].get_hatch()


def test_a_sample_alone_is_drawn_and_a_page_needs_a_place(found, tmp_path):
    with pytest.raises(ValueError, match=r"maps of 3 samples: choose one, maps.isel\(sample=0\)"):
        pictures.overview(found)
    with pytest.raises(ValueError, match="no coordinate system"):
        maps.report(found.isel(sample=0), tmp_path / "page.html")
    with pytest.raises(ValueError, match="or 'label' if it has labels"):
        drawn(pictures.draw_classes, found.isel(sample=0).drop_vars("label"), "label")
    somewhere = found.isel(sample=0).assign_coords(y=np.arange(ROWS), x=np.arange(WIDE))
    with pytest.raises(ValueError, match="no coordinate system"):  # it is forgotten, not absent
        pictures.overview(somewhere)
