"""The confusion matrix of a table, and the CSV file of what its report shows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rfp_jax.tables import _query
from rfp_jax.tables._report.facts import Facts

if TYPE_CHECKING:
    import xarray as xr

MOST_CLASSES = 40
"""A larger matrix cannot be read on a page."""


class Cell(NamedTuple):
    """A cell of the confusion matrix: a number of samples.

    Attributes:
        samples: how many.
        part: of the samples of the true class, between 0 and 1.
        right: whether both are the same class.
    """

    samples: int
    part: float
    right: bool


class MatrixRow(NamedTuple):
    """The samples of a true class.

    Attributes:
        name: of the class.
        cells: by predicted class.
    """

    name: str
    cells: list[Cell]


def confusion(facts: Facts) -> list[MatrixRow]:
    """Count how often samples of each true class are taken for each class.

    Args:
        facts: of the table.

    Returns:
        A row for each true class; none without labels of one class per sample, and for more than 40
        classes.
    """
    count = len(facts.classes)
    if not facts.labeled or not 1 < count <= MOST_CLASSES:
        return []
    matrix = np.zeros((count, count), int)
    np.add.at(matrix, (facts.chosen, facts.predicted), 1)
    parts = matrix / matrix.sum(1, keepdims=True).clip(1)
    return [
        MatrixRow(name, [Cell(int(n), float(parts[k, j]), j == k) for j, n in enumerate(matrix[k])])
        for k, name in enumerate(facts.classes)
    ]


def samples_csv(table: xr.Dataset, metadata: Sequence[str]) -> str:
    """The samples that the page shows, as a CSV file.

    Args:
        table: the samples, in memory.
        metadata: names of their metadata.

    Returns:
        The file's text. It has a row per sample: id, class that is looked at, output and relevance
        of each source and of the bias for it, share of each source, and all metadata, in full.
    """
    which = _query.default_target(table)
    relevance = _query.select_class(table, which)
    shares = _query.share(table, which)
    output = table.output.values
    chosen = table.label.values if which == "label" else output.argmax(1)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(
        [
            *("id", "class", "predicted", "output"),
            *(f"relevance of {name}" for name in map(str, relevance.source.values)),
            *(f"share of {name}" for name in map(str, shares.source.values)),
            *metadata,
        ]
    )
    names = list(map(str, table["class"].values))
    for row, k in enumerate(chosen.tolist()):
        cells = [table.id.values[row], names[k], names[int(output[row].argmax())], output[row, k]]
        cells += [*relevance.values[row], *shares.values[row]]
        cells += [table[name].values[row] for name in metadata]
        writer.writerow([_plain(cell) for cell in cells])
    return buffer.getvalue()


def _plain(cell: object) -> object:
    """Text that a spreadsheet does not take for a formula."""
    value = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
