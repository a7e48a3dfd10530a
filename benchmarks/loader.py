"""Count the SEN12MS patches that the loader reads per second: from GeoTIFFs, and packed.

    python -m benchmarks.loader [--patches 200] [--size 256] [--out results/loader.json]

A synthetic archive is written to a temporary folder, read, packed, and read again. Its files are
fresh in the machine's memory, so this measures decoding, normalizing and batching, not a disk.
"""

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from rfp_jax._util.files import atomic_file
from rfp_jax.datasets.sen12ms import (
    Archive,
    Packed,
    Patches,
    Sen12MS,
    Sen12MSConfig,
    pack,
    synthesize,
)


@dataclass(frozen=True)
class Config:
    """Settings of the command.

    Attributes:
        patches: How many patches; three fifths of them are read, the training split.
        size: Their height and width.
        batch_size: Patches in a batch.
        threads: Numbers of threads to try.
        repeats: How often to read everything; the best counts.
        out: File for the numbers.
    """

    patches: int = 200
    size: int = 256
    batch_size: int = 32
    threads: tuple[int, ...] = (0, 2, 16)
    repeats: int = 3
    out: Path = Path("results/loader.json")


def main(config: Config) -> None:
    """Measure, print, and write the numbers.

    Args:
        config: what can be set.
    """
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        console.print(f"Writing {config.patches} synthetic patches")
        seconds, root = timed(
            lambda: synthesize(folder / "archive", config.patches, size=config.size)
        )
        archive = Archive(root, "train", size=config.size)
        numbers: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "patches": len(archive),
            "size": config.size,
            "synthesized_per_second": config.patches / seconds,
            "read_per_second": {},
            "packed_per_second": {},
            "bytes_per_patch": {"GeoTIFF": _bytes(archive)},
        }
        sources: dict[str, Patches] = {"GeoTIFF": archive}
        for dtype in ("float32", "float16"):
            seconds, place = timed(lambda d=dtype: pack(archive, folder / d, dtype=d))
            numbers["packed_per_second"][dtype] = len(archive) / seconds
            name = f"packed, {dtype}"
            sources[name] = Packed(place)
            numbers["bytes_per_patch"][name] = sum(
                path.stat().st_size for path in place.glob("*.array_record")
            ) / len(archive)
        for name, patches in sources.items():
            data = Sen12MS(patches, Sen12MSConfig(cloud_fraction=0.5))
            numbers["read_per_second"][name] = {
                threads: max(rate(data, config, threads) for _ in range(config.repeats))
                for threads in config.threads
            }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(config.out) as draft:
        draft.write_text(json.dumps(numbers, indent=2) + "\n")
    console.print(table(numbers, config))
    console.print(config.out, soft_wrap=True)


def rate(data: Sen12MS, config: Config, threads: int) -> float:
    """Read an epoch, from the start of the threads to the last batch; patches per second."""
    loader = data.loader(config.batch_size, shuffle=True, threads=threads)
    seconds, count = timed(lambda: sum(len(batch["label"]) for batch in loader))
    return count / seconds


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that some work takes, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def table(numbers: dict[str, Any], config: Config) -> Table:
    """Lay out the numbers."""
    shown = Table(title=f"Patches a second, {config.size} x {config.size}, {numbers['machine']}")
    shown.add_column("from")
    for threads in config.threads:
        shown.add_column(f"{threads} threads", justify="right")
    shown.add_column("MiB a patch", justify="right")
    for name, rates in numbers["read_per_second"].items():
        size = numbers["bytes_per_patch"][name] / 2**20
        shown.add_row(name, *(f"{each:.0f}" for each in rates.values()), f"{size:.2f}")
    return shown


def _bytes(archive: Archive) -> float:
    """Mean bytes of the files that are read of a patch, its cloudy twin included."""
    total = sum(
        archive.file(index, kind).stat().st_size
        for index in range(len(archive))
        for kind in (("s1", "s2", "s2_cloudy") if archive.twins[index] else ("s1", "s2"))
    )
    return total / len(archive)


if __name__ == "__main__":
    main(tyro.cli(Config, prog="python -m benchmarks.loader", description=__doc__))
