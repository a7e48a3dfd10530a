"""Print README's first example, a program: `python tests/house/first_example.py | python -`."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def first_example():
    """The first Python block of README."""
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found, "README has no example"
    return found[1]


if __name__ == "__main__":
    print(first_example())
