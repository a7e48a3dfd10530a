"""Samples are checked when they are read: one bad sample is one row that says what is wrong."""

import datetime
import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

import rfp_jax
from rfp_jax import tables
from rfp_jax.tables import BadSampleError, Columns, RunOptions, TableMismatchError, _query, evaluate
from rfp_jax.tables._evaluate.labels import LABELS, readings

CLASSES = ("water", "forest", "urban")
WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """A table of 24 samples is gone through in three blocks."""
    monkeypatch.setattr(_query, "blocks", functools.partial(tables.blocks, samples=8))


def linear(weights, x):
    return x @ weights


def sample(index):
    x = np.random.default_rng(index).normal(size=4).astype(np.float32)
    return {"x": x, "label": index % 3, "id": f"p{index}"}


def samples(count=24, **changed):
    """Samples, some of which are changed: index to what is put into it."""
    found = [sample(index) for index in range(count)]
    for name, change in changed.items():
        found[int(name[1:])] |= change
    return found


def run(data, tmp_path, *, fun=linear, name="t.zarr", options=None, **arguments):
    options = {"chunk": 8, "batch": 4, "threads": 0, "progress": False} | (options or {})
    defaults = {"params": WEIGHTS, "sources": ("x",), "classes": CLASSES}
    return evaluate(
        fun, data, tmp_path / name, **defaults | arguments, run=RunOptions(**options)
    ).load()


def failures(table):
    found = zip(table.failure.values.tolist(), table.finite.values, strict=True)
    return {i: why for i, (why, finite) in enumerate(found) if why or not finite}


BROKEN_NAME = os.fsdecode(b"gr\xfcn.tif")


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no")


class Raising:
    """A data source in which one sample raises."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 24

    def __getitem__(self, index):
        if index == 5:
            raise self.error
        return sample(index)


# --- one bad sample -------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["float", "int", "text", "time", "bool"])
@pytest.mark.parametrize(
    ("value", "words", "fits"),
    [
        (np.uint64(2**63), "out of the range of int64", "float"),
        (2**70, "does not fit 64 bits", ""),
        (BROKEN_NAME, r"'gr\udcfcn.tif' is not UTF-8", ""),
        ("a\0b", "zero byte", ""),
        (np.zeros(2), "must be one number, bool, text or time, got float64[2]", ""),
        (object(), "got object", ""),
        (1j, "got complex", ""),
        (np.datetime64(10**15, "s"), "out of the range of times", ""),
    ],
)
def test_metadata_that_does_not_fit_is_one_failure(tmp_path, kept, value, words, fits):
    good = {
        "float": 0.5,
        "int": 3,
        "text": "été",
        "time": np.datetime64("2020-03-01T10:00"),
        "bool": True,
    }[kept]
    data = [each | {"m": good} for each in samples()]
    data[5]["m"] = value
    table = run(data, tmp_path, columns=Columns(metadata=("m",)))
    if kept == fits:
        assert failures(table) == {}
        return
    (index, why), *others = failures(table).items()
    assert (index, others) == (5, [])
    assert "metadata 'm'" in why
    own = {"time": np.datetime64, "text": str, "bool": bool}.get(kept, int | np.integer)
    if isinstance(value, own) or not isinstance(value, str | int | np.generic):
        assert words in why  # else it says that the value is of another kind
    assert table.id.values[5] == "p5"


@pytest.mark.parametrize(
    ("name", "words"), [(BROKEN_NAME, "is not UTF-8"), ("a\0b", "holds a zero byte")]
)
@pytest.mark.parametrize("given", [True, False])
def test_a_name_that_cannot_be_stored(tmp_path, name, words, given):
    data, columns = samples(s5={"id": name}), Columns()
    if given:
        columns = Columns(ids=[each.pop("id") for each in data])
    table = run(data, tmp_path, columns=columns)
    assert list(failures(table)) == [5]
    assert words in table.failure.values[5]
    assert table.id.values[5] == (r"gr\udcfcn.tif" if "gr" in name else r"a\x00b")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Silent(), "Silent, which cannot say why"),
        (OSError(2, "no such file", BROKEN_NAME), r"no such file: 'gr\udcfcn.tif'"),
        (ValueError("\x1b[31mred\nline"), r"ValueError: \x1b[31mred line"),
    ],
)
def test_every_exception_becomes_text(tmp_path, error, words):
    table = run(Raising(error), tmp_path)
    assert list(failures(table)) == [5]
    assert words in table.failure.values[5]


class Evil:
    """Objects that a data source may hand out without meaning to."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")

    def __repr__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize("bad", [Evil(), [[1], [1, 2]], {"a": {1}}, b"\xff", "x" * 10**5])
