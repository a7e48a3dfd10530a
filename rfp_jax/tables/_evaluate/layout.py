"""A relevance table on the disk: zarr (format 3), with a proof of every file.

    TABLE/zarr.json             how it was made, and the metadata of all arrays; sealed
    TABLE/relevance/zarr.json   metadata of one array
    TABLE/relevance/c.17.0.0    one chunk: compressed, with the checksum that zarr itself reads
    TABLE/proof/zarr.json       size and checksum of every other file; sealed

Every chunk has its file, even one of nothing but fill values: what is missing is missing. The proof
is a zarr group without arrays, so whoever reads zarr passes it by.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from rfp_jax._runs import sealed
from rfp_jax._runs.partial import Record
from rfp_jax._runs.sealed import Document, Stamp
from rfp_jax._util.files import sync
from rfp_jax._util.trees import Json
from rfp_jax.tables._evaluate.errors import DamagedTableError, TableFormatError
from rfp_jax.tables._evaluate.plan import Chunks
from rfp_jax.tables._evaluate.table import Attribute, Table, Variable

FORMAT = 2
"""The first edition wrote tables without checksums."""

Proof = dict[str, Json]
"""Stamps of the `files` of a table that are not chunks of samples, and the records of `chunks`."""

METADATA, PROOF = "zarr.json", Path("proof", "zarr.json")

LISTED = 10
"""So many damaged files are named."""


def create(folder: Path, table: Table, chunks: Chunks, attributes: Mapping[str, Attribute]) -> None:
    """Make a table in its full size, with nothing in it."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    sizes = {dim: len(names) for dim, (names, _) in table.coordinates.items()} | table.along
    extent = sizes | {dim: chunks.size * rows for dim, rows in table.rows.items()}
    sizes |= {dim: chunks.samples * rows for dim, rows in table.rows.items()}
    names = {
        dim: Variable((dim,), each.dtype, "", words)
        for dim, (each, words) in table.coordinates.items()
    }
    with _quiet():
        group = zarr.create_group(folder, zarr_format=3)
        for name, variable in {**table.variables, **names}.items():
            group.create_array(
                name,
                shape=tuple(sizes[dim] for dim in variable.dims),
                chunks=tuple(extent[dim] for dim in variable.dims),
                dtype=variable.dtype,
                fill_value=variable.fill,
                compressors=(ZstdCodec(), Crc32cCodec()),
                chunk_key_encoding={"name": "default", "separator": "."},
                dimension_names=variable.dims,
                attributes=dict(variable.attributes),
            )
        values = {*table.numbers, *names}
        coordinates = " ".join(name for name in table.variables if name not in values)
        group.attrs.update({**attributes, "coordinates": coordinates})
        zarr.consolidate_metadata(folder)
    whole = sealed.read(folder / METADATA)
    assert whole is not None
    sealed.write(folder / METADATA, sealed.seal(whole))
    restore(folder, table)


def restore(folder: Path, table: Table) -> None:
    """Write again what is known without computing: metadata of arrays, and coordinates."""
    for name, document in _arrays(read_root(folder)).items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / METADATA).write_text(json.dumps(document, indent=2))
    for dim, (names, _) in table.coordinates.items():
        write(folder, dim, 0, names)


def write(folder: Path, name: str, chunk: int, column: np.ndarray) -> tuple[str, Stamp]:
    """Write one chunk of an array; returns the name of its file, and its stamp."""
    import zarr

    key = f"{name}/c.{'.'.join(map(str, (chunk, *(0 for _ in column.shape[1:]))))}"
    (folder / key).unlink(missing_ok=True)  # zarr would read it first, and it may be damaged
    with _quiet(), zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.open_array(folder / name, mode="r+")
        first = chunk * array.chunks[0]
        array[first : first + len(column)] = column
    sync(folder / key)
    sync((folder / key).parent)
    return key, sealed.stamp(folder / key)


def prove(folder: Path, table: Table, identity: str, chunks: Sequence[Record | None]) -> None:
    """Write the proof of a table whose chunks are all there, and say that it is complete.

    Args:
        folder: the table.
        table: its layout.
        identity: which table it is.
        chunks: the record of each chunk.
    """
    proof = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {
            "table": identity,
            "files": {key: sealed.stamp(folder / key) for key in _small(table)},
            "chunks": dict(enumerate(chunks)),
        },
    }
    (folder / PROOF).parent.mkdir(exist_ok=True)
    proof = json.loads(json.dumps(proof))  # as it will be read: keys are text
    sealed.write(folder / PROOF, sealed.seal(proof))
    root = read_root(folder)
    complete = {**root, "attributes": {**root["attributes"], "complete": 1}}
    sealed.write(folder / METADATA, sealed.seal(complete))


