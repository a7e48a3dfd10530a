"""Measure what a file would need in memory, before it is unpacked or copied."""

import zipfile


def check_stored(archive: zipfile.ZipFile, size: int) -> str:
    """Say why an archive that should hold its members as they are does not.

    Args:
        archive: of a format whose members are stored, not compressed.
        size: bytes of the file.

    Returns:
        "" if the members are stored and together no larger than the file; otherwise the reason.

    Examples:
        >>> import io
        >>> with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        ...     archive.writestr("a", b"0" * 10_000)
        ...     check_stored(archive, 100)
        'a is compressed, to ... from 10000 bytes; expected stored members'
    """
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            return (
                f"{member.filename} is compressed, to {member.compress_size} from "
                f"{member.file_size} bytes; expected stored members"
            )
    total = sum(member.file_size for member in archive.infolist())
    return f"its members have {total} bytes, it has {size}" if total > size else ""


def check_extent(tensors: int, size: int) -> str:
    """Say why tensors cannot be those of a file: views of the same few numbers, many times over.

    Args:
        tensors: bytes that all tensors would have as arrays of their own.
        size: bytes of the file.

    Returns:
        "" if they have at most four times the bytes of the file; two names of one tensor are usual.

    Examples:
        >>> check_extent(2_000, 1_000)
        ''
        >>> check_extent(10**12, 1_000)
        'it has 1000 bytes and its tensors 1000000000000: they show the same ... many times over'
    """
    if tensors <= 4 * size + 2**20:
        return ""
    return (
        f"it has {size} bytes and its tensors {tensors}: they show the same numbers many times over"
    )
