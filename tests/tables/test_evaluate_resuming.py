"""Runs go on where they were interrupted, and are told from other runs."""

import functools
import json

import jax
import pytest
import xarray as xr

import rfp_jax
from rfp_jax import tables
from rfp_jax.tables import (
    BadSampleError,
    TableInUseError,
    TableMismatchError,
)
from rfp_jax.tables._evaluate.journal import Journal
from rfp_jax.tables._evaluate.schema import spaced
from tests.tables.evaluate_runs import PARAMS, SOURCES, Patches, changed, model, run, unreadable


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


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


def test_a_second_run_refuses(tmp_path):
    path = tmp_path / "t.zarr"
    with (
        Journal(path).partial.locked(),
        pytest.raises(TableInUseError, match="another run is writing"),
    ):
        run(Patches(), path)
    run(Patches(), path)


def test_what_is_no_table_is_left_alone(tmp_path):
    path = tmp_path / "photos"
    path.mkdir()
    (path / "holiday.jpg").write_bytes(b"sea")
    with pytest.raises(FileExistsError, match="not a relevance table"):
        run(Patches(), path)
    assert files(tmp_path) == {"photos/holiday.jpg": b"sea"}