def is_table(folder: Path) -> bool:
    """Return whether a table of this format stands at a path; damaged or not.

    Raises:
        FileExistsError: something else does.
        TableFormatError: a table of the first edition does, or one that another program has copied.
        DamagedTableError: a table does, and what it is can no longer be read.
    """
    if not os.path.lexists(folder):
        return False
    read_root(folder)
    return True


def read_root(folder: Path) -> Document:
    """Read what a table says of itself.

    Raises:
        FileExistsError, TableFormatError, DamagedTableError: see `is_table`.
    """
    found = sealed.read(folder / METADATA)
    attributes = found["attributes"] if found else {}
    intact = found is not None and sealed.is_intact(found)
    if found and intact and attributes.get("format") == FORMAT:
        return found
    if "complete" in attributes and (intact or sealed.SEAL not in attributes):
        raise TableFormatError(
            f"{folder} is a relevance table of the first edition of rfp_jax, or was written by "
            "another program: xarray.open_zarr opens it as it is; to have a table with proofs, "
            "remove it (or choose another path) and call evaluate again"
        )
    if sealed.SEAL not in attributes and not (folder / PROOF).exists():
        raise FileExistsError(f"{folder} is not a relevance table: choose another path")
    raise DamagedTableError(
        f"{folder / METADATA} is missing or holds other bytes than were written: restore this file "
        f"from a copy, or remove {folder} and call evaluate again"
    )


def read_proof(folder: Path) -> Proof:
    """Read the proof of a table; empty if the proof itself is missing or damaged."""
    root, found = read_root(folder), sealed.read_intact(folder / PROOF)
    if found is None or found["attributes"]["table"] != root["attributes"]["identity"]:
        return {"files": {}, "chunks": {}}
    return found["attributes"]


def stamps(proof: Proof) -> dict[str, Stamp]:
    """Return the stamps of all files."""
    chunks = [record["files"].items() for record in proof["chunks"].values()]
    return {key: (size, crc) for key, (size, crc) in chain(proof["files"].items(), *chunks)}


def widths(records: Iterable[Record]) -> dict[str, int]:
    """Return the most characters that a text of each variable has."""
    found: dict[str, int] = {}
    for record in records:
        for name, count in record["characters"].items():
            found[name] = max(count, found.get(name, 1))
    return found


def damage(folder: Path, *, thorough: bool) -> list[str]:
    """Name every file of a table that is missing or not what was written, and say how.

    Args:
        folder: the table.
        thorough: whether to read all files; otherwise only the small ones are read, and sizes of
            the others compared.
    """
    if not (files := stamps(read_proof(folder))):
        return [f"{PROOF} is missing or damaged, so nothing is known of the other files"]
    sizes = {name: _sizes(folder / name) for name in {key.partition("/")[0] for key in files}}
    chunk = read_root(folder)["attributes"]["chunk"]
    found = []
    for key, expected in files.items():
        name, _, file = key.partition("/")
        if not thorough and file != METADATA and sizes[name].get(file) == expected[0]:
            continue
        if words := sealed.difference(folder / key, expected, thorough=True):
            found.append(f"{key}{_samples(key, chunk)} {words}")
    return found


def damaged(folder: Path, found: list[str]) -> DamagedTableError:
    """Return an error that names damaged files, and what to do."""
    more = [f"  and {len(found) - LISTED} more"] if len(found) > LISTED else []
    files = [f"  {each}" for each in found[:LISTED]]
    remedy = (
        "Call evaluate again with the same arguments: it computes anew what is missing or damaged. "
        "Or restore these files from a copy."
    )
    return DamagedTableError("\n".join([f"{folder} is damaged:", *files, *more, remedy]))


def _samples(key: str, size: int) -> str:
    """Return which samples a file holds, in words, given how many a chunk has."""
    name, _, file = key.partition("/")
    match = re.fullmatch(r"c\.(\d+)(\.0)*", file)
    if match is None or name in ("source", "class"):
        return ""
    return f" (samples {int(match[1]) * size} to {(int(match[1]) + 1) * size - 1})"


def _sizes(folder: Path) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries}
    except OSError:
        return {}


def _small(table: Table) -> Iterator[str]:
    """Files that are not chunks of samples."""
    for name in (*table.variables, *table.coordinates):
        yield f"{name}/{METADATA}"
    for dim in table.coordinates:
        yield f"{dim}/c.0"


def _arrays(root: Document) -> dict[str, Json]:
    return root["consolidated_metadata"]["metadata"]


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out zarr's warnings of what xarray writes and reads in the same way."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        warnings.filterwarnings("ignore", r"The data type \(FixedLengthUTF32", category=Warning)
        yield
