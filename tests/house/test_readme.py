"""Links in what is built: they lead to the repository whose address the release is given."""

import email
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hatch_build import absolute, urls

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
    found = metadata(wheel)
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload(decode=True).decode().strip() == README.strip()
    assert found.get_all("Project-URL") is None


@pytest.mark.slow
def test_a_release_is_given_its_address(tmp_path):
    """The wheel is made of the source distribution, as `make dist` makes it."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, ROOT]
    environment = {**os.environ, "REPOSITORY": ADDRESS}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    found = metadata(next(tmp_path.glob("*.whl")))
    assert found.get_payload(decode=True).decode().strip() == absolute(README, ADDRESS).strip()
    written = dict(line.split(", ") for line in found.get_all("Project-URL"))
    assert written == urls(ADDRESS)
    assert written["Repository"] == ADDRESS


def test_an_address_is_one_of_the_web():
    with pytest.raises(ValueError, match="no address such as https://host/owner/name"):
        urls("git@host:me/it")


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("METADATA"))
        return email.message_from_bytes(archive.read(name))
