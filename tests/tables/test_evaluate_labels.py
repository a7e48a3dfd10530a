"""Labels in every reading, inputs that are not sources, and the bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

import rfp_jax
from rfp_jax import tables
from rfp_jax.tables import BadSampleError, Columns, TableMismatchError
from rfp_jax.tables._evaluate.labels import LABELS, readings
from tests.tables.linear_samples import CLASSES, WEIGHTS, failures, run, sample, samples

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (2, ["class"]),
        (2.0, ["class"]),
        (np.int8(-1), ["class"]),
        (2.7, []),
        (3, []),
        (-2, []),
        ("forest", ["class"]),
        (b"forest", ["class"]),
        ("sea", []),
        (True, []),
        ([0, 1, 0], ["class", "multi", "soft", "target"]),
        ([0.0, 1.0, 0.0], ["class", "multi", "soft", "target"]),
        ([False, True, False], ["class", "multi"]),
        ([True, True, False], ["multi"]),
        ([0, 1, 1], ["multi", "target"]),
        ([0.25, 0.25, 0.5], ["soft", "target"]),
        ([0.25, 0.25, 0.75], ["target"]),
        ([-1.5, 7, 0], ["target"]),
        (["water", "urban"], ["multi"]),
        (["water", "sea"], []),
        ([1, 2], []),
        ({"a": 1}, []),
    ],
)
def test_readings_of_a_label(label, expected):
    assert readings(label, CLASSES) == expected
    if not isinstance(label, list | dict):
        assert readings(np.asarray(label), CLASSES) == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0.5, ["target"]),
        (1, ["multi", "target"]),
        ([0.5], ["target"]),
        (7, ["target"]),
        (True, ["multi"]),
    ],
)
def test_readings_of_a_label_of_one_output(label, expected):
    assert readings(label, ["height"]) == expected


def test_labels_with_several_readings_are_refused_with_the_choices(tmp_path):
    data = [each | {"label": np.eye(3)[i % 3]} for i, each in enumerate(samples())]
    with pytest.raises(ValueError, match="several ways") as error:
        run(data, tmp_path)
    assert "that of p0 is [1.0, 0.0, 0.0], and there are 3 classes" in str(error.value)
    for kind in LABELS:
        assert f"labels='{kind}'" in str(error.value)
    expected = [i % 3 for i in range(24)]
    table = run(data, tmp_path, labels="class")
    assert table.label.values.tolist() == expected
    prediction = table.output.values.argmax(1)
    assert tables.summary(table)["accuracy"] == (prediction == expected).mean()
    soft = run(data, tmp_path, name="soft.zarr", labels="soft")
    assert tables.summary(soft)["accuracy"] == (prediction == expected).mean()
    np.testing.assert_array_equal(soft.label, np.eye(3)[expected])
    with pytest.raises(ValueError, match="labels='classes': must be one of 'class', 'multi'"):
        run(data, tmp_path, name="u.zarr", labels="classes")
    with pytest.raises(TableMismatchError, match=r'data\.labels: "class" in the table, "soft" now'):
        run(data, tmp_path, labels="soft")


def test_names_and_floats_as_class_labels(tmp_path):
    named = [each | {"label": CLASSES[i % 3]} for i, each in enumerate(samples(s0={}))]
    named[5]["label"], named[6]["label"] = "sea", "forest"
    table = run(named, tmp_path)
    assert list(failures(table)) == [5]
    assert "the label: 'sea' is not the name of a class" in table.failure.values[5]
    assert table.label.values[[0, 1, 2, 6]].tolist() == [0, 1, 2, 1]
    floats = samples(s1={"label": 2.7}, s2={"label": np.nan}, s3={"label": None}, s4={"label": 1.0})
    table = run(floats, tmp_path, name="u.zarr")
    assert list(failures(table)) == [1]
    assert "the label: 2.7 is not the number of a class" in table.failure.values[1]
    assert table.label.values[[2, 3, 4]].tolist() == [-1, -1, 1]
    assert tables.summary(table)["labeled"] == 21


def test_one_bad_label_among_those_looked_at_is_one_failure(tmp_path):
    table = run(samples(s0={"label": 7}), tmp_path)
    assert list(failures(table)) == [0]
    assert table.label.dims == ("sample",)


def test_multi_label_scores_are_those_of_scikit_learn(tmp_path):
    rng = np.random.default_rng(3)
    hot = rng.integers(0, 2, (24, 3)).astype(bool)
    data = [each | {"label": hot[i]} for i, each in enumerate(samples())]
    table = run(data, tmp_path)
    assert table.label.attrs["label_kind"] == "multi"
    predicted, found = table.output.values >= 0, tables.summary(table)
    assert found["accuracy"] == metrics.accuracy_score(hot, predicted)
    for average in ("micro", "macro", None):
        expected = metrics.precision_recall_fscore_support(
            hot, predicted, average=average, zero_division=0
        )
        for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
            scores = found["scores"]["classes" if average is None else average]
            each = [scores[c][name] for c in CLASSES] if average is None else scores[name]
            np.testing.assert_allclose(each, values)


@pytest.mark.parametrize("alone", [True, False])
def test_regression_with_one_output(tmp_path, alone):
    truth = np.random.default_rng(5).normal(3, 2, 24)
    data = [
        each | {"label": truth[i] if alone else truth[i, None]} for i, each in enumerate(samples())
    ]
    data[7]["label"] = np.nan
    table = run(
        data,
        tmp_path,
        fun=lambda w, x: (x @ w)[:, 0],
        classes=("height",),
        columns=Columns(units={"output": "m"}),
    )
    assert table.label.attrs["label_kind"] == "target"
    assert "prediction" not in table.coords
    assert table.relevance.units == table.output.units == table.label.units == "m"
    found, known = tables.summary(table), np.arange(24) != 7
    output = table.output.values[known, 0].astype(float)
    assert (found["labeled"], found["accuracy"]) == (23, None)
    errors = found["errors"]["height"]
    assert errors["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth[known], output))
    assert errors["mae"] == pytest.approx(metrics.mean_absolute_error(truth[known], output))
    assert errors["r2"] == pytest.approx(metrics.r2_score(truth[known], output))
    assert found["share"] == {"x": 1.0}
    assert tables.share(table).shape == (24, 1)


def test_integers_and_bools_can_be_targets(tmp_path):
    data = [each | {"label": [i, 1, 0]} for i, each in enumerate(samples())]
    table = run(data, tmp_path, labels="target")
    np.testing.assert_array_equal(table.label, [[i, 1, 0] for i in range(24)])
    assert set(tables.summary(table)["errors"]) == set(CLASSES)


def attend(params, x, mask, day, patch):
    weights = jnp.where(mask, 1.0, 0.0) * (1 + day[:, None]) + 0.0 * patch[:, None]
    return (x * weights) @ params


def with_others(index):
    found = sample(index)
    others = {"mask": np.arange(4) != index % 4, "day": np.float32(index / 10), "patch": index}
    return found | others


@pytest.mark.parametrize("dtype", [None, np.float32])
@pytest.mark.parametrize(
    "order", [None, ("x", "mask", "day", "patch"), ("mask", "day", "patch", "x")]
)
def test_masks_dates_and_ids_are_no_sources(tmp_path, dtype, order):
    fun = attend
    if order and order[0] == "mask":
        fun = lambda params, mask, day, patch, x: attend(params, x, mask, day, patch)  # noqa: E731
    data = [with_others(i) for i in range(24)]
    table = run(
        data,
        tmp_path,
        fun=fun,
        dtype=dtype,
        other_inputs=("mask", "day", "patch"),
        columns=Columns(inputs=order, label="patch_label"),
    )
    assert failures(table) == {}
    assert table.source.values.tolist() == ["x", "bias"]
    for i, each in enumerate(data):
        weighted = each["x"] * each["mask"] * (1 + each["day"])
        np.testing.assert_allclose(table.relevance[i, 0], weighted @ WEIGHTS, rtol=1e-4, atol=1e-4)
    assert np.abs(table.relevance.sel(source="bias")).max() < 1e-4


def test_an_input_that_is_no_source_must_be_a_number_in_range(tmp_path):
    data = [with_others(i) for i in range(24)]
    data[3]["patch"] = 2**40
    data[4]["mask"] = np.array(["a"] * 4)
    data[6]["day"] = np.datetime64("2020-01-01")
    table = run(data, tmp_path, fun=attend, other_inputs=("mask", "day", "patch"))
    assert failures(table).keys() == {3, 4, 6}
    assert "'patch' holds numbers out of the range of int32" in table.failure.values[3]
    assert "'mask' must hold numbers or bools" in table.failure.values[4]
    assert "turn dates and text into numbers" in table.failure.values[6]
    with pytest.raises(BadSampleError, match="what is not a source is named in other_inputs"):
        run(data, tmp_path, name="u.zarr", fun=attend, sources=("x", "mask", "day", "patch"))
    with pytest.raises(ValueError, match=r"lack \['mask'\], which are among other_inputs"):
        run(data, tmp_path, other_inputs=("mask",), columns=Columns(inputs=("x",)))


def biased(params, left, right):
    return jax.nn.relu(left @ params + right @ params + 3.0)


def test_what_becomes_of_the_bias_is_an_argument(tmp_path):
    data = [{"left": sample(i)["x"], "right": sample(i + 50)["x"]} for i in range(8)]
    arguments = {"fun": biased, "sources": ("left", "right")}
    kept = run(data, tmp_path, **arguments)
    shared = run(data, tmp_path, name="u.zarr", bias="share", **arguments)
    inputs = [np.stack([each[name] for each in data]) for name in ("left", "right")]
    for table, bias in ((kept, "keep"), (shared, "share")):
        expected = rfp_jax.relevance(biased, argnums=(1, 2), bias=bias)(WEIGHTS, *inputs)
        for name, part in zip(("left", "right"), expected.sources, strict=True):
            np.testing.assert_allclose(table.relevance.sel(source=name), part, rtol=1e-4, atol=1e-4)
    assert np.abs(kept.relevance.sel(source="bias")).max() > 1
    assert tables.provenance(shared)["bias"] == "share"
    with pytest.raises(TableMismatchError, match=r'bias: "share" in the table'):
        run(data, tmp_path, name="u.zarr", **arguments)
    with pytest.raises(ValueError, match="bias='none' is not known"):
        run(data, tmp_path, name="v.zarr", bias="none", **arguments)
