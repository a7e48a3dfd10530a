"""Data sets of maps, beside relevance in memory: `python -m benchmarks.dense`.

The U-Net of two sources of `benchmarks.maps`, images of 256 x 256 pixels, 6 classes, with labels.
`evaluate` reads, explains, averages over regions and commits; in memory the same batches are
explained alone. Both take turns. Tracing, compiling and hashing are in two tables, of few and of
many images, and their difference is the time of further images.
"""

from __future__ import annotations

import argparse
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

import rfp_jax
from benchmarks.maps import CLASSES, SIDE, kernels, unet
from benchmarks.speed.timing import interleave
from rfp_jax.tables import Places, RunOptions, evaluate


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
    params, many = kernels(12), images(given.images, given.side)
    few = many[: given.batch]
    device = jax.devices()[:1]
    explain = rfp_jax.jit(rfp_jax.relevance(unet, argnums=(1, 2)))
    batches = [many[i : i + given.batch] for i in range(0, len(many), given.batch)]
    stacked = [
        [jnp.stack([image[name] for image in batch]) for name in ("optical", "radar")]
        for batch in batches[1:]
    ]

    def memory() -> None:
        for inputs in stacked:
            jax.block_until_ready(explain(params, *inputs))

    def table(data: list[dict[str, np.ndarray]], places: Places) -> None:
        with tempfile.TemporaryDirectory() as folder:
            evaluate(
                unet,
                data,
                f"{folder}/table.zarr",
                params=params,
                sources=("optical", "radar"),
                classes=[str(k) for k in range(CLASSES)],
                places=places,
                run=RunOptions(batch=given.batch, devices=device, progress=False),
            )

    means, kept = Places(), Places(keep_maps=True)
    runs = {
        "memory": memory,
        "few": lambda: table(few, means),
        "many": lambda: table(many, means),
        "few, maps": lambda: table(few, kept),
        "many, maps": lambda: table(many, kept),
    }
    memory()
    times = interleave(runs, rounds=given.rounds, seconds=1.0)
    best = {name: float(np.min(times[name])) for name in runs}
    further = len(many) - len(few)
    print(f"{further} images of {given.side} x {given.side} in memory: {best['memory']:.2f} s")
    for word, end in (("means of regions", ""), ("maps, too", ", maps")):
        seconds = best[f"many{end}"] - best[f"few{end}"]
        print(f"in a table, {word}: {seconds:.2f} s, {best['memory'] / seconds:.2f} of the speed")


if __name__ == "__main__":
    main()
