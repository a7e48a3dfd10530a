"""Open what `rfp_jax.tables.evaluate` has stored: tables, their maps, how they were made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.trees import Json
from rfp_jax.tables._evaluate import layout, regions
from rfp_jax.tables._evaluate.journal import Journal
from rfp_jax.tables._evaluate.plan import Chunks
from rfp_jax.tables._evaluate.table import nested

if TYPE_CHECKING:
    import xarray as xr


class IncompleteTableError(RuntimeError):
    """The run that writes this table has not finished."""


def open(
    path: str | os.PathLike[str],
    *,
    incomplete: bool = False,
    thorough: bool = False,
    over: regions.Over | None = None,
) -> xr.Dataset:
    """Open a relevance table lazily.

    Args:
        path: where `rfp_jax.tables.evaluate` has put it.
        incomplete: whether to take a table whose run has not finished; of that, only the samples of
            committed chunks are there, and its attribute `complete` is 0.
        thorough: whether to read every file and compare it with its checksum now. Otherwise files
            must be there and have their size, and each is compared when it is read.
        over: of outputs with places, the places that rows are means over: those of each true class
            (`"label"`, where there are labels) or those of each predicted one (`"prediction"`, then
            without `label`).

    Returns:
        The table.

    Raises:
        IncompleteTableError: the run has not finished; says how far it is.
        DamagedTableError: files are missing or are not what was written; names each. The same
            error is raised later, where a file that is damaged within its size is read.
        TableFormatError: the table was written by the first edition; says what to do.
        FileNotFoundError: there is nothing at `path`.
        FileExistsError: something at `path` is not a relevance table.

    Examples:
        >>> import rfp_jax.tables
        >>> rfp_jax.tables.open("no/such/table.zarr")
        Traceback (most recent call last):
        FileNotFoundError: no relevance table at .../no/such/table.zarr
    """
    table, places = _read(path, incomplete=incomplete, thorough=thorough)
    if places is None:
        if over is not None:
            raise ValueError("over= is for tables of outputs with places")
        return table
    return regions.choose(table, places, over)


def open_maps(path: str | os.PathLike[str], *, thorough: bool = False) -> xr.Dataset:
    """Open the maps of a table that was evaluated with `Places(keep_maps=True)`, lazily.

    Args:
        path: the table.
        thorough: see `open`.

    Returns:
        A Dataset of one map or sequence for each sample of the data: `relevance` (sample, source,
        ...) of the class that is predicted at each place, `output` (sample, ...), `prediction`, and
        `label` where there are labels (-1: unknown); with `id`, `failure` and the metadata.

    Raises:
        ValueError: the table has no maps.
        Exception: see `open`.
    """
    table, places = _read(path, incomplete=False, thorough=thorough)
    if not (places or {}).get("keep_maps"):
        raise ValueError(
            f"the table at {os.fspath(path)} has no maps: evaluate with "
            "places=Places(keep_maps=True)"
        )
    return regions.maps_in(table, places or {})


def _read(
    path: str | os.PathLike[str], *, incomplete: bool, thorough: bool
) -> tuple[xr.Dataset, dict[str, Json] | None]:
    """A table as it is on the disk, and what it says of places."""
    with needs_extra("Opening a relevance table", "tables"):
        from rfp_jax.tables._evaluate.opening import open_dataset
    journal = Journal(Path(path).absolute())
    if layout.is_table(journal.path):
        if found := layout.damage(journal.path, thorough=thorough):
            raise layout.damaged(journal.path, found)
        proof = layout.read_proof(journal.path)
        table = open_dataset(journal.path, layout.stamps(proof), proof["chunks"].values())
        return table, nested(table.attrs).get("places")
    attributes = journal.attributes()
    if attributes is None:
        raise FileNotFoundError(f"no relevance table at {journal.path}")
    chunks = Chunks(attributes["data"]["samples"], attributes["chunk"])
    records = dict(enumerate(journal.committed(chunks, thorough=thorough)))
    committed = {chunk: record for chunk, record in records.items() if record is not None}
    if not incomplete:
        raise IncompleteTableError(
            f"{journal.path} is incomplete: {len(committed)} of {len(chunks)} chunks are there; "
            "call evaluate again to finish it, or open(path, incomplete=True) to see what is there"
        )
    files = layout.stamps({"files": {}, "chunks": committed})
    table = open_dataset(journal.table, files, committed.values())
    samples = [np.arange(chunks.samples)[chunks.bounds(c)] for c in committed]
    items = np.concatenate(samples) if samples else np.arange(0)
    rows = np.arange(regions.regions_in(attributes))
    table = table.isel(sample=(items[:, None] * len(rows) + rows).ravel())
    table = table.isel({regions.ITEM: items}, missing_dims="ignore")
    return table.assign_attrs(complete=0), attributes.get("places")


def provenance(table: xr.Dataset) -> dict[str, Json]:
    """Return how a table was made: its attributes, with what is JSON in them decoded.

    Args:
        table: a relevance table.

    Returns:
        Among others `versions`, `rules`, `bias`, `method`, `model` (manifest, hashes of parameters
        and program), `data` (arguments, samples, kinds of labels and metadata), `dtype`, `chunk`.

    Examples:
        >>> import xarray as xr
        >>> provenance(xr.Dataset(attrs={"versions": '{"jax": "0.10.2"}'}))
        {'versions': {'jax': '0.10.2'}}
    """
    return nested(table.attrs)
