"""The archive as published: a folder of GeoTIFFs, with lists of patches and a table of labels."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from rfp_jax.datasets._geotiff import MissingFileError
from rfp_jax.datasets.sen12ms._clouds import cloud_cover, cloud_mask
from rfp_jax.datasets.sen12ms._geotiff import read_land_cover, read_s1, read_s2
from rfp_jax.datasets.sen12ms._layout import (
    RGB_BANDS,
    S2_BANDS,
    SEASONS,
    SIZE,
    Kind,
    Patch,
    PatchSplit,
)
from rfp_jax.datasets.sen12ms._lists import read_labels, read_list, read_split
from rfp_jax.datasets.sen12ms._normalize import normalize_s1, normalize_s2

Optical = Literal["s2", "rgb"]
SYNTHETIC = "SYNTHETIC.json"
"""A file in archives that `synthesize` has written: they say in words that they are synthetic."""


class Reading(NamedTuple):
    """The parts of a patch that were read; None where one was not asked for.

    Attributes:
        optical: normalized Sentinel-2, float32 [size, size, 10 or 3].
        sar: normalized Sentinel-1, float32 [size, size, 2].
        cloud_cover: estimated cloud cover of the optical image, 0 to 1.
    """

    optical: np.ndarray | None
    sar: np.ndarray | None
    cloud_cover: float | None


class Patches(Protocol):
    """Patches of one split, wherever they are stored: `Archive` or `Packed`.

    Attributes:
        patches: their names.
        twins: whether each has a cloudy twin, bool [N].
        size: height and width of the images.
        note: what must be said about the data wherever they are shown, such as that they are
            synthetic; "" for the real ones.
    """

    patches: Sequence[Patch]
    twins: np.ndarray
    size: int
    note: str

    def probabilities(self, index: int) -> np.ndarray:
        """The patch's 17 probabilities, float64 [17]."""
        ...

    def check_cloudy(self) -> None:
        """Look whether there are cloudy images where twins are named; reads none."""
        ...

    def read(
        self, index: int, *, optical: Optical | None, sar: bool, cloudy: bool, cover: bool
    ) -> Reading:
        """Read images of a patch."""
        ...


