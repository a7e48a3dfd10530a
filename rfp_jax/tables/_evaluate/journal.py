"""A table while it grows: in a folder of its own, one commit a chunk, published by one rename.

    PATH.partial/             lock and commit markers: `rfp_jax._runs.partial`
    PATH.partial/table.zarr   the table, with its fill values where nothing was committed
    PATH.partial/damaged.zarr a table that was complete and lost files; its good ones are kept
    PATH                      appears when every chunk is proved

Everything is written beside its place, brought to the disk, and renamed into place. So there is no
instant at which a kill could leave half of something that would later be taken for whole.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rfp_jax._runs import sealed
from rfp_jax._runs.partial import Partial, Record
from rfp_jax._util.files import atomic_folder, sync, sync_tree
from rfp_jax._util.trees import Json
from rfp_jax.tables._evaluate import layout
from rfp_jax.tables._evaluate.errors import DamagedTableError
from rfp_jax.tables._evaluate.plan import Chunks
from rfp_jax.tables._evaluate.table import Attribute, Table, nested
from rfp_jax.tables._evaluate.values import TEXT

Counts = dict[str, int]


@dataclass(frozen=True)
class Journal:
    """The folder to which a table is written, and a record of what is committed.

    Attributes:
        path: where the complete table will be.
    """

    path: Path

    @property
    def partial(self) -> Partial:
        """The folder that holds everything until the table is complete."""
        return Partial(self.path)

    @property
    def table(self) -> Path:
        """The table that is being written."""
        return self.partial.folder / "table.zarr"

    @property
    def damaged(self) -> Path:
        """A table that was complete and is not any more."""
        return self.partial.folder / "damaged.zarr"

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Take the lock, for as long as the stack lives, and clear away what a kill has left."""
        if layout.is_table(self.path) and not self.partial.folder.exists():
            return
        stack.enter_context(self.partial.locked())
        if layout.is_table(self.path):
            self.partial.remove()
            return
        self.partial.clear()

    def reopen(self, stack: contextlib.ExitStack) -> list[str]:
        """Take back a complete table that is damaged; returns what is damaged, nothing if sound."""
        if not (found := layout.damage(self.path, thorough=True)):
            return []
        stack.enter_context(self.partial.locked())
        self.partial.arrived.mkdir(exist_ok=True)
        self.path.rename(self.damaged)
        sync(self.path.parent)
        sync(self.partial.folder)
        return found

    def create(self, table: Table, chunks: Chunks, attributes: Mapping[str, Attribute]) -> None:
        """Make the table in its full size, with nothing in it but what a damaged one still has."""
        self.partial.forget()
        with atomic_folder(self.table, durable=True) as fresh:
            layout.create(fresh, table, chunks, attributes)

    def resume(self, table: Table) -> None:
        """Repair what needs no computing, and take over the sound chunks of a damaged table."""
        layout.restore(self.table, table)
        self.partial.markers.mkdir(exist_ok=True)
        if not self.damaged.exists():
            return
        for chunk, record in layout.read_proof(self.damaged)["chunks"].items():
            if sealed.are_intact(self.damaged, record["files"], thorough=True):
                for key in record["files"]:
                    (self.damaged / key).rename(self.table / key)
                    sync((self.table / key).parent)
                self.partial.commit(self._identity(), int(chunk), record)
        shutil.rmtree(self.damaged)

    def attributes(self) -> dict[str, Json] | None:
        """Attributes of the table that is being written, nested; None if there is none.

        Raises:
            DamagedTableError: there is one, and what it is can no longer be read.
        """
        for folder in (self.table, self.damaged):
            if folder.exists():
                try:
                    return nested(layout.read_root(folder)["attributes"])
                except FileExistsError:  # no word of a table in it
                    raise DamagedTableError(
                        f"{folder / layout.METADATA} is missing or damaged: remove "
                        f"{self.partial.folder} and call evaluate again"
                    ) from None
        return None

    def forget_damaged(self, mine: Sequence[int]) -> None:
        """Read the files of some committed chunks; what has changed is committed no more."""
        self.partial.forget_damaged(self._identity(), self.table, mine)

    def committed(self, chunks: Chunks, *, thorough: bool) -> list[Record | None]:
        """Return what is known of each chunk; None for one that is not committed, or damaged."""
        every = range(len(chunks))
        return self.partial.committed(self._identity(), self.table, every, thorough=thorough)

    def commit(self, chunk: int, columns: Mapping[str, np.ndarray], counts: Counts) -> None:
        """Write a chunk to the table, and only then say so: with how long its texts are at most."""
        stamps = [layout.write(self.table, n, chunk, column) for n, column in columns.items()]
        texts = {n: column for n, column in columns.items() if column.dtype == TEXT}
        characters = {name: max(map(len, column)) for name, column in texts.items()}
        record = {"counts": counts, "files": dict(stamps), "characters": characters}
        self.partial.commit(self._identity(), chunk, record)

    def publish(self, table: Table, chunks: Chunks) -> None:
        """Let the table, now complete, appear at its place.

        Raises:
            DamagedTableError: files have changed since they were written.
        """
        layout.restore(self.table, table)
        records = self.committed(chunks, thorough=True)
        if lost := [chunk for chunk, record in enumerate(records) if record is None]:
            raise DamagedTableError(
                f"files of {self.table} have changed while it was written, those of the chunks "
                f"{', '.join(map(str, lost[: layout.LISTED]))}: call evaluate again, it computes "
                "them anew"
            )
        layout.prove(self.table, table, self._identity(), records)
        sync_tree(self.table)
        self.table.rename(self.path)
        sync(self.path.parent)
        self.partial.remove()

    def _identity(self) -> str:
        return layout.read_root(self.table)["attributes"]["identity"]
