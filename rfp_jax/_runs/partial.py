"""The folder beside a result that is not complete yet: its lock and its commit markers.

    PATH.partial/lock                held by the run that writes
    PATH.partial/chunks/000017.json  commit marker: this chunk is complete; its stamps
    PATH.partial/arrived/1           of several processes, this one has done its share

A marker counts only with the result that it was written for, and with the very bytes that it was
written for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rfp_jax._runs import sealed
from rfp_jax._runs.errors import TableInUseError
from rfp_jax._util.trees import Json

Record = dict[str, Json]
"""The `counts` of a chunk, and the stamps of its `files` by name."""


@dataclass(frozen=True)
class Partial:
    """The folder that holds everything until a result is complete.

    Attributes:
        path: where the complete result will be.
    """

    path: Path

    @property
    def folder(self) -> Path:
        """The folder itself."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def arrived(self) -> Path:
        """The folder in which each of several processes leaves a file when its work is done."""
        return self.folder / "arrived"

    @property
    def markers(self) -> Path:
        """The folder of the commit markers."""
        return self.folder / "chunks"

    def marker(self, chunk: int) -> Path:
        """The file that says that a chunk is committed."""
        return self.markers / f"{chunk:06d}.json"

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

    def clear(self) -> None:
        """Clear away what a kill has left; nobody has arrived yet. Needs the lock."""
        for stray in self.folder.rglob("*.partial"):
            stray.unlink()
        shutil.rmtree(self.arrived, ignore_errors=True)
        self.arrived.mkdir()

    def commit(self, identity: str, chunk: int, record: Record) -> None:
        """Say that a chunk of a result is complete."""
        marker = {"attributes": {"identity": identity, "chunk": chunk, "record": record}}
        sealed.write(self.marker(chunk), sealed.seal(marker))

    def committed(
        self, identity: str | None, result: Path, chunks: Sequence[int], *, thorough: bool
    ) -> list[Record | None]:
        """Return what is known of chunks; None for one that is not committed, or damaged.

        Args:
            identity: the result's.
            result: the folder of its files.
            chunks: those that are asked for.
            thorough: whether to read their files, instead of comparing sizes only.
        """
        found: list[Record | None] = []
        for chunk in chunks:
            marker = sealed.read_intact(self.marker(chunk)) or {"attributes": {}}
            said = marker["attributes"]
            ours = (said.get("identity"), said.get("chunk")) == (identity, chunk)
            record = said["record"] if ours else None
            if record and not sealed.are_intact(result, record["files"], thorough=thorough):
                record = None
            found.append(record)
        return found

    def forget_damaged(self, identity: str | None, result: Path, chunks: Sequence[int]) -> None:
        """Read the files of some committed chunks; what has changed is committed no more.

        Each of several processes reads its part. Were all to read everything, a thousand of them
        would read the whole result a thousand times whenever a job goes on.
        """
        found = self.committed(identity, result, chunks, thorough=True)
        for chunk, record in zip(chunks, found, strict=True):
            if record is None:
                self.marker(chunk).unlink(missing_ok=True)

    def forget(self) -> None:
        """Forget every commit, as of a result that is gone."""
        shutil.rmtree(self.markers, ignore_errors=True)
        self.markers.mkdir()

    def remove(self) -> None:
        """Remove the folder of a result that is complete, the lock last."""
        for entry in self.folder.iterdir():
            if entry.name != "lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        (self.folder / "lock").unlink()
        with contextlib.suppress(OSError):  # another run may be looking in just now
            self.folder.rmdir()
