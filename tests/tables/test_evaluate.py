"""Whole data sets: the table against NumPy by hand, bad samples, refusals, resuming."""

import dataclasses
import fcntl
import functools
import json
import warnings
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import rfp_jax
from rfp_jax import tables
from rfp_jax.tables import (
    BadSampleError,
    Columns,
    RunOptions,
    TableInUseError,
    TableMismatchError,
    evaluate,
)
from rfp_jax.tables._evaluate import fingerprint
from rfp_jax.tables._evaluate.devices import batched, compile_batch, compile_largest
from rfp_jax.tables._evaluate.journal import Journal
from rfp_jax.tables._evaluate.plan import Chunks, Slots
from rfp_jax.tables._evaluate.rows import compute
from rfp_jax.tables._evaluate.samples import Keys, Reader
from rfp_jax.tables._evaluate.schema import infer, look, spaced

SOURCES, CLASSES = ("optical", "sar"), ("water", "forest", "urban")
RNG = np.random.default_rng(0)
PARAMS = {
    "optical": RNG.normal(size=(8, 3)).astype(np.float32),
    "sar": RNG.normal(size=(4, 3)).astype(np.float32),
    "bias": np.array([0.5, -1.0, 0.0], np.float32),
}


def model(params, optical, sar):
    return optical @ params["optical"] + sar @ params["sar"] + params["bias"][None]


def sample(index):
    rng = np.random.default_rng(index)
    return {
        "optical": rng.normal(size=8).astype(np.float32),
        "sar": rng.normal(size=4).astype(np.float32),
        "label": index % 3,
        "id": f"patch-{index}",
        "cloud_cover": index / 100,
        "cloudy": index % 2 == 0,
        "season": "spring" if index < 10 else "été",
    }


class Patches:
    """Samples that are made when they are asked for, some of them spoilt; counts what was read."""

    def __init__(self, count=21, spoil=None):
        self.count, self.spoil, self.read = count, spoil or {}, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        return self.spoil.get(index, lambda s: s)(sample(index))


def by_hand(count):
    """Relevance of the linear model, written out in NumPy in float64."""
    relevance = np.empty((count, 3, 3))
    for i in range(count):
        relevance[i, 0] = sample(i)["optical"].astype(float) @ PARAMS["optical"].astype(float)
        relevance[i, 1] = sample(i)["sar"].astype(float) @ PARAMS["sar"].astype(float)
        relevance[i, 2] = PARAMS["bias"]
    return relevance


def grouped(arguments, group, **defaults):
    """Take the arguments of a group out of all."""
    names = {field.name for field in dataclasses.fields(group)} & set(arguments)
    return group(**defaults | {name: arguments.pop(name) for name in names})


def run(data, path, **changes):
    arguments = {"fun": model, "params": PARAMS, "sources": SOURCES, "classes": CLASSES} | changes
    arguments["columns"] = grouped(arguments, Columns, metadata=("cloud_cover", "cloudy", "season"))
    arguments["run"] = grouped(arguments, RunOptions, chunk=8, batch=3, threads=2, progress=False)
    return evaluate(arguments.pop("fun"), data, path, **arguments)


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


# --- the table ------------------------------------------------------------------------------------


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


# --- bad samples ----------------------------------------------------------------------------------


def unreadable(_):
    raise OSError("truncated\n  file")


def without(key):
    return lambda s: {k: v for k, v in s.items() if k != key}


def changed(**values):
    return lambda s: s | values


BAD = {
    0: (
        changed(optical=np.zeros(5, np.float32)),
        "ValueError: 'optical' must have the shape (8,), got",
    ),
    2: (unreadable, "OSError: truncated file"),
    3: (changed(sar=np.float32([1, np.nan, np.inf, 0])), "'sar': 2 of 4 values are not finite"),
    5: (without("sar"), "no 'sar' in the sample, which has 'optical', 'label'"),
    9: (list, "a sample must be a mapping of names to arrays, got list"),
    10: (changed(label=3), "the label: 3 is not the number of a class, there are 3"),
    11: (changed(optical=np.zeros(8, np.int32)), "'optical' must be floating point, got int32[8]"),
    12: (changed(cloud_cover="much"), "metadata 'cloud_cover': must be a number, got 'much'"),
    13: (without("label"), "no 'label' in the sample"),
}


