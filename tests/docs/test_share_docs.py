"""The examples of the page on shares run as they stand, and print what stands below them."""

import contextlib
import io
import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "share.md").read_text()
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


def test_examples_print_what_the_page_shows():
    assert len(EXAMPLE.findall(PAGE)) == PAGE.count("```text\n") == 4
    shown = "".join(found[1] for found in EXAMPLE.findall(PAGE))
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in BLOCK.findall(PAGE):
            exec(compile(block, "share.md", "exec"), names)
    assert printed.getvalue() == shown


def test_numbers_of_the_segmentation_are_those_of_its_page():
    """The table is copied: the page that says how it was measured has the same numbers."""
    experiments = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()
    numbers = re.findall(r"0\.\d{3} ± 0\.\d{3}", PAGE)
    assert len(numbers) == 6
    assert all(number in experiments for number in numbers)
