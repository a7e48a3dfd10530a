"""The rows of a CSV file by the fields of their names."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Table(NamedTuple):
    """The rows of a CSV file.

    Attributes:
        path: of the file.
        keys: those of its columns that are fields of the paths.
        columns: all its columns.
        rows: values of the keys to the whole row.
    """

    path: Path
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: dict[tuple[str, ...], dict[str, str]]


def read_table(path: str | os.PathLike[str], fields: Sequence[str]) -> Table:
    """Read a CSV file with a line of names, in UTF-8.

    Args:
        path: of the file.
        fields: fields of the paths; columns of the same names say which sample a row is about.

    Returns:
        Its rows.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a table, no column is named as a field, a column is named twice,
            a row is longer or shorter than the line of names, or two rows are about one sample.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a CSV file that says more of each sample")
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = tuple(reader.fieldnames or ())
            keys = tuple(name for name in fields if name in columns)
            if not keys or len(set(columns)) < len(columns):
                raise ValueError(
                    f"its columns are {', '.join(columns) or 'none'}; expected different names, "
                    f"and among them those of fields of the paths: {', '.join(fields)}"
                )
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"line {reader.line_num} has not {len(columns)} values")
                key = tuple(row[name] for name in keys)
                if key in rows:
                    raise ValueError(f"line {reader.line_num}: a second row of {'/'.join(key)}")
                rows[key] = row
    except (ValueError, csv.Error) as error:  # not UTF-8 is a ValueError
        raise ValueError(f"{path} cannot be used: {error}") from error
    return Table(path, keys, columns, rows)
