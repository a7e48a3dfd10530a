"""A validation list, drawn from the training list by scene.

Patches of one scene overlap or lie side by side, so a network that has seen some of them knows the
others. A scene is therefore on one side as a whole.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rfp_jax._util.files import atomic_files
from rfp_jax.datasets.sen12ms._layout import Patch
from rfp_jax.datasets.sen12ms._lists import read_list, read_split


class Drawn(NamedTuple):
    """A training list in two parts.

    Attributes:
        train: the patches that stay, in their order.
        val: the patches for validation, in their order.
    """

    train: tuple[Patch, ...]
    val: tuple[Patch, ...]


def draw_validation(patches: Sequence[Patch], *, fraction: float = 0.1, seed: int = 42) -> Drawn:
    """Draw whole scenes for validation.

    Scenes are drawn in random order until they have at least `fraction` of the patches. The order
    of `patches` does not matter.

    Args:
        patches: the training list.
        fraction: of the patches that validation has at least, between 0 and 1.
        seed: of the draw.

    Returns:
        Both parts; no scene is in both.

    Raises:
        ValueError: if `fraction` is not between 0 and 1, or there are too few scenes for two parts.

    Examples:
        >>> patches = [Patch("ROIs1158_spring", scene, n) for scene in range(5) for n in range(20)]
        >>> train, val = draw_validation(patches, fraction=0.2, seed=0)
        >>> len(train), len(val), len({patch.scene for patch in val})
        (80, 20, 1)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, got {fraction}")
    sizes: dict[tuple[str, int], int] = {}
    for patch in patches:
        scene = (patch.season, patch.scene)
        sizes[scene] = sizes.get(scene, 0) + 1
    scenes = sorted(sizes)
    order = np.random.default_rng(seed).permutation(len(scenes))
    wanted, drawn, count = math.ceil(fraction * len(patches)), set(), 0
    for place in order:
        if count >= wanted:
            break
        drawn.add(scenes[place])
        count += sizes[scenes[place]]
    if not drawn or len(drawn) == len(scenes):
        raise ValueError(
            f"{len(scenes)} scenes are too few to put {fraction:.0%} of {len(patches)} patches "
            "aside and keep some for training"
        )
    val = tuple(patch for patch in patches if (patch.season, patch.scene) in drawn)
    train = tuple(patch for patch in patches if (patch.season, patch.scene) not in drawn)
    return Drawn(train, val)


def write_validation(
    folder: Path, out: Path, *, fraction: float = 0.1, seed: int = 42
) -> tuple[Drawn, list[Path]]:
    """Draw a validation list from the training list in a folder, and write both as text.

    Args:
        folder: where train_list lies.
        out: folder to write `val_list.txt` and the remaining `train_list.txt` to, and, where there
            is a list of cloudy training patches, `val_list_cloudy.txt`. May be the same:
            `train_list.pkl` stays as it is, and the text is preferred from then on.
        fraction: see `draw_validation`.
        seed: see `draw_validation`.

    Returns:
        Both parts, and the files that were written.

    Raises:
        FileNotFoundError: if there is no training list; says where to get it.
        FileExistsError: if there is a validation list already, in either folder.
        ValueError: see `draw_validation` and `read_list`.
    """
    for name in ("val_list.txt", "val_list.pkl"):
        for place in (folder, out):
            if (place / name).exists():
                raise FileExistsError(
                    f"{place / name} exists already and is left as it is: use it, or remove it "
                    "first and put its patches back into train_list"
                )
    drawn = draw_validation(read_split(folder, "train"), fraction=fraction, seed=seed)
    texts = {"val_list.txt": drawn.val, "train_list.txt": drawn.train}
    cloudy = read_list(folder, "train_list_cloudy")
    if cloudy is not None:
        there = set(cloudy)
        texts["val_list_cloudy.txt"] = tuple(patch for patch in drawn.val if patch in there)
    with atomic_files(out) as unfinished:
        for name, patches in texts.items():
            (unfinished / name).write_text(_text(patches), "utf-8")
    return drawn, [out / name for name in texts]


def _text(patches: Iterable[Patch]) -> str:
    return "".join(f"{patch.name}\n" for patch in patches)
