"""Cells of a map: block means that keep sums."""

import numpy as np
import pytest
import xarray as xr
from pages import CLASSES, blocks, make

from rfp_jax._util.coarse import cells, frequent


@pytest.mark.parametrize("classes", [(), CLASSES[:2]])
def test_cells_are_block_means_whose_parts_add_up(classes):
    scene = make(classes=classes)
    found = cells(scene, 20)
    assert found.attrs["cell"] == 5
    expected = blocks(scene.relevance.values, 5)
    np.testing.assert_allclose(found.relevance.values, expected, rtol=1e-6)
    np.testing.assert_allclose(found.output.values, blocks(scene.output.values, 5), rtol=1e-6)
    np.testing.assert_allclose(
        found.relevance.sum("source", skipna=False), found.output, rtol=1e-3, atol=1e-4
    )
    total = (found.relevance.astype(np.float64) * found["count"]).sum(("y", "x"))
    np.testing.assert_allclose(total, scene.relevance.astype(np.float64).sum(("y", "x")), rtol=1e-5)


def test_a_cell_lies_where_its_pixels_lie():
    scene = make()
    found = cells(scene, 20)
    left, bottom, right, top = scene.rio.bounds()
    assert found.rio.bounds() == (left, bottom - 40, right + 20, top)  # 61 and 83 are no 65 and 85
    assert found.rio.crs == scene.rio.crs
    assert float(found.x[1]) == scene.x.values[5:10].mean()
    assert float(found.y[1]) == scene.y.values[5:10].mean()


def test_few_rows_at_a_time_give_the_same(monkeypatch):
    from rfp_jax._util import coarse as module

    scene = make(classes=CLASSES)
    whole = cells(scene, 20)
    monkeypatch.setattr(module, "ROWS", 12)
    xr.testing.assert_identical(cells(scene, 20), whole)


def test_the_class_of_a_cell_is_the_most_frequent_one():
    scene = make()
    best, purity = frequent(scene.prediction, 4)
    values = scene.prediction.values
    for i, j in np.ndindex(best.shape):
        block = values[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].ravel()
        counts = np.bincount(block[block != 255], minlength=3)
        if not counts.sum():
            assert best[i, j] == 255
            continue
        assert counts[best[i, j]] == counts.max()
        assert purity[i, j] == pytest.approx(counts.max() / counts.sum())


def test_what_is_no_map_is_refused():
    scene = make()
    with pytest.raises(ValueError, match=r"call rfp_jax\.maps\.relevance again"):
        cells(scene.assign_attrs(complete=0), 20)
    with pytest.raises(ValueError, match="dimensions source, y and x"):
        cells(scene.drop_vars("relevance"), 20)
    with pytest.raises(ValueError, match="coordinate system"):
        cells(scene.drop_vars("spatial_ref"), 20)
