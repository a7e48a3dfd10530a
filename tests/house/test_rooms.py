"""Rooms of tests: pytest imports a file by its name alone, so each name is there once."""

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_two_files_of_tests_have_one_name():
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert len(names) > 100
    assert max(names.values()) == 1, names.most_common(3)


def test_settings_of_a_room_are_not_collected_as_a_module(pytestconfig):
    assert len(list(TESTS.rglob("conftest.py"))) > 1
    assert "*/conftest.py" in pytestconfig.getoption("ignore_glob")
