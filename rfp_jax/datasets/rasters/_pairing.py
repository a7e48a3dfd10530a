"""Pairing: files belong together whose fields stand for the same texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rfp_jax.datasets.rasters._pattern import Pattern, files_below
from rfp_jax.datasets.rasters._table import Table


class Member(NamedTuple):
    """Files that belong together.

    Attributes:
        fields: what the fields stand for.
        row: what the table says of them; empty without a table.
    """

    fields: Mapping[str, str]
    row: Mapping[str, str]


class Pairing(NamedTuple):
    """The files of a folder, paired.

    Attributes:
        members: what is complete, in the order of the first pattern's paths.
        unpaired: files and rows that lack a partner, each with what it lacks.
    """

    members: list[Member]
    unpaired: list[str]


def pair(root: Path, patterns: Sequence[Pattern], table: Table | None) -> Pairing:
    """Find the files of all patterns, and the rows of a table, that belong together.

    The first pattern has all fields. Another one may have fewer: its file then belongs to several
    files of the first.

    Args:
        root: the folder.
        patterns: at least one.
        table: rows that belong to the files, if there are any.

    Returns:
        What belongs together, and what is left.
    """
    found: list[dict[str, dict[str, str]]] = [{} for _ in patterns]
    for path in files_below(root):
        for pattern, paths in zip(patterns, found, strict=True):
            if (fields := pattern.match(path)) is not None:
                paths[path] = fields
    members, unpaired = [], []
    used = [set[str]() for _ in patterns]
    rows = set[tuple[str, ...]]()
    for path, fields in found[0].items():
        others = [pattern.path(fields) for pattern in patterns]
        lacking = [o for o, paths in zip(others, found, strict=True) if o not in paths]
        key = tuple(fields[name] for name in table.keys) if table else ()
        if table and key not in table.rows:
            lacking.append(f"a row of {'/'.join(key)} in {table.path}")
        for other, paths in zip(others, used, strict=True):
            paths.add(other)
        rows.add(key)
        if lacking:
            unpaired.append(f"{path} lacks {', '.join(lacking)}")
        else:
            members.append(Member(fields, table.rows[key] if table else {}))
    for pattern, paths, seen in zip(patterns[1:], found[1:], used[1:], strict=True):
        alone = sorted(paths.keys() - seen)
        unpaired += [f"{path} ({pattern.text}) lacks {patterns[0].text}" for path in alone]
    if table:
        alone = sorted(table.rows.keys() - rows)
        unpaired += [f"the row of {'/'.join(k)} in {table.path} lacks its files" for k in alone]
    return Pairing(members, unpaired)
