"""The table that `evaluate` writes is what NumPy says; its arguments."""

import functools
import warnings

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import rfp_jax
from rfp_jax import tables
from tests.tables.evaluate_runs import CLASSES, PARAMS, SOURCES, Patches, by_hand, run, sample


@pytest.mark.parametrize(
    ("count", "chunk", "batch"), [(21, 8, 3), (16, 8, 8), (5, 8, None), (7, 1, 1)]
)
def test_table_is_what_numpy_says(tmp_path, count, chunk, batch):
    table = run(Patches(count), tmp_path / "t.zarr", chunk=chunk, batch=batch)
    expected = by_hand(count)
    assert table.relevance.dims == ("sample", "source", "class")
    assert table.relevance.shape == (count, 3, 3)
    np.testing.assert_allclose(table.relevance, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(table.output, expected.sum(1), rtol=1e-5, atol=1e-5)
    assert table.source.values.tolist() == ["optical", "sar", "bias"]
    assert table["class"].values.tolist() == list(CLASSES)
    assert table.id.values.tolist() == [f"patch-{i}" for i in range(count)]
    assert table.label.values.tolist() == [i % 3 for i in range(count)]
    assert table.prediction.values.tolist() == expected.sum(1).argmax(1).tolist()
    assert table.cloud_cover.values.tolist() == [i / 100 for i in range(count)]
    assert table.cloudy.values.tolist() == [i % 2 == 0 for i in range(count)]
    assert table.season.values[-1] == sample(count - 1)["season"]
    assert table.finite.values.all()
    assert set(table.failure.values) == {""}


def test_plain_xarray_opens_it_without_a_warning(tmp_path):
    run(Patches(), tmp_path / "t.zarr", manifest={"architecture": "linear"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = xr.open_zarr(tmp_path / "t.zarr").load()
    assert set(table.data_vars) == {"relevance", "output"}
    assert table.attrs["complete"] == 1
    made = tables.provenance(table)
    assert made["rules"] == "lrp0"
    assert made["versions"]["jax"] == jax.__version__
    assert made["model"]["manifest"] == {"architecture": "linear"}
    assert table.attrs["dtype"] == "float32"
    assert not (tmp_path / "t.zarr.partial").exists()


def test_grain_data_set_and_ids(tmp_path):
    data = grain.MapDataset.range(9).map(sample)
    table = run(data, tmp_path / "t.zarr", ids=[f"name {i}" for i in range(9)])
    np.testing.assert_allclose(table.relevance, by_hand(9), rtol=1e-5, atol=1e-5)
    assert table.id.values[4] == "name 4"


def test_samples_without_label_and_id(tmp_path):
    data = [{key: sample(i)[key] for key in SOURCES} for i in range(4)]
    table = run(data, tmp_path / "t.zarr", metadata=())
    assert "label" not in table.coords
    assert table.id.values.tolist() == ["0", "1", "2", "3"]
    assert tables.summary(table)["accuracy"] is None


def test_several_labels_a_sample(tmp_path):
    data = [sample(i) | {"label": np.array([i % 2, 1, 0])} for i in range(6)]
    table = run(data, tmp_path / "t.zarr", labels="multi")
    expected = by_hand(6).sum(1) >= 0
    assert table.label.dims == ("sample", "class")
    assert table.label.values[3].tolist() == [True, True, False]
    assert (table.prediction.values == expected).all()
    labels = np.array([[i % 2, 1, 0] for i in range(6)], bool)
    assert tables.accuracy(table) == (labels == expected).all(1).mean()


def test_one_output_without_class_axis(tmp_path):
    def height(params, optical, sar):
        return (optical @ params["optical"] + sar @ params["sar"])[:, 0]

    data = [sample(i) | {"label": 0.5 * i} for i in range(4)]
    table = run(data, tmp_path / "t.zarr", fun=height, classes=("height",))
    np.testing.assert_allclose(
        table.relevance[:, :2, 0], by_hand(4)[:, :2, 0], rtol=1e-5, atol=1e-5
    )
    assert table.label.dims == ("sample", "class")
    assert table.label.values[:, 0].tolist() == [0, 0.5, 1, 1.5]
    assert "prediction" not in table.coords


def test_stacked_sources_from_one_array(tmp_path):
    def bands(fun, argnums, rules):
        assert argnums == (1,)

        def explained(params, x):
            each = jnp.moveaxis(x[:, :, None] * params["optical"][None], 1, 0)
            output = each.sum(0)
            return rfp_jax.Relevance(output, each, jnp.zeros_like(output))

        return explained

    names = [f"B{i}" for i in range(8)]
    table = run(Patches(5), tmp_path / "t.zarr", sources=names, inputs=("optical",), method=bands)
    weights = PARAMS["optical"].astype(float)
    for i in range(5):
        expected = sample(i)["optical"].astype(float)[:, None] * weights
        np.testing.assert_allclose(table.relevance[i, :8], expected, rtol=1e-5)


@pytest.mark.parametrize("names", [("S2", "S1"), ("S1", "S2")])
def test_named_groups_of_channels_keep_their_names(tmp_path, names):
    split = rfp_jax.sources.groups({"S2": slice(0, 5), "S1": slice(5, 8)})
    table = run(
        Patches(5),
        tmp_path / "t.zarr",
        fun=lambda params, x: x @ params["optical"],
        sources=names,
        inputs=("optical",),
        method=functools.partial(rfp_jax.relevance, split=(split,)),
    )
    weights = PARAMS["optical"].astype(float)
    for i in range(5):
        x = sample(i)["optical"].astype(float)
        for name, part in (("S2", slice(0, 5)), ("S1", slice(5, 8))):
            found = table.relevance.sel(source=name)[i]
            np.testing.assert_allclose(found, x[part] @ weights[part], rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="the sources are 'S1', 'S2'; named are"):
        run(
            Patches(5),
            tmp_path / "u.zarr",
            fun=lambda params, x: x @ params["optical"],
            sources=("S2", "SAR"),
            inputs=("optical",),
            method=functools.partial(rfp_jax.relevance, split=(split,)),
        )


def test_float64(tmp_path):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), PARAMS)
        table = run(Patches(), tmp_path / "t.zarr", params=params, dtype=np.float64).load()
    assert table.relevance.dtype == np.float64
    np.testing.assert_allclose(table.relevance, by_hand(21), rtol=1e-13, atol=1e-13)


def test_bfloat16_is_stored_as_float32(tmp_path):
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), PARAMS)
    table = run(Patches(), tmp_path / "t.zarr", params=params, dtype=jnp.bfloat16)
    assert table.relevance.dtype == np.float32
    np.testing.assert_allclose(table.relevance, by_hand(21), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("batch", [1, 5, 8, 100])
def test_batch_size_changes_rounding_at_most(tmp_path, batch):
    table = run(Patches(), tmp_path / "t.zarr", batch=batch)
    np.testing.assert_allclose(table.relevance, by_hand(21), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": ("a",), "inputs": SOURCES}, "1 sources are named, but the function has 2"),
        ({"classes": ("a", "b")}, "of shape (2, 2), but it returns (2, 3)"),
        ({"sources": ("bias", "sar")}, "call the source something else"),
        ({"sources": ("sar", "sar")}, "twice: sar"),
        ({"sources": ()}, "at least one source and one class"),
        ({"metadata": ("../../etc/passwd",)}, "metadata cannot be called '../../etc/passwd'"),
        ({"metadata": ("relevance",)}, "metadata cannot be called 'relevance'"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
        ({"threads": -1}, "threads must be at least 0"),
        ({"dtype": np.int32}, "dtype must be floating point, got int32"),
        ({"dtype": np.float64}, "jax_enable_x64"),
        ({"ids": ["a"]}, "21 samples, but 1 ids"),
        ({"data": []}, "empty"),
        ({"data": grain.MapDataset.range(3).map(sample).repeat()}, "repeats for ever"),
        ({"manifest": {"epoch": np.zeros(3)}}, "manifest must hold what JSON can keep"),
        ({"max_bytes": 100, "batch": None}, "give a larger one"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, change, message):
    change = dict(change)
    with pytest.raises((ValueError, TypeError)) as error:
        run(change.pop("data", Patches()), tmp_path / "t.zarr", **change)
    assert message in str(error.value)
    assert not (tmp_path / "t.zarr").exists()


def test_one_string_is_not_a_sequence_of_names(tmp_path):
    with pytest.raises(TypeError, match="classes must be a sequence of strings, got 'abc'"):
        run(Patches(), tmp_path / "t.zarr", classes="abc")
