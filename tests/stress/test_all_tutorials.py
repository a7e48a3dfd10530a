"""Every tutorial runs from its text form, as a notebook."""

import pytest

from tests.docs.notebooks import FOLDER, run


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_tutorial_runs(name, tmp_path):
    run(name, tmp_path)