@pytest.mark.parametrize("index", [0, 4])  # one of those looked at first, and another
def test_whatever_stands_in_a_sample(tmp_path, bad, index):
    for key in ("x", "label", "m"):
        data = [each | {"m": 0.5} for each in samples()]
        data[index][key] = bad
        table = run(data, tmp_path, name=f"{key}.zarr", columns=Columns(metadata=("m",)))
        assert list(failures(table)) == [index], key
        assert len(table.failure.values[index]) <= 500


def test_names_are_kept_as_they_are(tmp_path):
    table = run(samples(s3={"id": "a\tb\nc"}), tmp_path)
    assert table.id.values[3] == "a\tb\nc"


def test_labels_that_are_unknown_everywhere_are_none(tmp_path):
    for index, nothing in enumerate((None, np.nan, np.ma.masked)):
        data = [each | {"label": nothing} for each in samples()]
        table = run(data, tmp_path, name=f"{index}.zarr")
        assert failures(table) == {}
        assert "label" not in table.coords


def test_whoever_has_no_name_gets_a_number(tmp_path):
    data = samples(s3={"id": ""}, s4={"id": 17}, s5={"id": "grün".encode()})
    assert run(data, tmp_path).id.values[[3, 4, 5]].tolist() == ["3", "17", "grün"]


# --- times ----------------------------------------------------------------------------------------


def test_times_are_kept(tmp_path):
    berlin = datetime.timezone(datetime.timedelta(hours=2))
    given = [
        np.datetime64("2017-03-01T10:30:00.123456"),
        datetime.datetime(1850, 1, 1, 12, 0),
        datetime.datetime(2017, 7, 1, 12, tzinfo=berlin),
        datetime.date(3017, 7, 1),
        np.datetime64("2016-02-29"),
        np.datetime64("NaT"),
        None,
    ]
    data = [each | {"day": day} for each, day in zip(samples(7), given, strict=True)]
    table = run(data, tmp_path, columns=Columns(metadata=("day",)))
    assert failures(table) == {}
    expected = [
        "2017-03-01T10:30:00.123456",
        "1850-01-01T12:00",
        "2017-07-01T10:00",
        "3017-07-01",
        "2016-02-29",
        "NaT",
        "NaT",
    ]
    np.testing.assert_array_equal(table.day.values, np.array(expected, "datetime64[us]"))


# --- masks ----------------------------------------------------------------------------------------


def masked(index, dtype=np.float32):
    x = np.ma.MaskedArray(sample(index)["x"].astype(dtype), mask=[False, index == 5, False, False])
    x.data[1] = -9999 if index == 5 else x.data[1]
    x.fill_value = -9999
    return {**sample(index), "x": x}


def test_masked_pixels_never_reach_the_model(tmp_path):
    data = [masked(i) for i in range(24)]
    table = run(data, tmp_path)
    assert list(failures(table)) == [5]
    assert "'x': 1 of 4 values are masked: name what stands in their place" in str(
        table.failure.values[5]
    )
    filled = run(data, tmp_path, name="u.zarr", columns=Columns(fill={"x": 0.25}))
    assert failures(filled) == {}
    x = sample(5)["x"]
    x[1] = 0.25
    np.testing.assert_allclose(filled.output[5], x @ WEIGHTS, rtol=1e-5)
    with pytest.raises(TableMismatchError, match=r"data\.keys\.fill\.x: \"0\.25\" in the table"):
        run(data, tmp_path, name="u.zarr", columns=Columns(fill=0.5))


def test_masked_integers_are_filled_in_floating_point(tmp_path):
    data = [masked(i, np.int16) for i in range(8)]
    table = run(data, tmp_path, dtype=np.float32, columns=Columns(fill=0.5))
    x = sample(5)["x"].astype(np.int16).astype(np.float32)
    x[1] = 0.5
    np.testing.assert_allclose(table.output[5], x @ WEIGHTS)


# --- the first samples decide nothing -------------------------------------------------------------


def test_sixteen_unreadable_samples_at_the_start(tmp_path):
    data = samples(200)
    for index in range(16):
        del data[index]["x"]
    table = run(data, tmp_path)
    assert list(failures(table)) == list(range(16))
    np.testing.assert_allclose(table.output[16:], [s["x"] @ WEIGHTS for s in data[16:]], rtol=1e-4)


def test_one_readable_sample_is_enough_and_none_is_an_error(tmp_path):
    data = samples(60)
    for index in range(60):
        if index != 37:
            del data[index]["x"]
    table = run(data, tmp_path)
    assert len(failures(table)) == 59
    assert np.isfinite(table.output[37]).all()
    del data[37]["x"]
    with pytest.raises(BadSampleError, match=r"none of 60 samples can be read:\n  p0: ValueError"):
        run(data, tmp_path, name="u.zarr")
    with pytest.raises(BadSampleError, match=r"none of 16 samples"):
        run(data, tmp_path, name="u.zarr", options={"max_failures": 3})


