"""Opening a table: what is read is compared with its checksum, text has a fixed width."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.coders import CFDatetimeCoder
from xarray.core import indexing
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore

from rfp_jax._runs.partial import Record
from rfp_jax._runs.sealed import Stamp
from rfp_jax.tables._evaluate import layout
from rfp_jax.tables._evaluate.values import TEXT

OF_FILES = ("seal", "identity")
"""Attributes that say something of the files, not of what is done with their contents."""


def open_dataset(folder: Path, files: Mapping[str, Stamp], records: Iterable[Record]) -> xr.Dataset:
    """Open a table lazily.

    Args:
        folder: the table.
        files: stamps of its files; what is read is compared with them.
        records: of its chunks, for the widths of texts.

    Returns:
        The table. Reading what is missing or damaged raises `DamagedTableError`.
    """
    store = CheckedStore(LocalStore(folder, read_only=True), files)
    raw = xr.open_zarr(store, chunks=None, consolidated=True, decode_cf=False)
    table = xr.decode_cf(raw, decode_times=CFDatetimeCoder(time_unit="us")).drop_encoding()
    group, widths = zarr.open_group(store, mode="r"), layout.widths(records)
    for name, variable in table.variables.items():
        if variable.dtype == TEXT:
            array = group[str(name)]
            assert isinstance(array, zarr.Array)
            lazy = indexing.LazilyIndexedArray(FixedWidth(array, widths.get(str(name), 1)))
            fixed = xr.Variable(variable.dims, lazy, variable.attrs)
            table = table.assign_coords({name: fixed})
    for name, variable in table.variables.items():
        if variable.dtype.kind == "U":  # zarr warns of fixed widths in format 3
            table[name].encoding["dtype"] = TEXT
    table.attrs = {key: value for key, value in table.attrs.items() if key not in OF_FILES}
    return table


class FixedWidth(BackendArray):
    """An array of text of any length, read as NumPy's text of a fixed width.

    Args:
        array: the array.
        width: the most characters that one of its texts has.
    """

    def __init__(self, array: zarr.Array, width: int):
        self._array, self.shape = array, array.shape
        self.dtype = np.dtype(f"U{width}")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(
        self,
        key: tuple[Any, ...],  # Any: xarray hands on what zarr calls a selection
    ) -> np.ndarray:
        return np.asarray(self._array.oindex[key]).astype(self.dtype)


class CheckedStore(WrapperStore[LocalStore]):
    """A zarr store that refuses what is not what was written.

    Args:
        store: the store of a table.
        files: stamps of its files, by key.
    """

    def __init__(self, store: LocalStore, files: Mapping[str, Stamp]):
        super().__init__(store)
        self._files = files

    def _with_store(self, store: LocalStore) -> CheckedStore:
        return type(self)(store, self._files)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the contents of a file.

        Raises:
            DamagedTableError: they are not what was written; names the file.
        """
        found = await super().get(key, prototype, byte_range)
        if byte_range is None and key in self._files:
            content = None if found is None else found.to_bytes()
            if content is None or (len(content), zlib.crc32(content)) != self._files[key]:
                words = "is missing" if content is None else "holds other bytes than were written"
                raise layout.damaged(self._store.root, [f"{key} {words}"])
        return found
