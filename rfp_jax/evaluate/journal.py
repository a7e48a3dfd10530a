"""A table while it grows: in a folder of its own, one commit a chunk, published by one rename.

    PATH.partial/lock               held by the run that writes
    PATH.partial/table.zarr         the table, with its fill values where nothing was committed
    PATH.partial/chunks/000017.json commit marker: this chunk is complete in the table
    PATH.partial/arrived/1          of several processes, this one has done its share
    PATH                            appears when every chunk has its marker

Everything is written beside its place, brought to the disk, and renamed into place. So there is no
instant at which a kill could leave half of something that would later be taken for whole, and what
stands at PATH is always a complete table.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rfp_jax.evaluate.errors import TableInUseError
from rfp_jax.evaluate.plan import Chunks
from rfp_jax.evaluate.table import Table

Counts = dict[str, int]


@dataclass(frozen=True)
class Journal:
    """Where a table is written, and what of it is committed.

    Attributes:
        path: where the complete table will be.
    """

    path: Path

    @property
    def folder(self) -> Path:
        """Where everything is until the table is complete."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def arrived(self) -> Path:
        """Where each of several processes leaves a file when its work is done."""
        return self.folder / "arrived"

    @property
    def table(self) -> Path:
        """The table that is being written."""
        return self.folder / "table.zarr"

    def marker(self, chunk: int) -> Path:
        """The file that says that a chunk is committed."""
        return self.folder / "chunks" / f"{chunk:06d}.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only run that writes here, until the block ends or the process dies.

        Raises:
            TableInUseError: if another run holds the lock.
        """
        import fcntl  # not on every system, but the rest of the package is

        file = self.folder / "lock"
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:  # the run before has just finished and removed the folder
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise TableInUseError(
                    f"another run is writing {self.path}: wait for it, or choose another path"
                ) from None
            if os.fstat(handle).st_nlink:  # not the removed lock of a run that has just finished
                break
            os.close(handle)
        try:
            yield
        finally:
            os.close(handle)

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Take the lock, for as long as the stack lives, and clear away what a kill has left."""
        if is_table(self.path) and not self.folder.exists():
            return
        stack.enter_context(self.locked())
        if is_table(self.path):
            self.remove()
            return
        for stray in self.folder.rglob("*.partial"):
            stray.unlink()
        shutil.rmtree(self.arrived, ignore_errors=True)
        self.arrived.mkdir()

    def create(self, table: Table, chunks: Chunks, attributes: Mapping[str, Any]) -> None:
        """Make the table in its full size, with nothing in it."""
        import zarr

        fresh = self.folder / "fresh.zarr"
        shutil.rmtree(fresh, ignore_errors=True)
        attributes = {"complete": False, **attributes}
        group = zarr.create_group(fresh, zarr_format=3, attributes=attributes)
        sizes = {"sample": chunks.samples}
        sizes |= {dim: len(names) for dim, names in table.coordinates.items()}
        extent = sizes | {"sample": chunks.size}
        for name, variable in table.variables.items():
            group.create_array(
                name,
                shape=tuple(sizes[dim] for dim in variable.dims),
                chunks=tuple(extent[dim] for dim in variable.dims),
                dtype=variable.dtype,
                fill_value=variable.fill,
                dimension_names=variable.dims,
            )
        for dim, names in table.coordinates.items():
            group.create_array(dim, data=names, dimension_names=(dim,))
        values = {"relevance", "output", *table.coordinates}
        group.attrs["coordinates"] = " ".join(n for n in table.variables if n not in values)
        (self.folder / "chunks").mkdir(exist_ok=True)
        sync_tree(fresh)
        fresh.rename(self.table)
        sync(self.folder)

    def attributes(self) -> dict[str, Any] | None:
        """Attributes of the table that is being written, or None if there is none."""
        return read_attributes(self.table)

    def committed(self, chunk: int) -> Counts | None:
        """What was counted in a chunk, or None if it is not committed."""
        try:
            return json.loads(self.marker(chunk).read_text())
        except FileNotFoundError:
            return None

    def commit(self, chunk: int, rows: slice, columns: Mapping[str, np.ndarray], counts: Counts):
        """Write a chunk to the table, and only then say so."""
        import zarr

        group = zarr.open_group(self.table, mode="r+")
        folders = set()
        for name, column in columns.items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            array[rows] = column
            key = array.metadata.encode_chunk_key((chunk, *(0 for _ in array.shape[1:])))
            file = self.table / name / key
            if file.exists():  # zarr leaves out what holds nothing but the fill value
                sync(file)
            folders.update(parent for parent in file.parents if parent.is_relative_to(self.table))
        for folder in folders:
            if folder.exists():
                sync(folder)
        marker = self.marker(chunk)
        draft = marker.with_name(f"{marker.name}.partial")
        draft.write_text(json.dumps(counts))
        sync(draft)
        draft.rename(marker)
        sync(marker.parent)

    def publish(self) -> None:
        """Let the table, now complete, appear at its place."""
        import zarr

        group = zarr.open_group(self.table, mode="r+")
        group.attrs["complete"] = True
        with warnings.catch_warnings():
            # xarray asks for it and warns where it is missing; zarr warns where it is written
            warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
            zarr.consolidate_metadata(self.table)
        sync_tree(self.table)
        self.table.rename(self.path)
        sync(self.path.parent)
        self.remove()

    def remove(self) -> None:
        """Remove the folder of a table that is complete, the lock last."""
        for entry in self.folder.iterdir():
            if entry.name != "lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        (self.folder / "lock").unlink()
        with contextlib.suppress(OSError):  # another run may be looking in just now
            self.folder.rmdir()


def is_table(path: Path) -> bool:
    """Whether a relevance table stands at a path.

    Raises:
        FileExistsError: if something else does.
    """
    if "complete" in (read_attributes(path) or {}):
        return True
    if path.exists():
        raise FileExistsError(f"{path} is not a relevance table: choose another path")
    return False


def read_attributes(table: Path) -> dict[str, Any] | None:
    """Attributes of a table on the disk, or None if there is no table."""
    try:
        return json.loads((table / "zarr.json").read_text())["attributes"]
    except (FileNotFoundError, NotADirectoryError, KeyError):
        return None


def sync(path: Path) -> None:
    """Bring a file or a folder's list of files to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Bring everything in a folder to the disk."""
    for parent, _, files in os.walk(folder):
        for name in files:
            sync(Path(parent) / name)
        sync(Path(parent))
