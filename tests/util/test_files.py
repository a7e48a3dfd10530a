"""Files and folders are there whole or not at all, and nobody else's is replaced."""

import contextlib
import signal
import tempfile
from pathlib import Path

import pytest

from rfp_jax._util.files import atomic_file, atomic_files, atomic_folder, new_folder


def fill(place, interfere):
    """Make a folder with a file in it; something happens before it is finished."""
    with new_folder(place) as unfinished:
        (unfinished / "mine").touch()
        interfere()


def test_it_is_there_with_its_parents(tmp_path):
    fill(tmp_path / "parent" / "new", lambda: None)
    assert [path.name for path in (tmp_path / "parent" / "new").iterdir()] == ["mine"]


def test_what_another_made_meanwhile_is_left_as_it_is(tmp_path):
    place = tmp_path / "new"
    with pytest.raises(FileExistsError, match="exists already and is left as it is"):
        fill(place, place.mkdir)  # empty: a rename alone would replace it
    assert list(tmp_path.rglob("*")) == [place]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_remains_of_what_was_not_finished(error, tmp_path):
    def fail():
        raise error

    with pytest.raises(error):
        fill(tmp_path / "parent" / "new", fail)
    assert list(tmp_path.iterdir()) == []


def stop(unfinished, write):
    """Write something, and be interrupted before it is complete."""
    with unfinished as place:
        write(place)
        raise KeyboardInterrupt


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "a.json"
    with atomic_file(path, durable=True) as draft:
        draft.write_text("first")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt):
        stop(atomic_file(path), lambda draft: draft.write_text("half of the sec"))
    assert path.read_text() == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_files_of_one_run_appear_together_beside_others(tmp_path):
    (tmp_path / "other").write_text("stays")
    with pytest.raises(KeyboardInterrupt):
        stop(atomic_files(tmp_path), lambda folder: (folder / "a").write_text(""))
    assert [each.name for each in tmp_path.iterdir()] == ["other"]
    with atomic_files(tmp_path) as folder:
        for name in ("a", "b"):
            (folder / name).write_text(name)
        assert not (tmp_path / "a").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b", "other"]


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path):
    place = tmp_path / "network"
    with atomic_folder(place) as unfinished:
        (unfinished / "old").write_text("")
    with pytest.raises(KeyboardInterrupt):
        stop(atomic_folder(place), lambda folder: (folder / "left").write_text(""))
    assert names(tmp_path) == ["network", "network/old"]  # what was unfinished is gone
    with atomic_folder(place) as unfinished:
        (unfinished / "new").write_text("")
    assert names(tmp_path) == ["network", "network/new"]


def names(folder):
    """List all that is in a folder, at any depth."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("finished", [False, True])
def test_a_folder_that_a_kill_left_beside_its_place_is_not_lost(finished, tmp_path):
    """The state between the two renames: nothing in the place, the old and the new beside it."""
    for name in (".network.old/old", ".network.unfinished/half"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    with contextlib.suppress(ValueError), atomic_folder(tmp_path / "network") as unfinished:
        assert names(unfinished) == []
        assert names(tmp_path / "network") == ["old"]
        (unfinished / "new").write_text("")
        if not finished:
            raise ValueError
    kept = "network/new" if finished else "network/old"
    assert names(tmp_path) == ["network", kept]


def test_a_folder_comes_back_where_the_new_one_cannot_take_its_place(tmp_path):
    place = tmp_path / "network"
    with atomic_folder(place) as unfinished:
        (unfinished / "old").write_text("")
    with pytest.raises(FileNotFoundError), atomic_folder(place) as unfinished:
        unfinished.rmdir()
    assert names(tmp_path) == ["network", "network/old"]


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_ctrl_c_between_the_renames_of_a_folder_waits(tmp_path, monkeypatch):
    place = tmp_path / "network"
    (place / "old").mkdir(parents=True)
    rename = Path.rename

    def interrupted(self, target):
        made = rename(self, target)
        if self == place:
            signal.raise_signal(signal.SIGINT)
        return made

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(place) as unfinished:
        (unfinished / "new").write_text("")
    assert names(tmp_path) == ["network", "network/new"]


@pytest.mark.usefixtures("ctrl_c_is_heard")
@pytest.mark.parametrize("context", [new_folder, atomic_files])
def test_ctrl_c_right_after_the_folder_is_made_leaves_nothing(context, tmp_path, monkeypatch):
    make = tempfile.mkdtemp

    def interrupted(*arguments, **options):
        made = make(*arguments, **options)
        signal.raise_signal(signal.SIGINT)  # before anybody could know that it must go again
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), context(tmp_path / "out"):
        pytest.fail("the block was entered")
    assert [path for path in tmp_path.rglob("*") if path.name != "out"] == []
    assert signal.getsignal(signal.SIGINT) is before
