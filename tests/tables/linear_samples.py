"""A linear network and samples of it, changed as asked."""

import numpy as np

from rfp_jax.tables import RunOptions, evaluate

CLASSES = ("water", "forest", "urban")


WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


def linear(weights, x):
    return x @ weights


def sample(index):
    x = np.random.default_rng(index).normal(size=4).astype(np.float32)
    return {"x": x, "label": index % 3, "id": f"p{index}"}


def samples(count=24, **changed):
    """Samples, some of which are changed: index to what is put into it."""
    found = [sample(index) for index in range(count)]
    for name, change in changed.items():
        found[int(name[1:])] |= change
    return found


def run(data, tmp_path, *, fun=linear, name="t.zarr", options=None, **arguments):
    options = {"chunk": 8, "batch": 4, "threads": 0, "progress": False} | (options or {})
    defaults = {"params": WEIGHTS, "sources": ("x",), "classes": CLASSES}
    return evaluate(
        fun, data, tmp_path / name, **defaults | arguments, run=RunOptions(**options)
    ).load()


def failures(table):
    found = zip(table.failure.values.tolist(), table.finite.values, strict=True)
    return {i: why for i, (why, finite) in enumerate(found) if why or not finite}
