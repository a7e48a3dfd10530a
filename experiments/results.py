"""Folders of results: what a folder holds, so that no experiment writes over another one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rfp_jax._util.files import atomic_file

ABOUT = "experiment.json"
"""The file that says which experiment a folder belongs to, and its settings."""


class OtherExperimentError(ValueError):
    """A folder holds something else than what shall be written to it."""


def claim(folder: Path, experiment: str, settings: Mapping[str, Any]) -> None:
    """Make a folder the place of an experiment, or make sure that it is that already.

    Args:
        folder: the folder; made if missing.
        experiment: name of the experiment.
        settings: what the results depend on, as JSON keeps it.

    Raises:
        OtherExperimentError: if the folder holds another experiment or other files; names what
            differs. Nothing is written then.
        OSError: if the folder cannot be written to.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "results")
        >>> claim(folder, "mnist", {"epochs": 1})
        >>> claim(folder, "mnist", {"epochs": 1})  # it goes on there
        >>> claim(folder, "mnist", {"epochs": 2})
        Traceback (most recent call last):
        experiments.results.OtherExperimentError: ... holds another experiment:
          epochs: 1 there, 2 now
        Choose another folder (--out) or remove this one.
    """
    now = {"experiment": experiment, "settings": json.loads(json.dumps(settings))}
    if folder.is_dir() and any(folder.iterdir()):
        there = about(folder)
        if found := differences(there, now):
            raise OtherExperimentError(
                "\n".join([f"{folder} holds another experiment:", *found, _REMEDY])
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ABOUT, now)


def refuse_other(folder: Path) -> None:
    """Make sure that no other experiment has claimed a folder; for commands that claim none.

    Args:
        folder: the folder; it need not be there.

    Raises:
        OtherExperimentError: if an experiment has claimed it.
    """
    if (folder / ABOUT).exists():
        name = about(folder)["experiment"]
        raise OtherExperimentError(f"{folder} holds the experiment {name!r}. {_REMEDY}")


def about(folder: Path, experiment: str | None = None) -> dict[str, Any]:
    """Read what a folder holds.

    Args:
        folder: the folder.
        experiment: the experiment that it must hold; any unless given.

    Returns:
        `{"experiment": name, "settings": {...}}`.

    Raises:
        FileNotFoundError: if there is no such folder.
        OtherExperimentError: if it holds no experiment, or another one.

    Examples:
        >>> about(Path("no/such/folder"))
        Traceback (most recent call last):
        FileNotFoundError: no results at no/such/folder
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no results at {folder}")
    try:
        found = json.loads((folder / ABOUT).read_text())
        name, _ = found["experiment"], dict(found["settings"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise OtherExperimentError(
            f"{folder} holds files, but no results of an experiment ({ABOUT}). {_REMEDY}"
        ) from error
    if experiment not in (None, name):
        raise OtherExperimentError(f"{folder} holds the experiment {name!r}, not {experiment!r}")
    return found


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name every setting in which two experiments differ.

    Args:
        there: what a folder holds.
        now: what is asked for.

    Returns:
        A line each.

    Examples:
        >>> differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
        ['  a.b: 1 there, 3 now']
    """
    old, new = _flat(there), _flat(now)
    return [
        f"  {name}: {json.dumps(old.get(name))} there, {json.dumps(new.get(name))} now"
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    ]


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that is there whole or not at all.

    Args:
        path: the file; it is replaced.
        content: what it shall hold.
    """
    with atomic_file(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n")


_REMEDY = "Choose another folder (--out) or remove this one."


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """All leaves of nested mappings; settings need no word that they are settings."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        here = path if key == "settings" else f"{path}{key}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{here}." if here else "")
        else:
            found[here] = value
    return found
