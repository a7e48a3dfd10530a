"""README in the wheel: links are absolute as soon as the repository has an address."""

import email
import re
import tomllib
import zipfile
from pathlib import Path

import pytest

from hatch_build import absolute

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ADDRESS = "https://example.org/someone/rfp_jax"


def links(text):
    return re.findall(r"\]\(([^)]+)\)", text)


def test_all_links_lead_to_the_repository_and_nothing_else_changes():
    changed = absolute(README, f"{ADDRESS}/")
    for before, after in zip(links(README), links(changed), strict=True):
        if before.startswith("http"):
            assert after == before
        else:
            form = "raw" if Path(before).suffix in {".png", ".svg", ".webp"} else "blob"
            assert after == f"{ADDRESS}/{form}/main/{before}"
    assert re.sub(r"\]\([^)]+\)", "]()", changed) == re.sub(r"\]\([^)]+\)", "]()", README)
    assert any("/raw/main/" in link for link in links(changed))


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")  # one environment for all
def test_the_wheel_shows_the_readme(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("METADATA"))
        found = email.message_from_bytes(archive.read(name))
    assert found["Description-Content-Type"] == "text/markdown"
    expected = absolute(README, project.get("urls", {}).get("Repository"))
    assert found.get_payload(decode=True).decode().strip() == expected.strip()
