"""A folder that appears complete or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=beside) as temporary:
        unfinished = Path(temporary) / folder.name
        unfinished.mkdir()
        yield unfinished
        _refuse(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(folder)


def _refuse(folder: Path) -> None:
    if os.path.lexists(folder):
        raise FileExistsError(
            f"{folder} exists already and is left as it is: name another folder, or remove it"
        )
