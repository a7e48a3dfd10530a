"""README as the wheel shows it: a package index knows no folder that a link could start from."""

from __future__ import annotations

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
        repository: address of the repository, as `project.urls` has it; None while there is none:
            then links stay as they are.

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


class Readme(MetadataHookInterface):
    """Set `readme` of the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Read README.md beside this file; the address is `project.urls.Repository`."""
        text = Path(self.root, "README.md").read_text("utf-8")
        address = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, address)}
