"""Labels and splits on disk: as published (pickles) and in a safe form (plain text and npz).

| published | safe | holds |
|---|---|---|
| `train_list.pkl`, `val_list.pkl`, `test_list.pkl` | the same name in `.txt` | patches of a split |
| `test_list_cloudy.pkl` | `test_list_cloudy.txt` | those of them with a cloudy twin |
| `IGBP_probability_labels.pkl` | `IGBP_probability_labels.npz` | 17 probabilities a patch |

A text has one name a line. The npz holds `names`, text [N], and `probabilities`, float64 [N, 17];
`numpy.load` reads it without pickles. Where both forms are there, the safe one is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rfp_jax._util.files import atomic_files
from rfp_jax._util.npz import read_npz
from rfp_jax.datasets.sen12ms._layout import BROKEN, Patch
from rfp_jax.datasets.sen12ms._pickles import Unpickled, read_pickle

LABELS = "IGBP_probability_labels"
SPLITS = ("train", "val", "test")
LISTS = tuple(f"{split}_list{kind}" for split in SPLITS for kind in ("", "_cloudy"))


class MissingLabelError(LookupError):
    """A patch that the table of labels does not have."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of patches.

    Attributes:
        rows: the row of each patch.
        probabilities: of the 17 IGBP classes, float64 [N, 17].
        path: the file that they were read from.
    """

    rows: dict[Patch, int]
    probabilities: np.ndarray
    path: Path

    def of_patch(self, patch: Patch) -> np.ndarray:
        """Probabilities of one patch.

        Args:
            patch: the patch.

        Returns:
            Float64, [17].

        Raises:
            MissingLabelError: if it has no label; names patch and file.
            ValueError: if its label is not a distribution.
        """
        if patch not in self.rows:
            raise MissingLabelError(f"{self.path} has no label for {patch.name}")
        found = self.probabilities[self.rows[patch]]
        if not (np.isfinite(found).all() and (found >= 0).all() and found.sum() > 0):
            raise ValueError(
                f"{self.path}: the label of {patch.name} is not a distribution: {found}"
            )
        return found


def read_labels(folder: Path) -> Labels:
    """Read the labels in a folder.

    Args:
        folder: where `IGBP_probability_labels.npz` or `.pkl` lies.

    Returns:
        The labels of all patches.

    Raises:
        FileNotFoundError: if there is neither; says where to get it.
        UnsafePickleError: if the pickle asks for code.
        ValueError: if the file is damaged or holds something else.
    """
    safe, published = folder / f"{LABELS}.npz", folder / f"{LABELS}.pkl"
    if safe.is_file():
        names, probabilities = _read_npz(safe)
        path = safe
    else:
        content = read_pickle(_published(published))
        if not isinstance(content, dict) or not content:
            raise ValueError(
                f"{published} must hold a dict of patch names and 17 probabilities each, "
                f"got {type(content).__name__}"
            )
        names = list(content)
        wrong = next((name for name, row in content.items() if not _is_row(row)), None)
        if wrong is not None:
            raise ValueError(
                f"{published}: not 17 numbers for {str(wrong)[:80]!r}; expected 17 probabilities "
                "for each patch"
            )
        probabilities = np.array([np.asarray(v, np.float64) for v in content.values()])
        path = published
    if probabilities.shape != (len(names), 17) or not names:
        raise ValueError(
            f"{path}: expected 17 probabilities for each patch, got an array of shape "
            f"{probabilities.shape} for {len(names)} patches"
        )
    patches = _patches(path, names)
    return Labels({patch: row for row, patch in enumerate(patches)}, probabilities, path)


def read_list(folder: Path, name: str) -> tuple[Patch, ...] | None:
    """Read one list of patches, without those that are known to be broken.

    Args:
        folder: where the list lies.
        name: such as `"test_list"` or `"test_list_cloudy"`.

    Returns:
        The patches in the order of the list, or None if there is no such list.

    Raises:
        UnsafePickleError: if the pickle asks for code.
        ValueError: if the file is damaged or holds something else.
    """
    safe, published = folder / f"{name}.txt", folder / f"{name}.pkl"
    if safe.is_file():
        path = safe
        try:
            names: Unpickled = [line.strip() for line in safe.read_text("utf-8").splitlines()]
        except UnicodeDecodeError as error:
            raise ValueError(f"{safe} is not text: {error}") from error
        names = [line for line in names if line]
    elif published.is_file():
        path, names = published, read_pickle(published)
    else:
        return None
    if isinstance(names, np.ndarray):
        names = names.tolist()
    if not isinstance(names, list | tuple):
        raise ValueError(f"{path} must hold a list of patch names, got {type(names).__name__}")
    return tuple(patch for patch in _patches(path, names) if patch not in BROKEN)


def read_split(folder: Path, split: str) -> tuple[Patch, ...]:
    """Read which patches a split has, without those that are known to be broken.

    Args:
        folder: where the lists lie.
        split: `"train"`, `"val"` or `"test"`.

    Returns:
        The patches, in the order of the list.

    Raises:
        FileNotFoundError: if there is no such list; says where to get it, or how to draw it.
        ValueError: see `read_list`; also for another split, and if another list in the folder
            names some of its patches.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train', 'val' or 'test', got {split!r}")
    found = read_list(folder, f"{split}_list")
    if found is None:
        raise _no_list(folder, split)
    if not found:
        raise ValueError(f"{split}_list in {folder} names no patch")
    for other in SPLITS:
        if other != split:
            _refuse_overlap(folder, split, found, other)
    return found


