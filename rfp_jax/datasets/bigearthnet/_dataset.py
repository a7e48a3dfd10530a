"""BigEarthNet as samples of optical and radar images with several labels."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from rfp_jax.datasets._geotiff import Grid, PatchError
from rfp_jax.datasets.bigearthnet._bands import BANDS, SAR_BANDS, Resolution
from rfp_jax.datasets.bigearthnet._classes import multi_label
from rfp_jax.datasets.bigearthnet._config import SAR, BigEarthNetConfig
from rfp_jax.datasets.bigearthnet._files import read_band
from rfp_jax.datasets.bigearthnet._metadata import S1_NAME, S2_NAME, Metadata, read_metadata

NATIVE = BigEarthNetConfig()
"""All bands at their own resolutions, 19 classes."""


class BigEarthNet:
    """Patches of BigEarthNet-S1 and BigEarthNet-S2 (version 1.0), read from their folders.

    A sample is a dict of

    - each source of the config: float32 [rows, columns, bands], masked where there are no data;
    - `label`: bool [19 or 43], which classes the patch shows;
    - `id`: the name of the patch: that of Sentinel-1 if there is radar, else that of Sentinel-2;
    - `s1_patch`, `s2_patch`: both names, as far as there are both;
    - `acquired`: when the optical image was taken, `s1_acquired` when the radar image was (UTC);
    - `tile`: the tile of Sentinel-2, such as `"33UUP"`;
    - `crs`, such as `"EPSG:32633"`, and `center_x`, `center_y`, the middle of the patch in it.

    Which optical patch belongs to a radar patch stands in the radar patch's JSON file, and is
    read with it. With 19 classes 57 patches of the archive show none of them: their `label` is
    False everywhere.

    Args:
        s1: folder of BigEarthNet-S1, with a folder for each patch; None if there is no radar.
        s2: folder of BigEarthNet-S2; None if there are no optical bands.
        config: what a sample shall hold.
        names: which patches, in which order, by their `id`; by default all, by name.

    Attributes:
        ids: names of all patches, for `rfp_jax.tables.Columns(ids=...)`.

    Raises:
        FileNotFoundError: a folder is missing or holds no patch.
        ValueError: a folder is asked for and not given, or a name is not the name of a patch.

    Examples:
        >>> BigEarthNet("no/such/folder", "neither")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no BigEarthNet-S1 in no/such/folder: ...
    """

    def __init__(
        self,
        s1: str | os.PathLike[str] | None,
        s2: str | os.PathLike[str] | None,
        config: BigEarthNetConfig = NATIVE,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        self.config = config
        given = {"s1": s1, "s2": s2}
        asked = [sensor for sensor in given if sensor in config.inputs]
        if lacking := [sensor for sensor in asked if given[sensor] is None]:
            raise ValueError(f"inputs={config.inputs!r} needs the folder {lacking[0]}=")
        self._roots = {sensor: _root(sensor, Path(str(given[sensor]))) for sensor in asked}
        first = asked[0]
        if names is None:
            self.ids = _patches(first, self._roots[first])
        else:
            self.ids = list(names)
            if other := [name for name in self.ids if not _NAMES[first].fullmatch(name)]:
                raise ValueError(
                    f"{other[0]!r} is not the name of a patch of BigEarthNet-{first.upper()}, as "
                    f"{_EXAMPLES[first]}"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"BigEarthNet({len(self)} patches, {self.config})"

    # arrays, text and times
    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        folders, found = self._pair(self.ids[index])
        own = next(iter(found.values()))
        sample: dict[str, object] = {"id": self.ids[index], "label": self._label(folders, own)}
        grids: list[Grid] = []
        for source, (resolution, bands) in self.config.stacks.items():
            sensor = "s1" if source == SAR else "s2"
            sample[source], read = self._stack(folders[sensor], bands, resolution)
            grids += read
        self._check_place(folders, found, grids)
        sample |= {f"{sensor}_patch": folder.name for sensor, folder in folders.items()}
        if "s1" in found:
            sample["s1_acquired"] = found["s1"].acquired
        x, y = grids[0].center
        return sample | {
            "acquired": found["s2"].acquired if "s2" in found else own.acquired,
            "tile": own.tile,
            "crs": grids[0].system,
            "center_x": x,
            "center_y": y,
        }

    def _pair(self, name: str) -> tuple[dict[str, Path], dict[str, Metadata]]:
        """The folders of a patch and what their JSON files say, radar first."""
        folders: dict[str, Path] = {}
        found: dict[str, Metadata] = {}
        for sensor, root in self._roots.items():  # radar names its partner
            folders[sensor] = root / (found["s1"].partner if "s1" in found else name)
            found[sensor] = read_metadata(folders[sensor])
        return folders, found

    def _label(self, folders: dict[str, Path], own: Metadata) -> np.ndarray:
        try:
            return multi_label(own.labels, self.config.classes)
        except ValueError as error:
            raise PatchError(f"{next(iter(folders.values()))}: {error}") from error

    def _stack(
        self, folder: Path, bands: Sequence[str], resolution: Resolution
    ) -> tuple[np.ma.MaskedArray, list[Grid]]:
        """Read bands of one patch as one array, and where each is."""
        known = {**BANDS, **SAR_BANDS}
        images, grids = [], []
        for band in bands:
            path = folder / f"{folder.name}_{band}.tif"
            image, grid = read_band(path, known[band], resolution, self.config.resampling)
            if self.config.normalize:
                image = (image - known[band].mean) / known[band].std
            images.append(image.astype(np.float32))
            grids.append(grid)
        return np.ma.stack(images, axis=-1), grids

    def _check_place(
        self, folders: dict[str, Path], found: dict[str, Metadata], grids: Sequence[Grid]
    ) -> None:
        """Refuse files that lie elsewhere than the JSON files say, and partners that differ."""
        names = " and ".join(map(str, folders.values()))
        first = grids[0]
        if other := [grid for grid in grids if not grid.same_ground(first)]:
            raise PatchError(f"{names}: bands lie on other grounds: {other[0]}, and {first}")
        for each in found.values():
            if not np.allclose(each.corner, first.corners[:2], rtol=0, atol=0.01):
                raise PatchError(
                    f"{names}: the upper left corner is {each.corner} by the JSON file, and "
                    f"{first.corners[:2]} by the bands"
                )
        if len({frozenset(each.labels) for each in found.values()}) > 1:
            raise PatchError(f"{names}: the labels of both sensors differ")


_NAMES = {"s1": S1_NAME, "s2": S2_NAME}
_EXAMPLES = {
    "s1": "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48",
    "s2": "S2A_MSIL2A_20170613T101031_87_48",
}


def _root(sensor: str, given: Path) -> Path:
    root = given.expanduser()
    if not root.is_dir():
        raise FileNotFoundError(
            f"no BigEarthNet-{sensor.upper()} in {given}: there is no such folder. Get the archive "
            "(version 1.0) from https://bigearth.net and unpack it there"
        )
    return root


def _patches(sensor: str, root: Path) -> list[str]:
    """Names of the folders of patches, sorted."""
    with os.scandir(root) as entries:
        found = sorted(e.name for e in entries if _NAMES[sensor].fullmatch(e.name))
    if not found:
        raise FileNotFoundError(
            f"no BigEarthNet-{sensor.upper()} in {root}: expected folders such as "
            f"{_EXAMPLES[sensor]}"
        )
    return found
