"""Data sets of maps, beside relevance in memory: `python -m benchmarks.dense`.

The U-Net of two sources of `benchmarks.maps`, images of 256 x 256 pixels, 6 classes, with labels.
`evaluate` reads, explains, averages over regions and commits; in memory the same batches are
explained alone. Both take turns. Tracing, compiling and hashing are in two tables, of few and of
many images, and their difference is the time of further images.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.maps import SIDE
from benchmarks.speed.throughput import further
from benchmarks.speed.unet import CLASSES, kernels, unet
from rfp_jax.tables import Places


def images(count: int, side: int) -> list[dict[str, np.ndarray]]:
    """Random images of 10 and 2 bands, and labels."""
    draw = np.random.default_rng(0)
    return [
        {
            "optical": draw.normal(size=(side, side, 10)).astype(np.float32),
            "radar": draw.normal(size=(side, side, 2)).astype(np.float32),
            "label": draw.integers(0, CLASSES, (side, side), np.uint8),
        }
        for _ in range(count)
    ]


def main() -> None:
    """Print the speed of further images, beside relevance in memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=24, help="images of the larger table")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=SIDE)
    given = parser.parse_args()
    tables = {"means of regions": Places(), "maps, too": Places(keep_maps=True)}
    seconds = further(
        unet,
        kernels(12),
        images(given.images, given.side),
        classes=CLASSES,
        batch=given.batch,
        rounds=given.rounds,
        tables=tables,
    )
    count, memory = given.images - given.batch, seconds["memory"]
    print(f"{count} images of {given.side} x {given.side} in memory: {memory:.2f} s")
    for word in tables:
        taken = seconds[word]
        print(f"in a table, {word}: {taken:.2f} s, {memory / taken:.2f} of the speed")


if __name__ == "__main__":
    main()
