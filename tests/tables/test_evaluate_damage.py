"""Commitments are proved: files removed, cut, flipped and swapped never pass for a table."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from rfp_jax import tables
from rfp_jax._runs.partial import Partial
from rfp_jax.tables import BadSampleError, DamagedTableError, RunOptions, TableFormatError, evaluate
from rfp_jax.tables._evaluate.journal import Journal
from tests.stress.damage import fuzz

WEIGHTS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


class Patches:
    """Samples that are made when they are asked for; counts what was read."""

    def __init__(self, count=20, bad=()):
        self.count, self.bad, self.read = count, bad, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        if index in self.bad:
            raise OSError("truncated file")
        optical, sar = np.random.default_rng(index).normal(size=(2, 5)).astype(np.float32)
        return {"optical": optical, "sar": sar, "label": index % 3, "id": f"p{index}"}


def model(weights, optical, sar):
    return optical @ weights + 2 * sar @ weights


def run(path, data=None, **options):
    return evaluate(
        model,
        data or Patches(),
        path,
        params=WEIGHTS,
        sources=("optical", "sar"),
        classes=("water", "forest", "urban"),
        run=RunOptions(**{"chunk": 4, "batch": 2, "threads": 0, "progress": False} | options),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "t.zarr"
    run(path)
    return path


@pytest.fixture
def path(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "t.zarr")
    return tmp_path / "t.zarr"


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def unlink(file):
    file.unlink()


def cut(file):
    file.write_bytes(file.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("how", "words"), [(unlink, "is missing"), (cut, r"holds \d+ bytes, \d+ were written")]
)
@pytest.mark.parametrize(
    ("file", "samples"),
    [
        ("relevance/c.3.0.0", r" \(samples 12 to 15\)"),
        ("finite/c.0", r" \(samples 0 to 3\)"),
        ("id/zarr.json", ""),
        ("class/c.0", ""),
    ],
)
def test_opening_names_what_is_missing_or_cut(path, how, words, file, samples):
    how(path / file)
    with pytest.raises(DamagedTableError, match=f"{file}{samples} {words}") as error:
        tables.open(path)
    assert str(path) in str(error.value)
    assert "Call evaluate again with the same arguments" in str(error.value)


def test_a_table_copied_without_some_chunks_is_not_taken_for_whole(path, whole):
    expected = tables.summary(tables.open(whole))
    for chunk in (path / "relevance").glob("c.[13]*"):
        chunk.unlink()
    with pytest.raises(DamagedTableError, match=r"relevance/c\.1\.0\.0"):
        tables.open(path)
    plain = xr.open_zarr(path)  # whoever does not ask the proof sees a contradiction
    for ask in (
        tables.summary,
        tables.share,
        tables.accuracy,
        lambda t: tables.select_class(t, "water"),
    ):
        with pytest.raises(DamagedTableError, match=r"8 samples|4 samples.*p4"):
            ask(plain)
    data = Patches()
    assert tables.summary(run(path, data)) == expected
    assert set(range(4, 8)) | set(range(12, 16)) <= set(data.read)
    assert files(path) == files(whole)


@pytest.mark.parametrize("where", ["relevance/c.2.0.0", "label/c.0", "id/c.4", "source/c.0"])
def test_a_flipped_bit_is_named_where_it_is_read(path, where, whole):
    flip(path / where)
    with pytest.raises(DamagedTableError, match=f"{where} holds other bytes than were written"):
        tables.open(path).load()
    with pytest.raises(DamagedTableError, match=where):
        tables.open(path, thorough=True)
    with pytest.raises(Exception, match=r"checksum|Crc32c|crc32c") as error:
        xr.open_zarr(path).load()  # zarr's own checksum
    assert error.type is not AssertionError
    run(path)
    assert files(path) == files(whole)


def test_a_chunk_in_the_place_of_another_is_found(path, whole):
    """Each of them is sound by its own checksum."""
    shutil.copy(path / "relevance/c.1.0.0", path / "relevance/c.2.0.0")
    xr.open_zarr(path).load()
    with pytest.raises(DamagedTableError, match=r"relevance/c\.2\.0\.0"):
        tables.open(path).load()
    data = Patches()
    run(path, data)
    assert files(path) == files(whole)
    assert {8, 9, 10, 11} <= set(data.read)


def test_opening_does_not_read_the_chunks(path, monkeypatch):
    read, read_bytes = [], Path.open

    def opened(self, *arguments, **options):
        read.append(self)
        return read_bytes(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    table = tables.open(path)
    assert not [file for file in read if re.fullmatch(r"c\.\d+\.0\.0", file.name)]
    assert table.sizes["sample"] == 20


def test_markers_of_a_table_that_was_removed_prove_nothing(tmp_path, whole, monkeypatch):
    """A kill just after publication leaves the folder; the table is removed; the next run."""
    path = tmp_path / "t.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(Partial, "remove", lambda self: None)
        run(path)
    assert (tmp_path / "t.zarr.partial/chunks/000000.json").exists()
    shutil.rmtree(path)
    run(path)
    assert files(path) == files(whole)


@pytest.mark.parametrize("lost", ["t.zarr.partial/table.zarr", "t.zarr.partial/table.zarr/output"])
def test_a_partial_table_without_its_files_is_computed_again(tmp_path, whole, lost):
    path = tmp_path / "t.zarr"
    with pytest.raises(BadSampleError):
        run(path, Patches(bad=[17]), strict=True)
    shutil.rmtree(tmp_path / lost)
    run(path)
    assert files(path) == files(whole)


def test_markers_count_for_their_table_and_their_chunk(tmp_path, whole):
    path = tmp_path / "t.zarr"
    with pytest.raises(BadSampleError):
        run(path, Patches(bad=[17]), strict=True)
    chunks = tmp_path / "t.zarr.partial/chunks"
    shutil.copy(chunks / "000000.json", chunks / "000004.json")
    marker = json.loads((chunks / "000001.json").read_text())
    marker["attributes"]["record"]["counts"]["failures"] = 3
    (chunks / "000001.json").write_text(json.dumps(marker))
    data = Patches()
    run(path, data)
    assert set(data.read) >= {4, 5, 6, 7, 16, 17, 18, 19}
    assert files(path) == files(whole)


@pytest.mark.parametrize("damage", [flip, cut, unlink])
def test_a_table_that_no_longer_says_what_it_is(path, damage):
    damage(path / "zarr.json")
    for ask in (tables.open, run):
        with pytest.raises(DamagedTableError, match=f"{path}/zarr.json.*restore.*or remove {path}"):
            ask(path)
    assert (path / "relevance/c.0.0.0").exists()  # nothing is thrown away


def test_what_is_computed_anew_is_said(path, capsys):
    (path / "label/c.3").unlink()
    run(path, progress=True)
    assert "label/c.3 (samples 12 to 15) is missing: computed anew" in capsys.readouterr().err


def test_a_lost_proof_means_computing_anew(path, whole):
    (path / "proof/zarr.json").unlink()
    with pytest.raises(DamagedTableError, match=r"proof/zarr\.json is missing or damaged"):
        tables.open(path)
    run(path)
    assert files(path) == files(whole)


def test_a_repair_that_is_killed_goes_on(path, whole, monkeypatch):
    (path / "label/c.3").unlink()
    commit = Journal.commit
    monkeypatch.setattr(Journal, "commit", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        run(path)
    assert not path.exists()
    with pytest.raises(tables.IncompleteTableError, match="4 of 5 chunks"):
        tables.open(path)
    monkeypatch.setattr(Journal, "commit", commit)
    data = Patches()
    run(path, data)
    assert files(path) == files(whole)


def test_files_that_change_while_they_are_written_are_not_published(tmp_path, whole):
    path, commit = tmp_path / "t.zarr", Journal.commit

    def losing(self, chunk, *arguments):
        commit(self, chunk, *arguments)
        if chunk == 4:
            flip(self.table / "relevance/c.1.0.0")

    try:
        Journal.commit = losing
        with pytest.raises(DamagedTableError, match="of the chunks 1: call evaluate again"):
            run(path)
    finally:
        Journal.commit = commit
    run(path)
    assert files(path) == files(whole)


@pytest.mark.parametrize("complete", [True, False])
def test_a_table_of_the_first_edition_is_refused_with_the_remedy(tmp_path, complete):
    path = tmp_path / "t.zarr"
    folder = path if complete else tmp_path / "t.zarr.partial/table.zarr"
    folder.mkdir(parents=True)
    attributes = {"complete": complete, "chunk": 4, "data": {"samples": 20}}
    root = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (folder / "zarr.json").write_text(json.dumps(root))
    for ask in (tables.open, run):
        with pytest.raises(TableFormatError, match=r"first edition.*xarray\.open_zarr.*remove it"):
            ask(path)


def test_what_is_written_by_others_is_no_table_of_ours(path, tmp_path):
    tables.open(path).to_zarr(tmp_path / "copy.zarr", zarr_format=2)
    with pytest.raises(FileExistsError, match="not a relevance table"):
        tables.open(tmp_path / "copy.zarr")


def test_everything_of_a_sound_table_is_proved(whole):
    """No file could be changed without being found out."""
    table = tables.open(whole, thorough=True)
    assert table.sizes["sample"] == 20
    proof = json.loads((whole / "proof/zarr.json").read_text())["attributes"]
    proved = set(proof["files"]) | {f for each in proof["chunks"].values() for f in each["files"]}
    assert proved | {"zarr.json", "proof/zarr.json"} == set(files(whole))


def test_damage_at_random(tmp_path):
    """The long form is `make stress`."""
    seen = "\n".join(fuzz(tmp_path, cases=12, seed=3))
    for outcome in ("evaluated: computed anew", "opened: DamagedTableError", "opened: identical"):
        assert outcome in seen
