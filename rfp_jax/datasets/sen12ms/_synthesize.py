"""A small synthetic archive in the exact layout of SEN12MS and SEN12MS-CR.

Nothing in it was measured: it is for tests, and for trying the experiment without the real archive.
It says so in `SYNTHETIC.json` and `README.txt`, and every figure made from it does.
"""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import new_folder
from rfp_jax.datasets.sen12ms._archive import SYNTHETIC
from rfp_jax.datasets.sen12ms._labels import SIMPLIFIED
from rfp_jax.datasets.sen12ms._layout import SEASONS, SIZE, Patch
from rfp_jax.datasets.sen12ms._lists import LABELS
from rfp_jax.datasets.sen12ms._scenery import clouded, scene

NOTE = "synthetic data, not SEN12MS"
"""The note on everything that is made from such an archive."""

SHARES = {"train": 0.6, "val": 0.1, "test": 0.3}
TWINS = 0.7
"""Fraction of the patches that have a cloudy twin, as in the published test split."""

SCENE = 40
"""Patches in a scene; a scene belongs to one split."""


def synthesize(
    out: str | os.PathLike[str],
    patches: int,
    *,
    size: int = SIZE,
    seed: int = 42,
    advance: Callable[[], None] = lambda: None,
) -> Path:
    """Write a synthetic archive: GeoTIFFs, lists and labels, as published.

    The ten simplified classes are equally frequent. Of every split, seven patches in ten have a
    cloudy twin, whose cloud cover is drawn evenly from 0.02 to 1. The same seed gives the same
    archive with the same version of NumPy, and the first patches of a larger one are not those of
    a smaller one.

    Args:
        out: the folder to write; it must not exist, and appears when it is complete.
        patches: how many patches, at least 10.
        size: height and width in pixels; official are 256. A reader must be told of another size.
        seed: seed of everything random.
        advance: called after every patch, for a progress bar.

    Returns:
        The folder.

    Raises:
        FileExistsError: if it exists.
        ValueError: if there are fewer than 10 patches, or they are smaller than 16 pixels.
        ModuleNotFoundError: if rasterio is not installed.
    """
    if patches < 10 or size < 16 or seed < 0:
        raise ValueError(
            "at least 10 patches of at least 16 pixels and a seed that is not negative are needed, "
            f"got {patches} of {size} pixels, seed {seed}"
        )
    with needs_extra("Writing GeoTIFFs", "experiments"):
        import rasterio  # noqa: F401  (found missing here rather than in the middle)
    folder = Path(out).expanduser()
    labels: dict[str, np.ndarray] = {}
    covers: dict[str, float] = {}
    with new_folder(folder) as unfinished:
        for split, names in _plan(patches, seed).items():
            cloudy = []
            for number, patch in names:
                rng = np.random.default_rng([seed, number])
                dominant = rng.choice(np.flatnonzero(np.equal(SIMPLIFIED, number % 10)))
                clear = scene(rng, int(dominant), size)
                labels[patch.name] = clear.probabilities
                _write_clear(unfinished, patch, clear.s2, clear.s1, clear.cover)
                if rng.random() < TWINS:
                    twin = clouded(rng, clear.s2, rng.uniform(0.02, 1))
                    _write_twin(unfinished, patch, twin.s2)
                    covers[patch.name] = twin.cover
                    cloudy.append(patch.name)
                advance()
            _write_pickle(unfinished / f"{split}_list.pkl", [patch.name for _, patch in names])
            _write_pickle(unfinished / f"{split}_list_cloudy.pkl", cloudy)
        _write_pickle(unfinished / f"{LABELS}.pkl", labels)
        _write_note(unfinished, patches, size, seed, covers)
    return folder


def _plan(patches: int, seed: int) -> dict[str, list[tuple[int, Patch]]]:
    """Plan the patches of each split, with their numbers; no scene is in two splits."""
    order = np.random.default_rng(seed).permutation(patches)
    edges = np.cumsum([round(share * patches) for share in SHARES.values()])[:-1]
    plan, scenes = {}, 0
    for split, numbers in zip(SHARES, np.split(order, edges), strict=True):
        plan[split] = []
        for start in range(0, len(numbers), SCENE):
            scenes += 1
            season = SEASONS[scenes % len(SEASONS)]
            plan[split] += [
                (int(number), Patch(season, scenes, place))
                for place, number in enumerate(numbers[start : start + SCENE], start=30)
            ]
    return plan


def _write_clear(
    root: Path, patch: Patch, s2: np.ndarray, s1: np.ndarray, cover: np.ndarray
) -> None:
    _write(root / patch.file("s2"), s2, patch)
    _write(root / patch.file("s1"), s1, patch)
    igbp = np.stack([cover + 1, *(np.zeros_like(cover),) * 3]).astype(np.uint16)
    _write(root / patch.file("lc"), igbp, patch)


def _write_twin(root: Path, patch: Patch, s2: np.ndarray) -> None:
    """The three files of SEN12MS-CR: cloudy, and copies of the clear ones."""
    _write(root / patch.file("s2_cloudy"), s2, patch)
    for kind in ("s1", "s2"):
        source = patch.file(kind)
        target = root / f"{patch.season}_{kind}" / source.relative_to(patch.season)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / source, target)


def _write(path: Path, image: np.ndarray, patch: Patch) -> None:
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = image.shape
    corner = rasterio.Affine(
        *(10, 0, 500_000 + 1_280 * patch.number),
        *(0, -10, 5_300_000 - 25_600 * patch.scene),
    )
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=count,
        dtype=image.dtype,
        crs="EPSG:32632",
        transform=corner,
    ) as file:
        file.write(image)


def _write_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=4))


def _write_note(root: Path, patches: int, size: int, seed: int, covers: dict[str, float]) -> None:
    facts = {"note": NOTE, "patches": patches, "size": size, "seed": seed, "cloud_cover": covers}
    (root / SYNTHETIC).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    (root / "README.txt").write_text(
        "This archive is synthetic. Nothing in it was measured by Sentinel-1 or Sentinel-2.\n"
        "It has the layout of SEN12MS and SEN12MS-CR, for tests and for trying things offline.\n"
        f"It was drawn with seed {seed}: {patches} patches of {size} x {size} pixels.\n"
        "Numbers that come from it say nothing about the real data.\n",
        "utf-8",
    )
