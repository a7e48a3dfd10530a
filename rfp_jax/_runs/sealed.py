"""Documents that prove themselves, and proofs of files.

A sealed document is JSON that holds a digest of the rest of itself. A stamp of a file is its size
and its CRC-32: the size is compared without reading the file, the checksum where it is read.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from rfp_jax._util.files import atomic_file
from rfp_jax._util.trees import Json

Document = dict[str, Json]
Stamp = tuple[int, int]
"""Size in bytes and CRC-32 of a file."""

SEAL = "seal"
BLOCK = 1 << 20


def seal(document: Mapping[str, Json]) -> Document:
    """Return a document with its seal among its `attributes`, where zarr keeps what it ignores.

    Examples:
        >>> document = seal({"attributes": {"samples": 7}})
        >>> is_intact(document)
        True
        >>> document["attributes"]["samples"] = 8
        >>> is_intact(document)
        False
    """
    return {**document, "attributes": {**document["attributes"], SEAL: digest(document)}}


def is_intact(document: Mapping[str, Json]) -> bool:
    """Return whether a document is what was sealed."""
    return document["attributes"].get(SEAL) == digest(document)


def digest(document: Mapping[str, Json]) -> str:
    """Return the SHA-256 of a document in canonical form, its seal left out."""
    attributes = {key: value for key, value in document["attributes"].items() if key != SEAL}
    bare = {**document, "attributes": attributes}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> Document | None:
    """Read a JSON object; None if there is no such file, or something else is in it."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("attributes"), dict) else None


def read_intact(path: Path) -> Document | None:
    """Read a sealed document; None if it is missing or damaged."""
    found = read(path)
    return found if found is not None and is_intact(found) else None


def write(path: Path, document: Mapping[str, Json]) -> None:
    """Write a document beside its place, bring it to the disk, and rename it into place."""
    with atomic_file(path, durable=True) as draft:
        draft.write_text(json.dumps(document, indent=2))


def stamp(path: Path) -> Stamp:
    """Return size and checksum of a file."""
    size = checksum = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            size, checksum = size + len(block), zlib.crc32(block, checksum)
    return size, checksum


def are_intact(folder: Path, stamps: Mapping[str, Stamp], *, thorough: bool) -> bool:
    """Return whether files of a folder are what was written, by their names; see `difference`."""
    return not any(
        difference(folder / name, expected, thorough=thorough) for name, expected in stamps.items()
    )


def difference(path: Path, expected: Stamp, *, thorough: bool) -> str | None:
    """Say how a file differs from its stamp; None if it does not.

    Args:
        path: the file.
        expected: its stamp.
        thorough: whether to read it, instead of comparing sizes only.
    """
    try:
        size = path.stat().st_size
        if size != expected[0]:
            return f"holds {size} bytes, {expected[0]} were written"
        if thorough and stamp(path) != tuple(expected):
            return "holds other bytes than were written"
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None
