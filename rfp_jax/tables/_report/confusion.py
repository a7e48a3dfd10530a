"""The confusion matrix of a table, and the CSV file of what its report shows."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax.tables import _query
from rfp_jax.tables._report.facts import Facts

if TYPE_CHECKING:
    import xarray as xr

MOST_CLASSES = 40
"""A larger matrix cannot be read on a page."""


def confusion(predicted: np.ndarray, facts: Facts) -> str:
    """How often samples of each true class are taken for each class.

    Args:
        predicted: class of each sample of `facts`, [sample].
        facts: of the table.

    Returns:
        HTML of the matrix, rows are true classes; "" without labels of one class a sample, and for
        more than 40 classes.
    """
    count = len(facts.classes)
    if not facts.labelled or not 1 < count <= MOST_CLASSES:
        return ""
    matrix = np.zeros((count, count), int)
    np.add.at(matrix, (facts.chosen, predicted), 1)
    heads = "".join(f"<th>{escape(name)}</th>" for name in facts.classes)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{_row(k, row)}</tr>"
        for k, (name, row) in enumerate(zip(facts.classes, matrix, strict=True))
    )
    return (
        '<h2>Confusion matrix</h2><p class="soft">Samples by true class (rows) and predicted class '
        "(columns); shade: part of the row.</p>"
        '<div class="scroll"><table id="confusion"><thead><tr><th>true \\ predicted</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(true: int, counts: np.ndarray) -> str:
    total = max(int(counts.sum()), 1)
    colour = ("179,38,30", "27,127,75")
    return "".join(
        f'<td style="background:rgba({colour[k == true]},{0.5 * count / total:.3f})">{count}</td>'
        for k, count in enumerate(counts.tolist())
    )


def csv_link(table: xr.Dataset, metadata: Sequence[str]) -> str:
    """A link within the page to a CSV file of the samples that it shows.

    Args:
        table: the samples, in memory.
        metadata: names of their metadata.

    Returns:
        HTML. The file has a row a sample: id, class that is looked at, output and relevance of each
        source and of the bias for it, share of each source, and all metadata, in full.
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
    encoded = base64.b64encode(buffer.getvalue().encode()).decode()
    return f'<a download="samples.csv" href="data:text/csv;base64,{encoded}">samples.csv</a>'


def _plain(cell: object) -> object:
    """Text that a spreadsheet does not take for a formula."""
    value = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
