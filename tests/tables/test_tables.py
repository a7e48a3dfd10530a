"""Questions to a table, against loops in NumPy; exports, read back by pandas."""

import csv
import functools
import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import rfp_jax
from rfp_jax import maps, tables
from rfp_jax.tables import Columns, RunOptions, _totals, evaluate
from rfp_jax.tables._evaluate import exports


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """A table of 40 samples is gone through in three blocks."""
    small = functools.partial(tables.blocks, samples=15)
    for module in (_totals, exports):
        monkeypatch.setattr(module, "blocks", small)


CLASSES = ("water", "forest", "urban")


def make(samples=40, seed=0, labels=True):
    """A table as `evaluate` leaves it, made by hand; sample 3 failed, 5 is not finite."""
    rng = np.random.default_rng(seed)
    relevance = rng.normal(size=(samples, 3, 3))
    relevance[3], relevance[5, 0, 0] = np.nan, np.inf
    failure = np.array([""] * samples, dtype=np.dtypes.StringDType())
    failure[3] = "OSError: <b>truncated</b>"
    finite = np.isfinite(relevance).all((1, 2))
    output = relevance.sum(1)
    coords = {
        "source": ["optical", "sar", "bias"],
        "class": list(CLASSES),
        "id": ("sample", [f"p{i}" for i in range(samples)]),
        "prediction": ("sample", np.where(finite, np.nan_to_num(output).argmax(1), -1)),
        "cloud_cover": ("sample", rng.uniform(size=samples)),
        "failure": ("sample", failure),
        "finite": ("sample", finite),
    }
    if labels:
        coords["label"] = ("sample", rng.integers(0, 3, samples))
    data = {
        "relevance": (("sample", "source", "class"), relevance),
        "output": (("sample", "class"), output),
    }
    return xr.Dataset(data, coords=coords, attrs={"chunk": 7, "complete": True})


def test_of_class():
    table = make()
    found = tables.select_class(table)
    assert found.dims == ("sample", "source")
    for i in range(40):
        picked = table.relevance.values[i, :, table.label.values[i]]
        np.testing.assert_array_equal(found[i], picked)
    np.testing.assert_array_equal(tables.select_class(table, "urban"), table.relevance[:, :, 2])
    top = tables.select_class(table, "top")
    np.testing.assert_array_equal(top[0], table.relevance[0, :, table.output.values[0].argmax()])


def test_of_class_without_label_is_nan():
    table = make()
    table.label.values[7] = -1
    assert np.isnan(tables.select_class(table)[7]).all()
    assert np.isfinite(tables.select_class(table)[8]).all()


def test_share_by_hand():
    table = make()
    found, with_bias = tables.share(table), tables.share(table, bias=True)
    assert found.source.values.tolist() == ["optical", "sar"]
    for i in range(40):
        if table.finite.values[i]:
            absolute = abs(table.relevance.values[i, :, table.label.values[i]])
            np.testing.assert_allclose(found[i], absolute[:2] / absolute[:2].sum())
            np.testing.assert_allclose(with_bias[i], absolute / absolute.sum())
    assert np.isnan(found[3]).all()


def test_shares_where_nothing_speaks_are_equal_everywhere():
    """One decision, whoever is asked: the result of a call, a table, a map."""
    relevance = xr.DataArray(np.float32([[0, 1], [0, -3], [5, 4]]), dims=("source", "class"))
    found = relevance.assign_coords(source=["a", "b", "bias"], **{"class": ["no", "yes"]})
    table = found.to_dataset(name="relevance").expand_dims("sample")
    expected = np.float32([[0.5, 0.25], [0.5, 0.75]])
    whole = rfp_jax.relevance(lambda a, b: a + b, (0, 1))(*relevance.values[:2])
    np.testing.assert_array_equal(np.stack(whole.share()), expected)
    np.testing.assert_array_equal(maps.share(found.to_dataset(name="relevance")), expected)
    for name, shares in zip(("no", "yes"), expected.T, strict=True):
        of_class = tables.share(table, name)
        np.testing.assert_array_equal(of_class[0], shares)
        assert of_class.dtype == np.float32


def test_by_class_by_hand():
    table = tables.drop_failed(make())
    shares = tables.share(table)
    found = tables.by_class(shares, table["class"])
    assert found["class"].values.tolist() == list(CLASSES)
    for k in range(3):
        expected = np.median(shares.values[table.label.values == k], axis=0)
        np.testing.assert_allclose(found[k], expected)


def test_by_class_keeps_classes_without_samples():
    table = tables.drop_failed(make())
    table.label.values[:] = np.where(table.label.values == 1, -1, table.label.values)
    found = tables.by_class(tables.share(table), table["class"])
    assert found.shape == (3, 2)
    assert np.isnan(found.sel({"class": "forest"})).all()
    assert np.isfinite(found.sel({"class": "urban"})).all()
    table.label.values[:] = -1
    assert np.isnan(tables.by_class(tables.share(table), table["class"])).all()
    nothing = tables.by_class(tables.share(table)[:0], table["class"])
    assert nothing.shape == (3, 2)
    assert nothing["class"].values.tolist() == list(CLASSES)
    assert np.isnan(nothing).all()


