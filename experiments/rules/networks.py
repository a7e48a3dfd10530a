"""The networks that the rules are tried on, each with its test samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments import checkpoints, tokens
from experiments.compare.__main__ import load
from experiments.compare.measure import Case
from experiments.mnist.settings import Settings
from experiments.sen12ms import checkpoint
from experiments.sen12ms.demo import synthetic_archive
from experiments.sen12ms.settings import Demo
from experiments.sen12ms.training import train
from experiments.training import Epoch
from rfp_jax.datasets import DEFAULT_FOLDER
from rfp_jax.datasets.sen12ms import CLASSES


@dataclass(frozen=True)
class Mnist:
    """The place of MNIST.

    Attributes:
        folder: As TFDS has prepared it, or as the four idx .gz files.
    """

    folder: Path = Path(DEFAULT_FOLDER)


def digits(folder: Path, samples: int, mnist: Mnist, console: Console) -> Case:
    """The paper's network on halves of scikit-learn's digits: convolutions, ReLU, max-pooling."""
    return load(Settings(), folder, samples, console)


def real_mnist(folder: Path, samples: int, mnist: Mnist, console: Console) -> Case:
    """The paper's network on halves of MNIST."""
    return load(Settings(data="mnist", folder=mnist.folder), folder, samples, console)


def transformer(folder: Path, samples: int, mnist: Mnist, console: Console) -> Case:
    """A causal transformer that names the digit after a star; each of twelve tokens is a source."""
    config, rng, model = tokens.Config(), np.random.default_rng(0), tokens.Decoder()
    drawn, digit, _ = tokens.sequences(np.random.default_rng(1), samples, config.length)

    def initial(seed: int) -> Any:
        return model.init(jax.random.key(seed), drawn)

    with checkpoints.opened(folder) as saved:
        found = saved.latest(Epoch(0, initial(config.seed), (), float("nan")))
        variables = found.epoch.variables if found else tokens.train(config, rng)
        if not found:
            saved.save(Epoch(1, variables, (), float("nan")), [])
    vectors = model.apply(variables, drawn, method="embed")
    random = initial(config.seed + 1)

    def read(variables: Any, *tokens: jax.Array) -> Any:
        return model.apply(variables, jnp.stack(tokens, axis=1), method="read")

    return Case(
        fun=read,
        variables=variables,
        random_variables=random,
        layers=("params",),
        images=tuple(jnp.moveaxis(jnp.asarray(vectors), 1, 0)),
        labels=digit,
        sources=tuple(f"token {place}" for place in range(config.length)),
        classes=10,
    )


def fusion(folder: Path, samples: int, mnist: Mnist, console: Console) -> Case:
    """A ResNet-18 for each of two sensors, joined late, on synthetic patches of 32 x 32 pixels."""
    demo = Demo(out=folder, patches=1500, size=32, epochs=15)
    synthetic_archive(demo, console)
    network = checkpoint.load(train(demo.train("cross_entropy", 0.0), console))
    test = next(demo.data.open("test").batches(samples))
    images = tuple(jnp.asarray(test[name]) for name in ("optical", "sar"))
    return Case(
        fun=network.model.apply,
        variables=network.variables,
        random_variables=network.model.init(jax.random.key(1), *(x[:1] for x in images)),
        layers=("params",),
        images=images,
        labels=np.asarray(test["label"]),
        sources=("optical", "sar"),
        classes=len(CLASSES[10]),
    )


NETWORKS: Mapping[str, Callable[[Path, int, Mnist, Console], Case]] = {
    "digits": digits,
    "transformer": transformer,
    "fusion": fusion,
    "mnist": real_mnist,
}
"""Name of each network to what trains it, or reads it where it was trained before."""