def test_bad_samples_are_recorded_and_the_rest_goes_on(tmp_path, capsys):
    data = Patches(spoil={index: spoil for index, (spoil, _) in BAD.items()})
    table = run(data, tmp_path / "t.zarr", progress=True).load()
    good = np.array([i not in BAD for i in range(21)])
    np.testing.assert_allclose(table.relevance[good], by_hand(21)[good], rtol=1e-5, atol=1e-5)
    assert np.isnan(table.relevance[~good]).all()
    assert np.isnan(table.output[~good]).all()
    assert (table.finite.values == good).all()
    assert (table.prediction.values[~good] == -1).all()
    assert ((table.failure.values == "") == good).all()
    for index, (_, reason) in BAD.items():
        assert reason in table.failure.values[index]
    assert table.id.values[3] == "patch-3"  # what could be read is kept
    assert table.label.values[3] == 0
    assert table.id.values[2] == "2"  # nothing could be read: the index
    summary = tables.summary(table)
    assert (summary["samples"], summary["failures"], summary["nonfinite"]) == (21, len(BAD), 0)
    printed = capsys.readouterr().err
    assert "21/21" in printed
    assert f"{len(BAD)} failed" in printed
    assert "samples/s" in printed
    assert "truncated file" in printed


def test_failed_samples_keep_given_ids(tmp_path):
    ids = [f"s2_{i}.tif" for i in range(21)]
    table = run(Patches(spoil={2: unreadable}), tmp_path / "t.zarr", ids=ids)
    assert tables.first_failures(table, 5) == [("s2_2.tif", "OSError: truncated file")]


def test_strict_stops_at_the_first_and_keeps_what_is_committed(tmp_path):
    data = Patches(spoil={17: unreadable, 18: unreadable})
    with pytest.raises(BadSampleError, match=r"sample 17 \(17\): OSError: truncated file") as error:
        run(data, tmp_path / "t.zarr", strict=True)
    assert "the same call goes on there" in error.value.__notes__[0]
    table = tables.open(tmp_path / "t.zarr", incomplete=True)
    np.testing.assert_allclose(table.relevance, by_hand(16), rtol=1e-5, atol=1e-5)


def exploding(params, optical, sar):
    return optical @ params["optical"] + jnp.exp(100 * sar) @ params["sar"]


@pytest.mark.parametrize("strict", [False, True])
def test_overflow_is_flagged(tmp_path, strict):
    data = Patches(spoil={4: changed(sar=np.float32([9, 0, 0, 0]))})
    others = {i: changed(sar=np.zeros(4, np.float32)) for i in range(21) if i != 4}
    data.spoil |= others
    if strict:
        with pytest.raises(
            BadSampleError, match=r"sample 4 \(patch-4\): output or relevance is not"
        ):
            run(data, tmp_path / "t.zarr", fun=exploding, strict=True)
        return
    table = run(data, tmp_path / "t.zarr", fun=exploding)
    assert np.flatnonzero(~table.finite.values).tolist() == [4]
    assert table.failure.values[4] == ""
    assert not np.isfinite(table.relevance[4]).all()
    summary = tables.summary(table)
    assert (summary["failures"], summary["nonfinite"]) == (0, 1)


def test_no_readable_sample(tmp_path):
    data = Patches(3, spoil=dict.fromkeys(range(3), unreadable))
    with pytest.raises(ValueError, match=r"none of 3 samples can be read:\n  0: OSError"):
        run(data, tmp_path / "t.zarr")
    assert not list(tmp_path.iterdir())


# --- resuming -------------------------------------------------------------------------------------


def test_resuming_reads_only_what_is_missing_and_gives_the_same_bytes(tmp_path):
    run(Patches(), tmp_path / "whole.zarr")
    with pytest.raises(BadSampleError):
        run(Patches(spoil={18: unreadable}), tmp_path / "t.zarr", strict=True)
    data = Patches()
    run(data, tmp_path / "t.zarr")
    assert sorted(data.read) == sorted([*spaced(21), *range(16, 21)])
    assert files(tmp_path / "t.zarr") == files(tmp_path / "whole.zarr")


def test_a_complete_table_is_not_computed_again(tmp_path):
    run(Patches(), tmp_path / "t.zarr")
    before = files(tmp_path / "t.zarr")
    data = Patches()
    table = run(data, tmp_path / "t.zarr", batch=None)
    assert data.read == spaced(21)
    assert table.attrs["complete"]
    assert files(tmp_path / "t.zarr") == before
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]


def test_an_incomplete_table_is_never_taken_for_complete(tmp_path):
    path = tmp_path / "t.zarr"
    with pytest.raises(BadSampleError):
        run(Patches(spoil={9: unreadable}), path, strict=True)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        xr.open_zarr(path)
    with pytest.raises(
        tables.IncompleteTableError, match="1 of 3 chunks are there; call evaluate again"
    ):
        tables.open(path)
    (tmp_path / "t.zarr.partial/table.zarr/zarr.0f.partial").write_text("half of what was writ")
    part = tables.open(path, incomplete=True)
    assert part.sizes["sample"] == 8
    assert part.attrs["complete"] == 0
    root = json.loads((path.parent / "t.zarr.partial/table.zarr/zarr.json").read_text())
    assert root["attributes"]["complete"] == 0


