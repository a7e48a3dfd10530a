"""Sum up the maps in numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.clouds.explaining import Explained, speaking
from experiments.clouds.images import Image
from experiments.clouds.network import CLASSES, CloudNetwork, run_onnxruntime

OPAQUE = 0.5
"""A painted cloud counts from this opacity on, a painted shadow from this part of the deepest."""


def summarize(image: Image, found: Explained, bands: Sequence[str]) -> dict[str, Any]:
    """Put an image into numbers.

    Args:
        image: the image.
        found: what is known of its pixels.
        bands: names of the bands.

    Returns:
        As JSON keeps it. `classes`: for each class how many pixels are named so, the mean relevance
        of each band and the bias for it there, and at which fraction of them which band speaks
        most for it. `found`: which fraction of what was painted is named so.
    """
    classes = {}
    for number, name in enumerate(CLASSES):
        there = found.mask == number
        parts = dict(zip((*bands, "bias"), (*found.bands, found.bias), strict=True))
        first, _ = speaking(found.bands[..., number])
        classes[name] = {
            "pixels": int(there.sum()),
            "mean_relevance": {k: _mean(part[..., number][there]) for k, part in parts.items()},
            "speaks_most": {k: _mean(first[there] == b) for b, k in enumerate(bands)},
        }
    cloud, shadow = image.opacity >= OPAQUE, image.shadow >= OPAQUE * (image.shadow.max() or 1)
    return {
        "image": image.name,
        "classes": classes,
        "found": {
            "painted cloud": _mean(found.mask[cloud] == CLASSES.index("cloud")),
            "painted shadow": _mean(found.mask[shadow & ~cloud] == CLASSES.index("shadow")),
        },
        "parts_minus_logits": found.deviation,
    }


def compare(
    network: CloudNetwork, image: Image, found: Explained, package: np.ndarray
) -> dict[str, Any]:
    """Compare an image's logits with onnxruntime's, and its mask with the package's own.

    Args:
        network: the network.
        image: the image.
        found: what is known of its pixels.
        package: the mask of the package, [y, x].

    Returns:
        `logits_float32`: the largest difference of the logits from onnxruntime's, relative to the
        greatest, with all float16 of the file as float32; `logits_float16`: with the file as it is;
        `mask_float32`: how many pixels another class is named at than from onnxruntime's float32;
        `mask`: how many than by the package, which computes in float16; `margin`: by how much the
        two likeliest classes differ there at most, in probability.
    """
    windows = network.windows(image.reflectance)
    single, half = (run_onnxruntime(network.path, windows, widen=w) for w in (True, False))
    theirs, _ = network.mask(single, image.reflectance.shape[:2])
    apart = found.mask != package
    ordered = np.sort(found.probability, -1)
    margin = ordered[..., -1] - ordered[..., -2]
    return {
        "logits_float32": _difference(found.logits, single),
        "logits_float16": _difference(found.logits, half),
        "mask_float32": int((found.mask != theirs).sum()),
        "mask": int(apart.sum()),
        "margin": float(margin[apart].max(initial=0)),
    }


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _mean(values: np.ndarray) -> float | None:
    """The mean, None where there is nothing."""
    return float(values.mean()) if values.size else None
