"""Reading an `.npz` of arrays that may come from anywhere."""

import zipfile
from pathlib import Path

import numpy as np

LIMIT = 2**28
"""Bytes that the arrays of a small file may have unpacked, 256 MiB."""

_RATIO = 32
"""The greatest size of a large file's arrays, as a multiple of the file's."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Arrays of an `.npz`, in their order.

    Args:
        path: the file.

    Returns:
        Name -> array.

    Raises:
        ValueError: if it is damaged, no `.npz`, holds other things than plain arrays, or would
            unpack to more than 256 MiB and 32 times its size; names the file.
        OSError: if it cannot be opened.
    """
    # the file is opened here: NumPy leaves it open where it is damaged
    with path.open("rb") as whole:
        try:
            with zipfile.ZipFile(whole) as archive:
                total = sum(member.file_size for member in archive.infolist())
                size = path.stat().st_size
                if total > max(LIMIT, _RATIO * size):
                    raise ValueError(f"it has {size} bytes and would unpack to {total}")
                for member in archive.infolist():
                    _check_header(archive, member)
            whole.seek(0)
            with np.load(whole, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except MemoryError:
            raise
        except Exception as error:  # whatever a damaged or hostile file makes the reader raise
            raise ValueError(
                f"{path} is not an .npz of arrays, or a damaged one: {error}"
            ) from error


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Compare the size that an array claims with that of its member: NumPy would allocate it."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(file)
    claimed = dtype.itemsize * int(np.prod(shape, dtype=object))
    if claimed > member.file_size:
        raise ValueError(f"{member.filename} claims {claimed} bytes and has {member.file_size}")
