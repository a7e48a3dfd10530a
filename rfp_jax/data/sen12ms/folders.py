"""A folder that appears complete or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name beside its place, and rename it when the block ends.

    Args:
        folder: the folder to make, and its parents; it must not exist.

    Yields:
        The folder to fill. If the block fails or is interrupted, nothing remains.

    Raises:
        FileExistsError: if `folder` exists, before or after the block.

    Example:
        >>> place = Path(tempfile.mkdtemp(), "new")
        >>> with new_folder(place) as unfinished:
        ...     _ = (unfinished / "a").write_text("b")
        >>> [path.name for path in place.iterdir()]
        ['a']
    """
    folder = folder.expanduser().absolute()
    _refuse(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        unfinished = Path(temporary) / folder.name
        unfinished.mkdir()
        yield unfinished
        _refuse(folder)
        unfinished.rename(folder)


def _refuse(folder: Path) -> None:
    if os.path.lexists(folder):
        raise FileExistsError(
            f"{folder} exists already and is left as it is: name another folder, or remove it"
        )
