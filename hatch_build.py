"""Links of a release: to its repository, and those of README, which starts from no folder there.

The address of the repository is said by the environment variable `REPOSITORY`, where the release is
built; it stands in no file, so that a copy of the repository does not lead to another one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")
PICTURES = (".png", ".svg", ".webp")


def absolute(text: str, repository: str | None) -> str:
    """Make relative links absolute.

    Args:
        text: Markdown.
        repository: address of the repository, or None: then links stay as they are.

    Returns:
        The text; pictures lead to `REPOSITORY/raw/main`, other files to `REPOSITORY/blob/main`.

    Examples:
        >>> absolute("[how](docs/how.md) ![map](map.webp)", "https://host/me/it")
        '[how](https://host/me/it/blob/main/docs/how.md) ![map](https://host/me/it/raw/main/map.webp)'
        >>> absolute("[how](docs/how.md)", None)
        '[how](docs/how.md)'
    """
    if repository is None:
        return text

    def lead(found: re.Match[str]) -> str:
        form = "raw" if found[1].endswith(PICTURES) else "blob"
        return f"]({repository.rstrip('/')}/{form}/main/{found[1]})"

    return RELATIVE.sub(lead, text)


def urls(repository: str | None) -> dict[str, str]:
    """Name the pages of a project at the address of its repository.

    Raises:
        ValueError: the address is none of the web.

    Examples:
        >>> urls("https://host/me/it")["Changelog"]
        'https://host/me/it/blob/main/CHANGELOG.md'
        >>> urls(None)
        {}
    """
    if repository is None:
        return {}
    if not re.fullmatch(r"https://[^/\s]+/\S+", repository):
        raise ValueError(f"REPOSITORY={repository!r} is no address such as https://host/owner/name")
    repository = repository.rstrip("/")
    return {
        "Repository": repository,
        "Documentation": f"{repository}/tree/main/docs",
        "Issues": f"{repository}/issues",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
    }


class Links(MetadataHookInterface):
    """Set `readme` and `urls` of the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Read README.md beside this file, and the address."""
        address = os.environ.get("REPOSITORY") or None
        metadata["urls"] = urls(address)
        text = absolute(Path(self.root, "README.md").read_text("utf-8"), address)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
