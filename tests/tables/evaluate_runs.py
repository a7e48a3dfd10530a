"""A small network of two sources, and runs of `evaluate` on it."""

import dataclasses

import numpy as np

from rfp_jax.tables import (
    Columns,
    RunOptions,
    evaluate,
)

SOURCES, CLASSES = ("optical", "sar"), ("water", "forest", "urban")


RNG = np.random.default_rng(0)


PARAMS = {
    "optical": RNG.normal(size=(8, 3)).astype(np.float32),
    "sar": RNG.normal(size=(4, 3)).astype(np.float32),
    "bias": np.array([0.5, -1.0, 0.0], np.float32),
}


def model(params, optical, sar):
    return optical @ params["optical"] + sar @ params["sar"] + params["bias"][None]


def sample(index):
    rng = np.random.default_rng(index)
    return {
        "optical": rng.normal(size=8).astype(np.float32),
        "sar": rng.normal(size=4).astype(np.float32),
        "label": index % 3,
        "id": f"patch-{index}",
        "cloud_cover": index / 100,
        "cloudy": index % 2 == 0,
        "season": "spring" if index < 10 else "été",
    }


class Patches:
    """Samples that are made when they are asked for, some of them spoilt; counts what was read."""

    def __init__(self, count=21, spoil=None):
        self.count, self.spoil, self.read = count, spoil or {}, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        return self.spoil.get(index, lambda s: s)(sample(index))


def by_hand(count):
    """Relevance of the linear model, written out in NumPy in float64."""
    relevance = np.empty((count, 3, 3))
    for i in range(count):
        relevance[i, 0] = sample(i)["optical"].astype(float) @ PARAMS["optical"].astype(float)
        relevance[i, 1] = sample(i)["sar"].astype(float) @ PARAMS["sar"].astype(float)
        relevance[i, 2] = PARAMS["bias"]
    return relevance


def grouped(arguments, group, **defaults):
    """Take the arguments of a group out of all."""
    names = {field.name for field in dataclasses.fields(group)} & set(arguments)
    return group(**defaults | {name: arguments.pop(name) for name in names})


def run(data, path, **changes):
    arguments = {"fun": model, "params": PARAMS, "sources": SOURCES, "classes": CLASSES} | changes
    arguments["columns"] = grouped(arguments, Columns, metadata=("cloud_cover", "cloudy", "season"))
    arguments["run"] = grouped(arguments, RunOptions, chunk=8, batch=3, threads=2, progress=False)
    return evaluate(arguments.pop("fun"), data, path, **arguments)


def unreadable(_):
    raise OSError("truncated\n  file")


def changed(**values):
    return lambda s: s | values
