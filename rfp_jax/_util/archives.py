"""Measure what a zip file would unpack to, before it is unpacked."""

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