def relu_model(params, optical, sar):
    return jax.nn.relu(model(params, optical, sar))


def scaled(factor):
    def explain(fun, argnums, rules):
        def explained(params, *inputs):
            found = rfp_jax.relevance(fun, argnums)(params, *inputs)
            return found._replace(sources=tuple(factor * s for s in found.sources))

        return explained

    return explain


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("model.parameters", {"params": PARAMS | {"bias": PARAMS["bias"] + 1}}),
        ("model.program", {"fun": relu_model}),
        ("model.manifest.epoch: nothing in the table, 3 now", {"manifest": {"epoch": 3}}),
        ("model.program", {"method": scaled(1.0 + 1e-6)}),
        ("method: ", {"method": functools.partial(rfp_jax.relevance, has_aux=False)}),
        (
            'rules: "lrp0" in the table, "other" now',
            {"rules": rfp_jax.rules.lrp0.override(lambda equation: False, rfp_jax.rules.lrp0)},
        ),
        ("data.samples: 21 in the table, 20 now", {"data": Patches(20)}),
        ("data.contents", {"data": Patches(spoil={13: changed(label=2)})}),
        (
            'data.arguments.split: nothing in the table, "val" now',
            {"data_arguments": {"split": "val"}},
        ),
        ("sources: ", {"sources": ("s2", "s1"), "inputs": SOURCES}),
        ("classes: ", {"classes": ("a", "b", "c")}),
        ("data.metadata.cloud_cover: ", {"metadata": ("cloudy",)}),
        ("data.keys.label: ", {"label": "season", "labels": "class"}),
        ("chunk: 8 in the table, 9 now", {"chunk": 9}),
        ("batch: 3 in the table, 5 now", {"batch": 5}),
        (
            "data.contents.metadata.cloud_cover: ",
            {"data": Patches(spoil={13: changed(cloud_cover=1.0)})},
        ),
        ('bias: "by the method" in the table, "share" now', {"bias": "share"}),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_another_run_is_refused_and_the_difference_named(tmp_path, named, change, complete):
    path = tmp_path / "t.zarr"
    if complete:
        run(Patches(), path)
    else:
        with pytest.raises(BadSampleError):
            run(Patches(spoil={9: unreadable}), path, strict=True)
    before = files(tmp_path)
    change = dict(change)
    with pytest.raises(TableMismatchError) as error:
        run(change.pop("data", Patches()), path, **change)
    named = named.replace('"other"', '"lrp0 (lrp0 in places)"')
    assert f"\n  {named}" in str(error.value)
    assert files(tmp_path) == before


def test_the_same_program_has_the_same_fingerprint_however_it_was_traced(tmp_path):
    run(Patches(), tmp_path / "t.zarr", fun=relu_model)
    jax.clear_caches()
    run(Patches(), tmp_path / "t.zarr", fun=functools.partial(relu_model))


def looped(fun):
    return lambda x: jax.lax.fori_loop(0, 3, lambda _, y: fun(y), x)


PROGRAMS = [
    jnp.sin,
    jnp.cos,
    lambda x: x * 2.0,
    lambda x: x * 3.0,
    lambda x: x * np.arange(4.0, dtype=np.float32),
    lambda x: x * np.arange(1.0, 5.0, dtype=np.float32),
    lambda x: x - 1.0,
    lambda x: 1.0 - x,
    lambda x: x + x * x,
    lambda x: x * (x + x),
    lambda x: x[:3],
    lambda x: x[1:],
    looped(jnp.sin),
    looped(jnp.cos),
    lambda x: jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x),
    lambda x: jax.lax.cond(x[0] > 0, jnp.cos, jnp.sin, x),
]


def test_other_programs_have_other_fingerprints():
    x = np.ones(4, np.float32)
    prints = [fingerprint.hash_program(program, x) for program in PROGRAMS]
    assert len(set(prints)) == len(PROGRAMS)
    jax.clear_caches()
    again = [fingerprint.hash_program(lambda x, p=program: p(x), x) for program in PROGRAMS]
    assert again == prints


def test_jitted_parts_have_one_fingerprint_whatever_they_are_called():
    def square(x):
        return x * x

    def other(x):
        return x * x

    x = np.ones(4, np.float32)
    shared = jax.jit(square)
    once = fingerprint.hash_program(lambda x: shared(x) + shared(x + 1), x)
    apart = fingerprint.hash_program(lambda x: jax.jit(square)(x) + jax.jit(other)(x + 1), x)
    assert once == apart