def make_safe(folder: Path, out: Path) -> list[Path]:
    """Convert the published pickles in a folder to their safe form.

    Args:
        folder: where the pickles lie.
        out: folder to write to, may be the same; made if missing.

    Returns:
        The files that were written, each there whole or not at all.

    Raises:
        FileNotFoundError: if there is no pickle of this data set in the folder.
        UnsafePickleError: if a pickle asks for code; nothing is written.
        ValueError: if one is damaged; nothing is written.
    """
    lists = {
        name: [str(each) for each in _list_of_names(folder / f"{name}.pkl")]
        for name in LISTS
        if (folder / f"{name}.pkl").is_file()
    }
    labels = None
    if (folder / f"{LABELS}.pkl").is_file():
        labels = read_labels(folder) if not (folder / f"{LABELS}.npz").is_file() else None
    if not lists and labels is None:
        raise FileNotFoundError(f"no pickle of SEN12MS to convert in {folder}")
    written = []
    with atomic_files(out) as unfinished:
        for name, names in lists.items():
            (unfinished / f"{name}.txt").write_text("\n".join(names) + "\n", "utf-8")
            written.append(out / f"{name}.txt")
        if labels is not None:
            names = np.array([patch.name for patch in labels.rows])
            path = unfinished / f"{LABELS}.npz"
            np.savez_compressed(path, names=names, probabilities=labels.probabilities)
            written.append(out / path.name)
    return written


def _refuse_overlap(folder: Path, split: str, patches: Iterable[Patch], other: str) -> None:
    theirs = set(read_list(folder, f"{other}_list") or ())
    shared = [patch for patch in patches if patch in theirs]
    if shared:
        raise ValueError(
            f"{split}_list and {other}_list in {folder} both name {shared[0].name}, and "
            f"{len(shared) - 1} patches more: a patch belongs to one split. Take these out of one "
            "list, or draw the validation list anew with `rfp-jax sen12ms split`"
        )


def _no_list(folder: Path, split: str) -> FileNotFoundError:
    if split != "val":
        return _missing(folder / f"{split}_list.pkl")
    return FileNotFoundError(
        f"no val_list.txt and no val_list.pkl in {folder}. The public repository of SEN12MS has no "
        f"validation list: `rfp-jax sen12ms split {folder}` draws one from train_list by scene"
    )


def _list_of_names(path: Path) -> Iterable[str]:
    names = read_pickle(path)
    if not isinstance(names, list | tuple | np.ndarray):
        raise ValueError(f"{path} must hold a list of patch names, got {type(names).__name__}")
    return [patch.name for patch in _patches(path, names)]


def _read_npz(path: Path) -> tuple[list[object], np.ndarray]:
    arrays = read_npz(path)
    try:
        return arrays["names"].tolist(), np.asarray(arrays["probabilities"], np.float64)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a table of labels: {error}") from error


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"expected names of patches, got {type(name).__name__}")
    return name[:200]  # an error shows it


def _is_row(row: object) -> bool:
    """Tell whether this is 17 numbers; a list of shared lists could grow as an array."""
    if isinstance(row, np.ndarray):
        return row.shape == (17,) and row.dtype.kind in "biuf"
    if not isinstance(row, list | tuple) or len(row) != 17:
        return False
    return all(isinstance(each, int | float | np.number) for each in row)


def _patches(path: Path, names: Iterable[object]) -> list[Patch]:
    try:
        patches = [Patch.parse(_text(name)) for name in names]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    seen: set[Patch] = set()
    for patch in patches:
        if patch in seen:
            raise ValueError(f"{path} names {patch.name} twice")
        seen.add(patch)
    return patches


def _published(path: Path) -> Path:
    if not path.is_file():
        raise _missing(path)
    return path


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"no {path.name} in {path.parent}. Labels and splits of SEN12MS are in the folders "
        "'labels' and 'splits' of https://github.com/schmitt-muc/SEN12MS: put "
        f"{LABELS}.pkl, train_list.pkl and test_list.pkl into {path.parent}, or name the folder "
        "that has them"
    )
