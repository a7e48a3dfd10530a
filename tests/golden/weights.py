"""Weights that a seed determines, by the recipe of tests/golden/README.md."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

GOLDEN = Path(__file__).parent

ALIASES = {"encoder.0.weight": "conv1.weight"}


def key_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """PyTorch key -> shape of a published network, from `golden/<name>_keys.json`."""
    shapes = json.loads((GOLDEN / f"{name}_keys.json").read_text())
    return {key: tuple(shape) for key, shape in shapes.items()}


def golden_state_dict(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """A state dict in float64 of these keys and shapes."""
    rng = np.random.default_rng(seed)
    state_dict = {}
    for key in sorted(shapes):
        shape = shapes[key]
        if key.endswith("num_batches_tracked") or ALIASES.get(key) in shapes:
            continue
        if key.endswith("running_var"):
            state_dict[key] = rng.uniform(0.5, 1.5, shape)
        elif key.endswith("running_mean"):
            state_dict[key] = 0.1 * rng.standard_normal(shape)
        elif len(shape) >= 2:
            state_dict[key] = rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
        elif key.endswith("weight"):
            state_dict[key] = rng.uniform(0.5, 1.5, shape)
        else:
            state_dict[key] = 0.1 * rng.standard_normal(shape)
    for alias, key in ALIASES.items():
        if {alias, key} <= shapes.keys():
            state_dict[alias] = state_dict[key]
    for key in shapes:
        if key.endswith("num_batches_tracked"):
            state_dict[key] = np.array(0, np.int64)
    return state_dict


def relative_error(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Largest difference over the largest expected value."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / np.abs(expected).max())
