"""Files and folders that appear complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rfp_jax._util.interrupts import held_back


@contextmanager
def atomic_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write a file beside its place, and rename it into place when the block ends.

    Args:
        path: the file to write; it is replaced.
        durable: whether the file is on the disk before it has its name.

    Yields:
        The file to write to. If the block fails it is removed, and `path` is as it was.

    Examples:
        >>> place = Path(tempfile.mkdtemp(), "a.txt")
        >>> with atomic_file(place) as draft:
        ...     _ = draft.write_text("whole")
        >>> place.read_text(), len(list(place.parent.iterdir()))
        ('whole', 1)
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield draft
        if durable:
            sync(draft)
        draft.replace(path)
        if durable:
            sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Collect files out of sight, and move them to their folder when all are complete.

    Args:
        folder: where the files go; made if missing. Files of other names stay.

    Yields:
        An empty folder to write files into. If the block fails it is removed, with all in it.

    Examples:
        >>> folder = Path(tempfile.mkdtemp(), "results")
        >>> with atomic_files(folder) as temporary:
        ...     _ = (temporary / "summary.json").write_text("{}")
        >>> [path.name for path in folder.iterdir()]
        ['summary.json']
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        held_back() as let_through,
        tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as name,
    ):
        let_through()
        yield Path(name)
        for path in sorted(Path(name).iterdir()):
            path.replace(folder / path.name)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name near its place, and rename it when the block ends.

    Args:
        folder: the folder to make; it must not exist. Its parents are made at the end, too.

    Yields:
        The folder to fill. If the block fails or is interrupted, nothing remains.

    Raises:
        FileExistsError: if `folder` exists, before or after the block.

    Examples:
        >>> place = Path(tempfile.mkdtemp(), "parent", "new")
        >>> with new_folder(place) as unfinished:
        ...     _ = (unfinished / "a").write_text("b")
        >>> [path.name for path in place.iterdir()]
        ['a']
    """
    folder = folder.expanduser().absolute()
    _refuse(folder)
    beside = next(parent for parent in folder.parents if parent.is_dir())
    with (
        held_back() as let_through,
        tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=beside) as temporary,
    ):
        let_through()
        unfinished = Path(temporary) / folder.name
        unfinished.mkdir()
        yield unfinished
        _refuse(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(folder)


@contextmanager
def atomic_folder(folder: Path, *, durable: bool = False) -> Iterator[Path]:
    """Fill a folder under another name; when the block ends it takes the place of the old one.

    Args:
        folder: the folder to write. One that is there stays whole until the new one is.
        durable: whether all in it is on the disk before it has its name.

    Yields:
        The folder to fill. If the block fails or is interrupted it is removed, and `folder` is as
        it was. What a killed run left is settled first: its unfinished folder is removed, and the
        old one is put back if its place is empty.

    Examples:
        >>> place = Path(tempfile.mkdtemp(), "network")
        >>> for word in ("old", "new"):
        ...     with atomic_folder(place) as unfinished:
        ...         _ = (unfinished / word).write_text("")
        >>> [path.name for path in place.iterdir()], [path.name for path in place.parent.iterdir()]
        (['new'], ['network'])
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    old = folder.with_name(f".{folder.name}.old")
    _put_back(old, folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if durable:
            sync_tree(unfinished)
        with held_back():
            if folder.exists():
                folder.rename(old)
            unfinished.rename(folder)
        if durable:
            sync(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        _put_back(old, folder)


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


def _put_back(old: Path, folder: Path) -> None:
    """Move a folder back to its place if that is empty; else it was replaced, and is removed."""
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _refuse(folder: Path) -> None:
    if os.path.lexists(folder):
        raise FileExistsError(
            f"{folder} exists already and is left as it is: name another folder, or remove it"
        )
