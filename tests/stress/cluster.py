"""One evaluation in one or several processes, each with one or several devices.

    python tests/stress/cluster.py PATH --samples 50
    python tests/stress/cluster.py PATH --processes 2 --process 0 --coordinator localhost:1234 &
    python tests/stress/cluster.py PATH --processes 2 --process 1 --coordinator localhost:1234

How many CPU devices a process has is said by `XLA_FLAGS=--xla_force_host_platform_device_count=4`.
Whoever calls it compares the tables. Several processes first try to evaluate different models into
one table, which must end with an error in all of them.
"""

import argparse
import time

import jax
import numpy as np

from rfp_jax.models import SmallNet
from rfp_jax.tables import OtherProcessError, RunOptions, TableMismatchError, evaluate


class Digits:
    """Random halves of digits, one of them unreadable."""

    def __init__(self, samples, delay):
        self.samples, self.delay, self.read = samples, delay, []

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        self.read.append(index)
        if index == 5:
            raise OSError("truncated file")
        if index > 20:
            time.sleep(self.delay)
        left, right = np.random.default_rng(index).normal(size=(2, 28, 14, 1)).astype(np.float32)
        return {"left": left, "right": right, "label": index % 10, "id": f"digit{index}"}


def run(arguments, data, path, seed=0):
    model = SmallNet()
    one = np.zeros((1, 28, 14, 1), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), one, one)
    rng = np.random.default_rng(seed)
    variables = jax.tree.map(lambda x: 0.1 * rng.normal(size=x.shape).astype(x.dtype), shapes)
    return evaluate(
        model.apply,
        data,
        path,
        params=variables,
        sources=("left", "right"),
        classes=[str(digit) for digit in range(10)],
        run=RunOptions(chunk=arguments.chunk, batch=arguments.batch, threads=2, progress=False),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--coordinator")
    parser.add_argument("--delay", type=float, default=0, help="seconds to read a sample after 20")
    arguments = parser.parse_args()
    if arguments.processes > 1:
        jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
        try:
            data = Digits(arguments.samples, 0)
            run(arguments, data, f"{arguments.path}.other", seed=arguments.process)
        except (TableMismatchError, OtherProcessError) as error:
            print(f"process {arguments.process} refused: {type(error).__name__}")
    data = Digits(arguments.samples, arguments.delay)
    table = run(arguments, data, arguments.path)
    devices, read = len(jax.local_devices()), len(data.read)
    print(f"{devices} devices, {table.sizes['sample']} samples, {read} read")


if __name__ == "__main__":
    main()