def test_by_bins_by_hand():
    table = tables.drop_failed(make(200))
    table.cloud_cover.values[:3] = 0.25, 0.5, 1  # on the edges
    shares, edges = tables.share(table), [0, 0.25, 0.5, 1]
    found = tables.by_bins(shares, "cloud_cover", edges)
    cover = table.cloud_cover.values
    for k, members in enumerate(tables.bin_members(cover, np.array(edges))):
        inside = (edges[k] <= cover) & ((cover < edges[k + 1]) | (k == 2))
        np.testing.assert_array_equal(np.flatnonzero(inside), members)
        np.testing.assert_allclose(found[k], np.median(shares.values[inside], axis=0))
    assert str(found.cloud_cover_bins.values[-1]) == "[0.5, 1.0)"


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5, 9], [0.0, 0.1, np.nan, 0.7], [3.0, 3.0]])
def test_so_many_bins_leave_out_what_is_not_finite_alone(values):
    values = xr.DataArray(values, dims="sample", coords={"x": ("sample", values)})
    finite = values.values[np.isfinite(values.values)]
    edges = np.linspace(finite.min(), finite.max(), 3)
    if np.ptp(finite):
        expected = [np.median(finite[m]) for m in tables.bin_members(finite, edges)]
    else:
        expected = [np.nan, 3.0]
    np.testing.assert_array_equal(tables.by_bins(values, "x", 2), expected)
    with pytest.raises(ValueError, match="no value is finite"):
        tables.by_bins(values.assign_coords(x=("sample", np.full(len(values), np.nan))), "x", 2)


def test_summary_by_hand():
    table = make()
    found = tables.summary(table)
    assert (found["samples"], found["failures"], found["nonfinite"]) == (40, 1, 1)
    assert found["labeled"] == 39
    known = np.arange(40) != 3
    assert found["accuracy"] == (table.label == table.prediction).values[known].mean()
    assert tables.accuracy(table) == found["accuracy"]
    mean = tables.share(tables.drop_failed(table)).mean("sample").values
    np.testing.assert_allclose(list(found["share"].values()), mean)


def test_summary_without_labels():
    found = tables.summary(make(labels=False))
    assert found["accuracy"] is None
    assert sum(found["share"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda t: tables.select_class(t, "sea"),
            "no class 'sea': 'label', 'prediction', 'top', or one of",
        ),
        (lambda t: tables.select_class(t.drop_vars("label")), "the table has no label"),
        (
            lambda t: tables.by_class(tables.share(t).drop_vars("label"), t["class"]),
            "samples must have one class each",
        ),
        (
            lambda t: tables.by_bins(tables.share(t), "cloud", 3),
            "no numbers called 'cloud'; there are",
        ),
        (lambda t: tables.by_bins(tables.share(t), "id", 3), "no numbers called 'id'"),
    ],
)
def test_questions_that_have_no_answer(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(make())


def test_blocks_go_through_the_table_once():
    table = make()
    parts = list(tables.blocks(table, samples=15))
    assert [part.sizes["sample"] for part in parts] == [14, 14, 12]
    xr.testing.assert_identical(xr.concat(parts, "sample", data_vars="minimal"), table)


def test_csv_and_parquet_hold_every_number(tmp_path):
    table = make()
    tables.to_csv(table, tmp_path / "t.csv")
    tables.to_parquet(table, tmp_path / "t.parquet")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert len(rows) == len(frame) == 40 * 3 * 3
    for number, (i, s, k) in enumerate(np.ndindex(40, 3, 3)):
        value = table.relevance.values[i, s, k]
        assert rows[number]["sample"] == str(i)
        assert rows[number]["source"] == ["optical", "sar", "bias"][s]
        assert rows[number]["class"] == CLASSES[k]
        assert float(rows[number]["relevance"] or "nan") == pytest.approx(value, nan_ok=True)
        np.testing.assert_array_equal(frame.relevance[number], value)
        np.testing.assert_array_equal(frame.output[number], table.output.values[i, k])
        assert frame.id[number] == f"p{i}"
    assert frame.failure[3 * 9] == "OSError: <b>truncated</b>"
    assert frame.label.dtype == np.int64


def test_a_table_without_samples_is_exported_as_columns(tmp_path):
    table = make()
    for part in (table, table.isel(sample=[])):
        tables.to_csv(part, tmp_path / f"{part.sizes['sample']}.csv")
        tables.to_parquet(part, tmp_path / f"{part.sizes['sample']}.parquet")
    assert list(pd.read_csv(tmp_path / "0.csv")) == list(pd.read_csv(tmp_path / "40.csv"))
    empty, whole = (pd.read_parquet(tmp_path / f"{n}.parquet") for n in (0, 40))
    assert (len(empty), list(empty)) == (0, list(whole))


def test_export_of_several_labels_and_of_a_real_table(tmp_path):
    data = [
        {"x": np.float32([i, 1]), "label": np.array([1, i % 2]), "season": "été"} for i in range(5)
    ]
    table = evaluate(
        lambda w, x: x * w[None],
        data,
        tmp_path / "t.zarr",
        params=np.float32([1, -1]),
        sources=("x",),
        classes=("a", "b"),
        labels="multi",
        columns=Columns(metadata=("season",)),
        run=RunOptions(chunk=2, progress=False),
    )
    tables.to_csv(table, tmp_path / "t.csv")
    frame = pd.read_csv(tmp_path / "t.csv")
    assert frame.label.tolist() == [value for i in range(5) for value in 2 * [True, i % 2 == 1]]
    assert set(frame.season) == {"été"}
    assert tables.default_target(table) == "top"
    assert tables.summary(table)["share"] == {"x": 1.0}


def test_an_export_that_fails_leaves_the_old_file(tmp_path):
    (tmp_path / "t.csv").write_text("old")
    broken = make().drop_vars("output")
    with pytest.raises(KeyError):
        tables.to_csv(broken, tmp_path / "t.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == "old"
