"""Five hundred mutated files of every format."""

import pytest
from mutants import FORMATS, fuzz


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(FORMATS))
def test_no_mutated_file_takes_much_or_ends_in_another_error(name, tmp_path):
    seen = fuzz(name, 500, 1, tmp_path)
    assert sum(seen.values()) == 500
    assert seen["refused"] > 200
