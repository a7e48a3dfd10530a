"""Odd samples: values, names, times, masks, and first samples that decide nothing."""

import datetime
import os
from fractions import Fraction

import numpy as np
import pytest

from rfp_jax.tables import BadSampleError, Columns, RunOptions, TableMismatchError
from tests.tables.linear_samples import WEIGHTS, failures, run, sample, samples

pytestmark = pytest.mark.usefixtures("small_blocks")

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


def test_times_are_kept(tmp_path):
    berlin = datetime.timezone(datetime.timedelta(hours=2))
    given = [
        np.datetime64("2017-03-01T10:30:00.123456"),
        datetime.datetime(1850, 1, 1, 12, 0),
        datetime.datetime(2017, 7, 1, 12, tzinfo=berlin),
        datetime.date(3017, 7, 1),
        np.datetime64("2016-02-29"),
        np.datetime64("NaT", "s"),
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
    with pytest.raises(ValueError, match=r"int in p0, text in p\d+. Say which kind it is with"):
        run(data, tmp_path, name="u.zarr", columns=Columns(metadata=("m",)))
    data[7]["m"] = "3\0"
    table = run(data, tmp_path, name="u.zarr", columns=Columns(metadata={"m": "text"}))
    assert "'3\\x00' holds a zero byte" in table.failure.values[7]
    data[7]["m"] = "3"
    table = run(data, tmp_path, name="w.zarr", columns=Columns(metadata={"m": "text"}))
    assert list(failures(table)) == list(range(0, 24, 2))
    with pytest.raises(ValueError, match="'number' must be one of bool, int, float, text, time"):
        run(data, tmp_path, name="v.zarr", columns=Columns(metadata={"m": "number"}))


def test_metadata_that_no_table_can_hold(tmp_path):
    data = [each | {"m": Fraction(1, 3)} for each in samples()]
    with pytest.raises(ValueError, match=r"'m' cannot be stored: p0: .* got Fraction"):
        run(data, tmp_path, columns=Columns(metadata=("m",)))
    with pytest.raises(ValueError, match=r"'m' is missing where we looked\. Say which kind"):
        run([each | {"m": None} for each in data], tmp_path, columns=Columns(metadata=("m",)))


def test_the_order_of_bytes_is_the_machines(tmp_path):
    data = [each | {"x": each["x"].astype(">f4")} for each in samples()]
    swapped, plain = run(data, tmp_path), run(samples(), tmp_path, name="u.zarr")
    np.testing.assert_array_equal(swapped.relevance, plain.relevance)


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
