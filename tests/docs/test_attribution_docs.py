"""The examples of the page on attribution run as they stand; its numbers are those they give."""

import re
from pathlib import Path

import numpy as np

PAGE = (Path(__file__).parents[2] / "docs" / "attribution.md").read_text()


def test_examples_run_and_give_the_numbers_of_the_page(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "attribution.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    for line in lines:
        method, correlation = line.split()
        (said,) = re.findall(rf"attribution\.{method},  # ([\d.]+)", PAGE)
        assert abs(float(correlation) - float(said)) < 2e-3, method
    assert len(lines) == 5
    network, (left, right) = names["network"], (names["left"], names["right"])
    others, params = np.roll(np.arange(len(left)), -1), names["params"]
    best = network(params, left, right).argmax(1)
    changed = [
        np.asarray(network(params, *images).argmax(1) != best)
        for images in ((left[others], right), (left, right[others]))
    ]
    parts = np.stack([np.asarray(part) for part in names["rel"].sources])
    first = np.abs(parts[:, np.arange(len(left)), best]).argmax(0)
    for where, numbers in ((first, "0.672, 0.511"), (np.ones_like(first), "0.644, 0.539")):
        found = np.where(where == 0, *changed).mean(), np.where(where == 1, *changed).mean()
        said = [float(number) for number in numbers.split(", ")]
        np.testing.assert_allclose(found, said, atol=2e-2)
        assert f".others.mean()  # {numbers}" in PAGE
    found = names["found"]
    numbers = re.findall(r"# \[\[(.*?)\], \[(.*?)\]\]", PAGE)
    given = (found.pearson.mean(axis=2), found.mse.mean(axis=2) / found.size.mean(axis=1)[None])
    for said, values in zip(numbers, given, strict=True):
        rows = [[float(number) for number in row.split(", ")] for row in said]
        np.testing.assert_allclose(values, rows, rtol=0.1)