class Archive:
    """Patches of one split of SEN12MS, read from GeoTIFFs, with cloudy twins from SEN12MS-CR.

    Which patches have a twin is what `<split>_list_cloudy` says; without that list, those whose
    cloudy file is there.

    Args:
        root: the folder with `ROIs1158_spring` and the other seasons.
        split: `"train"`, `"val"` or `"test"`.
        labels: folder with labels and splits; `root` if None.
        cloudy: folder with `ROIs1158_spring_s2_cloudy` and the other seasons; `root` if None.
        size: height and width that every image must have; 256 in the published archive.

    Raises:
        FileNotFoundError: if `root`, the labels or the split are missing, or `cloudy` is no
            folder of SEN12MS-CR; says what to get.
        ValueError: if labels or lists are damaged.
        UnsafePickleError: if one of them asks for code.

    Examples:
        >>> Archive("no/such/folder", "test")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no SEN12MS in no/such/folder: ...
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: PatchSplit,
        *,
        labels: str | os.PathLike[str] | None = None,
        cloudy: str | os.PathLike[str] | None = None,
        size: int = SIZE,
    ) -> None:
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"no SEN12MS in {root}: there is no such folder. Get the archive from "
                "https://mediatum.ub.tum.de/1474000 and unpack it there, or try the experiment "
                f"with `rfp-jax sen12ms synthesize {root}`"
            )
        self.cloudy_root = self.root if cloudy is None else Path(cloudy).expanduser()
        folder = self.root if labels is None else Path(labels).expanduser()
        self.split, self.size, self.note = split, size, _note(self.root)
        self.patches: Sequence[Patch] = read_split(folder, split)
        self.labels = read_labels(folder)
        self.twins = self._twins(read_list(folder, f"{split}_list_cloudy"))
        folders = [self.cloudy_root / f"{season}_s2_cloudy" for season in SEASONS]
        if cloudy is not None and not any(map(Path.is_dir, folders)):
            raise self._no_clouds("no folder of SEN12MS-CR")

    def __len__(self) -> int:
        return len(self.patches)

    def __repr__(self) -> str:
        return f"Archive({str(self.root)!r}, {self.split!r}: {len(self)} patches)"

    def probabilities(self, index: int) -> np.ndarray:
        """Shares of the 17 IGBP classes in a patch.

        Args:
            index: of the patch.

        Returns:
            Float64, [17].

        Raises:
            MissingLabelError: if the patch has no label.
        """
        return self.labels.of_patch(self.patches[index])

    def file(self, index: int, kind: Kind) -> Path:
        """Return the path of a patch's file.

        Args:
            index: of the patch.
            kind: which file.

        Returns:
            Its path.
        """
        root = self.cloudy_root if kind == "s2_cloudy" else self.root
        return root / self.patches[index].file(kind)

    def read(
        self, index: int, *, optical: Optical | None, sar: bool, cloudy: bool, cover: bool
    ) -> Reading:
        """Read images of a patch.

        Args:
            index: of the patch.
            optical: which optical bands, if any.
            sar: whether to read Sentinel-1.
            cloudy: whether to take the cloudy twin of the optical image.
            cover: whether to estimate the cloud cover of the optical image, which needs all bands.

        Returns:
            What was asked for, normalized.

        Raises:
            PatchError: if a file is missing, damaged or of another kind; names it.
        """
        radar = normalize_s1(read_s1(self.file(index, "s1"), size=self.size)) if sar else None
        if optical is None:
            return Reading(None, radar, None)
        path = self._optical(index, cloudy)
        bands = S2_BANDS if optical == "s2" else RGB_BANDS
        if not cover:
            return Reading(normalize_s2(read_s2(path, bands, size=self.size)), radar, None)
        whole = read_s2(path, size=self.size)
        chosen = whole[..., np.subtract(bands, 1)]
        return Reading(normalize_s2(chosen), radar, cloud_cover(whole))

    def land_cover(self, index: int) -> np.ndarray:
        """Read the IGBP class of every pixel of a patch.

        Args:
            index: of the patch.

        Returns:
            Classes from 0 on, int32 [size, size]; -1 where none is known.

        Raises:
            PatchError: if the file is missing, damaged or of another kind; names it.
        """
        return read_land_cover(self.file(index, "lc"), size=self.size)

    def cloud_mask(self, index: int, *, cloudy: bool) -> np.ndarray:
        """Estimate which pixels of a patch are under clouds, see `cloud_mask`.

        Args:
            index: of the patch.
            cloudy: whether to look at the cloudy twin of the optical image.

        Returns:
            Bool, [size, size].

        Raises:
            PatchError: if the file is missing, damaged or of another kind; names it.
        """
        return cloud_mask(read_s2(self._optical(index, cloudy), size=self.size))

    def check_cloudy(self) -> None:
        """Look whether the folder of SEN12MS-CR is the right one; reads no image.

        Raises:
            FileNotFoundError: if it has the cloudy file of no patch of this split.
        """
        if not self._on_disk().any():
            raise self._no_clouds(f"no cloudy file of the {len(self)} patches in {self.split}_list")

    def _optical(self, index: int, cloudy: bool) -> Path:
        path = self.file(index, "s2_cloudy" if cloudy else "s2")
        if cloudy and not path.is_file():
            raise MissingFileError(
                f"{path} is missing: the cloudy twin of {self.patches[index].name}, from SEN12MS-CR"
            )
        return path

    def _no_clouds(self, what: str) -> FileNotFoundError:
        expected = self.patches[0].file("s2_cloudy")
        return FileNotFoundError(
            f"{self.cloudy_root} has {what}: expected files such as {expected}. Get SEN12MS-CR "
            "from https://patricktum.github.io/cloud_removal/sen12mscr/ and unpack its folders "
            "with _s2_cloudy there, or name the folder that has them"
        )

    def _twins(self, listed: tuple[Patch, ...] | None) -> np.ndarray:
        if listed is not None:
            twins = np.fromiter(map(set(listed).__contains__, self.patches), bool)
            if listed and not twins.any():
                raise ValueError(
                    f"none of the patches in {self.split}_list_cloudy is in {self.split}_list"
                )
            return twins
        return self._on_disk()

    def _on_disk(self) -> np.ndarray:
        """Tell which patches have their cloudy file, bool [N]; lists a folder once."""
        there: dict[Path, set[str]] = {}
        found = np.zeros(len(self), bool)
        for index in range(len(self)):
            path = self.file(index, "s2_cloudy")
            if path.parent not in there:
                there[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
            found[index] = path.name in there[path.parent]
        return found


def _note(root: Path) -> str:
    path = root / SYNTHETIC
    return str(json.loads(path.read_text("utf-8"))["note"]) if path.is_file() else ""
