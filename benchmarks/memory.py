"""Peak memory of an evaluation must not grow with the number of samples: once against 20 times.

    python -m benchmarks.memory [--samples 2000] [--times 20]

Each size runs in a process of its own; the peak is what the kernel has seen (`ru_maxrss`). Together
the samples of the larger run are as large as the table says in the column "read", so anything that
is kept for every sample shows.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

SIDE, CHANNELS, CLASSES = 32, 4, 10


class Patches:
    """Two sources of random patches."""

    def __init__(self, samples: int):
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, object]:
        rng = np.random.default_rng(index)
        optical, sar = rng.random((2, SIDE, SIDE, CHANNELS), dtype=np.float32)
        return {"optical": optical, "sar": sar, "label": index % CLASSES, "id": f"patch-{index}"}


def measure(samples: int) -> dict[str, float]:
    """Evaluate so many samples in this process, and say what it took."""
    import jax
    import jax.numpy as jnp

    from rfp_jax.tables import RunOptions, evaluate

    def model(params: dict[str, jax.Array], optical: jax.Array, sar: jax.Array) -> jax.Array:
        x = jnp.concatenate([optical, sar], axis=-1)
        dimensions = ("NHWC", "HWIO", "NHWC")
        x = jax.nn.relu(
            jax.lax.conv_general_dilated(
                x, params["conv"], (2, 2), "SAME", dimension_numbers=dimensions
            )
        )
        return x.mean((1, 2)) @ params["dense"]

    rng = np.random.default_rng(0)
    params = {
        "conv": rng.normal(size=(3, 3, 2 * CHANNELS, 16)).astype(np.float32),
        "dense": rng.normal(size=(16, CLASSES)).astype(np.float32),
    }
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        evaluate(
            model,
            Patches(samples),
            f"{folder}/relevance.zarr",
            params=params,
            sources=("optical", "sar"),
            classes=[str(k) for k in range(CLASSES)],
            run=RunOptions(batch=64, chunk=512, threads=4),
        )
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    read = samples * 2 * SIDE * SIDE * CHANNELS * 4
    seconds = time.perf_counter() - start
    return {"samples": samples, "peak": peak, "read": read, "seconds": seconds}


def main() -> None:
    """Measure both sizes, print a table and how the peak grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=2000, help="of the smaller run")
    parser.add_argument("--times", type=int, default=20, help="how many times larger the other is")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    print("| samples | read (MiB) | peak (MiB) | seconds |\n|---:|---:|---:|---:|")
    peaks = []
    for samples in (arguments.samples, arguments.samples * arguments.times):
        command = [sys.executable, "-m", "benchmarks.memory", "--one", str(samples)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        mib = {key: found[key] / 2**20 for key in ("read", "peak")}
        peaks.append(mib["peak"])
        row = f"{samples} | {mib['read']:.0f} | {mib['peak']:.1f} | {found['seconds']:.1f}"
        print(f"| {row} |", flush=True)
    growth = peaks[1] / peaks[0] - 1
    print(f"\nThe peak grows by {100 * growth:.1f} %.")


if __name__ == "__main__":
    main()
