"""A new folder is there whole or not at all, and nobody else's is replaced."""

import pytest

from rfp_jax._util.files import new_folder


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
