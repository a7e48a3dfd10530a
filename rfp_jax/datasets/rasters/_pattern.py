"""Paths with named fields, such as `"{site}/{date}_s1.tif"`: they are matched, and made."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

_FIELD = re.compile(r"\{(\w*)\}")


class Pattern:
    """A path below a folder in which fields in braces stand for parts of file and folder names.

    A field stands for at least one character and never for a slash; one that occurs twice stands
    for the same text. Between two fields some text must say where one ends.

    Args:
        text: the path, with `/` between folders.

    Raises:
        ValueError: it has no field, a field without a name, two fields without anything between,
            leaves the folder, or has a brace of its own.

    Examples:
        >>> pattern = Pattern("{site}/{date}_s1.tif")
        >>> pattern.match("alps/2017-06-01_s1.tif")
        {'site': 'alps', 'date': '2017-06-01'}
        >>> pattern.path({"site": "alps", "date": "2018-01-02"})
        'alps/2018-01-02_s1.tif'
        >>> pattern.match("alps/2017-06-01_s2.tif") is None
        True
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts = _FIELD.split(text)  # text, field, text, field, ..., text
        self.fields = tuple(dict.fromkeys(parts[1::2]))
        if not self.fields:
            raise ValueError(f"{text!r} has no field such as {{site}}: what differs between files?")
        if bad := [name for name in self.fields if not name.isidentifier()]:
            raise ValueError(f"{text!r}: {bad[0]!r} is not the name of a field, such as {{site}}")
        if "" in parts[2:-1:2]:
            raise ValueError(f"{text!r}: some text must part one field from the next")
        if any(brace in part for part in parts[::2] for brace in "{}"):
            raise ValueError(f"{text!r} has a brace that belongs to no field such as {{site}}")
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or str(path) != text:
            raise ValueError(
                f"{text!r} must be a path below the folder, with single slashes and without '..'"
            )
        seen: set[str] = set()
        expression = re.escape(parts[0])
        for name, fixed in zip(parts[1::2], parts[2::2], strict=True):
            expression += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
            expression += re.escape(fixed)
            seen.add(name)
        self._expression = re.compile(expression)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def match(self, path: str) -> dict[str, str] | None:
        """Return what the fields stand for in a path; None if the path is another one."""
        found = self._expression.fullmatch(path)
        return None if found is None else found.groupdict()

    def path(self, fields: Mapping[str, str]) -> str:
        """Return the path in which the fields stand for these texts."""
        return _FIELD.sub(lambda found: fields[found[1]], self.text)


def files_below(root: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, with `/`, in order."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            yield (Path(folder) / name).relative_to(root).as_posix()