def test_too_many_failures_are_for_the_caller_to_say(tmp_path):
    data = samples(24, s3={"x": 1}, s9={"x": 2}, s20={"x": 3})
    assert len(failures(run(data, tmp_path, options={"max_failures": 3}))) == 3
    with pytest.raises(
        BadSampleError, match=r"3 samples have failed, max_failures is 2:\n.*\(p20\)"
    ):
        run(data, tmp_path, name="u.zarr", options={"max_failures": 2})
    with pytest.raises(ValueError, match="max_failures must be at least 0"):
        RunOptions(max_failures=-1)


def test_a_first_sample_without_a_label_takes_none_from_the_others(tmp_path):
    data = samples()
    del data[0]["label"]
    table = run(data, tmp_path)
    assert failures(table).keys() == {0}
    assert "no 'label' in the sample" in table.failure.values[0]
    assert table.label.values[1:].tolist() == [i % 3 for i in range(1, 24)]


def test_a_label_that_nobody_expected_is_said(tmp_path):
    data = samples(40)
    for index in range(40):
        if index != 11:
            del data[index]["label"]
    table = run(data, tmp_path)
    assert "label" not in table.coords
    assert "say what labels are with labels=" in table.failure.values[11]
    table = run(data, tmp_path, name="u.zarr", labels="class")
    assert len(failures(table)) == 39


def test_an_odd_first_shape_or_dtype_decides_nothing(tmp_path):
    """A sum over pixels takes any shape and any dtype."""
    data = [
        {"x": np.ones((2 + (i == 0), 3), np.float16 if i == 1 else np.float32)} for i in range(24)
    ]
    table = run(data, tmp_path, fun=lambda w, x: x.sum((1, 2))[:, None] * w[:3, 0][None])
    assert table.output.dtype == np.float32
    assert list(failures(table)) == [0]
    assert "must have the shape (2, 3), got (3, 3)" in table.failure.values[0]


def test_a_wider_dtype_than_expected_is_not_cut(tmp_path):
    data = [{"x": np.ones(4, np.float32 if i == 11 else np.float16)} for i in range(40)]
    table = run(data, tmp_path)
    assert list(failures(table)) == [11]
    assert "'x' must be float16, got float32[4]" in table.failure.values[11]


def test_metadata_has_the_kind_of_most_samples_or_the_one_that_is_named(tmp_path):
    data = [each | {"m": 3 if i == 0 else 0.5} for i, each in enumerate(samples())]
    assert run(data, tmp_path, columns=Columns(metadata=("m",))).m.dtype == np.float64
    data = [each | {"m": "3" if i % 2 else 3} for i, each in enumerate(samples())]
    with pytest.raises(ValueError, match=r"int in p0, text in p\d+: say which with Columns"):
        run(data, tmp_path, name="u.zarr", columns=Columns(metadata=("m",)))
    table = run(data, tmp_path, name="u.zarr", columns=Columns(metadata={"m": "text"}))
    assert list(failures(table)) == list(range(0, 24, 2))
    with pytest.raises(ValueError, match="'number' must be one of bool, int, float, text, time"):
        run(data, tmp_path, name="v.zarr", columns=Columns(metadata={"m": "number"}))


def test_other_values_of_any_sample_looked_at_are_another_data_set(tmp_path):
    def data(**change):
        return [
            each | {"m": i / 7} | (change if i == 13 else {}) for i, each in enumerate(samples(25))
        ]

    columns = Columns(metadata=("m",))
    run(data(), tmp_path, columns=columns)
    for name, change in (("metadata.m", {"m": 9.0}), ("label", {"label": 2}), ("id", {"id": "q"})):
        with pytest.raises(TableMismatchError, match=rf"data\.contents\.{name}: "):
            run(data(**change), tmp_path, columns=columns)


def test_files_that_were_repaired_after_all_looked_at_were_unreadable(tmp_path):
    data = samples(60)
    broken = [each if i == 37 else {"label": 0} for i, each in enumerate(data)]
    with pytest.raises(BadSampleError, match="no 'x' in the sample"):
        run(broken, tmp_path, options={"strict": True})
    assert failures(run(data, tmp_path)) == {}


def test_a_file_that_was_repaired_makes_no_other_data_set(tmp_path):
    with pytest.raises(BadSampleError):
        run(Raising(OSError("truncated")), tmp_path, options={"strict": True})
    assert failures(run(samples(), tmp_path)) == {}


# --- labels ---------------------------------------------------------------------------------------


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


# --- inputs that are no sources -------------------------------------------------------------------


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
    with pytest.raises(BadSampleError, match="what is no source is named in other_inputs"):
        run(data, tmp_path, name="u.zarr", fun=attend, sources=("x", "mask", "day", "patch"))
    with pytest.raises(ValueError, match=r"lack \['mask'\], which are among other_inputs"):
        run(data, tmp_path, other_inputs=("mask",), columns=Columns(inputs=("x",)))


# --- the bias -------------------------------------------------------------------------------------


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
