"""The folder of a result that is not complete: who writes, and what counts as committed."""

import fcntl

import pytest

from rfp_jax._runs import sealed
from rfp_jax._runs.errors import TableInUseError
from rfp_jax._runs.partial import Partial

INTACT = {0: True, 1: False, 2: False, 3: True, 5: True, 6: False}
"""Committed chunks, and whether their files are what was committed; 4 and 7 are not committed."""


@pytest.fixture
def result(tmp_path):
    """The folder of a result, its files, and the files that are read from now on."""
    partial, files = Partial(tmp_path / "result"), tmp_path / "files"
    partial.markers.mkdir(parents=True)
    files.mkdir()
    for chunk, intact in INTACT.items():
        file = files / str(chunk)
        file.write_bytes(b"as it was")
        partial.commit("this", chunk, {"files": {file.name: sealed.stamp(file)}})
        file.write_bytes(b"as it was" if intact else b"as it is.")
    return partial, files


def committed(partial, files, identity="this", **options):
    options = {"thorough": False} | options
    found = partial.committed(identity, files, range(8), **options)
    return [chunk for chunk, record in enumerate(found) if record]


def test_sizes_alone_do_not_tell_what_was_changed(result):
    assert committed(*result) == [0, 1, 2, 3, 5, 6]
    assert committed(*result, thorough=True) == [0, 3, 5]


def test_several_processes_look_for_damage_and_nobody_reads_twice(result, monkeypatch):
    partial, files = result
    read, stamp = [], sealed.stamp
    monkeypatch.setattr(sealed, "stamp", lambda path: (read.append(int(path.name)), stamp(path))[1])
    partial.forget_damaged("this", files, (1, 3, 5, 7))
    assert read == [1, 3, 5]
    assert committed(partial, files) == [0, 2, 3, 5, 6]  # all hear of it
    partial.forget_damaged("this", files, (0, 2, 4, 6))
    assert committed(partial, files) == [0, 3, 5]
    assert read == [1, 3, 5, 0, 2, 6]


def test_a_marker_counts_for_its_result_and_its_chunk(result):
    partial, files = result
    assert committed(partial, files, "another") == []
    partial.marker(3).rename(partial.marker(4))
    assert committed(partial, files, thorough=True) == [0, 5]
    partial.marker(5).write_text(partial.marker(5).read_text().replace('"5"', '"0"'))
    assert committed(partial, files, thorough=True) == [0]  # it is not what was sealed


def test_what_was_committed_can_be_forgotten(result):
    partial, files = result
    partial.forget()
    assert committed(partial, files) == []


def test_one_writes(tmp_path):
    partial = Partial(tmp_path / "result")
    with partial.locked():
        with pytest.raises(TableInUseError, match="another run is writing"), partial.locked():
            pass
        partial.clear()
        assert partial.arrived.is_dir()
        partial.remove()
    assert not partial.folder.exists()


def test_the_lock_of_a_run_that_has_just_finished_does_not_count(tmp_path, monkeypatch):
    partial, flock = Partial(tmp_path / "result"), fcntl.flock

    def finishing_first(handle, operation):  # the other run removes its lock between open and flock
        monkeypatch.setattr(fcntl, "flock", flock)
        (partial.folder / "lock").unlink()
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", finishing_first)
    with partial.locked(), pytest.raises(TableInUseError), partial.locked():
        pass