def test_a_second_run_refuses(tmp_path):
    path = tmp_path / "t.zarr"
    with Journal(path).locked(), pytest.raises(TableInUseError, match="another run is writing"):
        run(Patches(), path)
    run(Patches(), path)


def test_the_lock_of_a_run_that_has_just_finished_does_not_count(tmp_path, monkeypatch):
    journal, flock = Journal(tmp_path / "t.zarr"), fcntl.flock

    def finishing_first(handle, operation):  # the other run removes its lock between open and flock
        monkeypatch.setattr(fcntl, "flock", flock)
        (journal.folder / "lock").unlink()
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", finishing_first)
    with journal.locked(), pytest.raises(TableInUseError), journal.locked():
        pass


def test_what_is_no_table_is_left_alone(tmp_path):
    path = tmp_path / "photos"
    path.mkdir()
    (path / "holiday.jpg").write_bytes(b"sea")
    with pytest.raises(FileExistsError, match="not a relevance table"):
        run(Patches(), path)
    assert files(tmp_path) == {"photos/holiday.jpg": b"sea"}


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": ("a",), "inputs": SOURCES}, "1 sources are named, but the function has 2"),
        ({"classes": ("a", "b")}, "must return one array of 2 classes a sample"),
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


# --- parts ----------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    samples=st.integers(1, 60),
    size=st.integers(1, 20),
    batch=st.integers(1, 25),
    keep=st.integers(0, 2**60 - 1),
)
def test_every_sample_has_one_slot_whatever_else_is_to_do(samples, size, batch, keep):
    chunks = Chunks(samples, size)
    every = range(len(chunks))
    todo = [chunk for chunk in every if keep >> chunk & 1]
    slots, all_slots = Slots(chunks, todo, batch), Slots(chunks, every, batch)
    found = [sample for sample in slots if sample is not None]
    assert found == [s for chunk in todo for s in range(samples)[chunks.bounds(chunk)]]
    assert len(slots) % batch == 0
    place = {sample: slot % batch for slot, sample in enumerate(all_slots)}
    assert all(place[s] == slot % batch for slot, s in enumerate(slots) if s is not None)


def reader_of(data, sources=SOURCES, classes=CLASSES):
    columns = Columns()
    reader = Reader(data, columns, Keys.from_columns(columns, sources, ()), tuple(classes))
    return reader, infer(reader, look(reader, None), None, lambda inputs, is_labeled: None)


def test_the_next_batch_is_sent_before_the_last_is_fetched():
    log = []

    class Result:
        def __init__(self, number):
            self.number = number

        def __array__(self, dtype=None, copy=None):
            log.append(f"fetch {self.number}")
            return np.zeros((4, 3, 3), np.float32)

    class Step:
        samples = batch = 4

        def __call__(self, inputs):
            number = sum(line.startswith("send") for line in log)
            log.append(f"send {number}")
            return Result(number), np.zeros((4, 3), np.float32)

    reader, schema = reader_of(Patches(12))
    rows = compute(Slots(Chunks(12, 12), (0,), 4), reader, schema, Step(), threads=2)
    assert [row.sample.number for batch in rows for row in batch] == list(range(12))
    assert log == ["send 0", "send 1", "fetch 0", "send 2", "fetch 1", "fetch 2"]


def wide(params, x):
    return jnp.tanh(jnp.sort(x @ params["in"], axis=-1) @ params["out"])


def test_batch_follows_the_memory_budget():
    params = {"in": np.ones((32, 4096), np.float32), "out": np.ones((4096, 8), np.float32)}
    data = [{"x": np.zeros(32, np.float32)}]
    _, schema = reader_of(data, ("x",), map(str, range(8)))
    batches = []
    for memory in (1 << 20, 1 << 21, 1 << 22, 1 << 23):
        step = compile_largest(wide, params, schema, jax.devices(), max_bytes=memory, largest=256)
        assert step.bytes <= memory
        assert step.batch & (step.batch - 1) == 0
        if step.batch < 256:  # the next larger one would not fit
            assert compile_batch(wide, params, schema, 2 * step.batch, jax.devices()).bytes > memory
        result = step([np.zeros((step.samples, 32), np.float32)])
        assert result.shape == (step.samples, 8)
        batches.append(step.batch)
    assert batches == sorted(batches)
    assert len(set(batches)) > 1
    assert batched(schema, 5)[0].shape == (5, 32)


def test_public_path_types(tmp_path):
    table = run(Patches(3), str(tmp_path / "deep" / "er" / "t.zarr"))
    assert Path(tmp_path / "deep/er/t.zarr").is_dir()
    assert table.sizes["sample"] == 3
