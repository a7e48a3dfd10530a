"""Settings, and what follows from them: data, network and loss."""

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import jax
import optax
import tyro
from flax import linen as nn

import rfp_jax
from experiments import results
from experiments.network import NETWORKS
from rfp_jax import losses
from rfp_jax.datasets import (
    DEFAULT_FOLDER,
    ImageSplit,
    MultiSource,
    MultiSourceConfig,
    SourceConfig,
    load_images,
)

NAME = "mnist"
CLASSES = tuple(map(str, range(10)))


@dataclass(frozen=True)
class Objective:
    """The loss that a network is trained with; equal ones are compiled once.

    Attributes:
        network: the network.
        weight: weight of the sources' own losses (lambda); 0 is the plain cross-entropy.
    """

    network: nn.Module
    weight: float

    def __call__(self, variables: Any, images: tuple[Any, ...], labels: Any) -> jax.Array:
        """Mean loss of a batch, a scalar."""
        if self.weight == 0:
            logits = cast(jax.Array, self.network.apply(variables, *images))
            return losses.cross_entropy(logits, labels)
        argnums = tuple(range(1, 1 + len(images)))
        relevance = rfp_jax.relevance(self.network.apply, argnums=argnums)(variables, *images)
        return losses.relevance_loss(relevance, labels, self.weight)


@dataclass(frozen=True)
class Settings:
    """Settings of network, data and training. The defaults of training are those of the paper.

    Attributes:
        data: The real digits that come with scikit-learn (8 x 8 pixels), or MNIST.
        folder: Where MNIST lies, as TFDS has prepared it or as the four idx .gz files.
        samples: How images become two sources.
        relevance_loss: Weight (lambda) of the loss of each source's own relevances; 0 is the plain
            cross-entropy.
        epochs: How often training goes through the training images.
        batch_size: Images in one batch.
        learning_rate: Step size of stochastic gradient descent.
    """

    data: Literal["digits", "mnist"] = "digits"
    folder: Path = Path(DEFAULT_FOLDER)
    samples: Annotated[MultiSourceConfig, tyro.conf.arg(name="")] = field(
        default_factory=MultiSourceConfig
    )
    relevance_loss: float = 0.0
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.data not in NETWORKS:
            raise ValueError(f"unknown data set {self.data!r}: choose from {', '.join(NETWORKS)}")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"epochs and batch_size must be at least 1, got {self.epochs} and {self.batch_size}"
            )
        if not 0 < self.learning_rate < float("inf"):  # also refuses nan
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.relevance_loss < float("inf"):
            raise ValueError(f"relevance_loss must not be negative, got {self.relevance_loss}")

    @property
    def network(self) -> nn.Module:
        """The network that fits the images."""
        return NETWORKS[self.data]

    @property
    def sources(self) -> tuple[str, str]:
        """Names of the two sources."""
        return ("left", "right") if self.samples.view == "halves" else ("first", "second")

    @property
    def objective(self) -> Objective:
        """The loss of training."""
        return Objective(self.network, self.relevance_loss)

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Takes the steps of training."""
        return _sgd(self.learning_rate)

    @property
    def words(self) -> str:
        """Return what the network was trained with, in words."""
        weight = self.relevance_loss
        return f"relevance loss, λ = {weight:g}" if weight else "cross-entropy"

    def load(self, split: ImageSplit) -> MultiSource:
        """Load the samples of a split, see `rfp_jax.datasets.load_images` for what can go wrong."""
        return MultiSource(load_images(self.data, split, self.folder), self.samples)

    def claim(self, folder: Path) -> None:
        """Make a folder the place of these results, see `results.claim`."""
        results.claim(folder, NAME, {**asdict(self), "folder": str(self.folder)})

    @classmethod
    def from_folder(cls, folder: Path) -> "Settings":
        """Read the settings of the results in a folder.

        Args:
            folder: where `train` has put them.

        Returns:
            The settings.

        Raises:
            FileNotFoundError: if there is no such folder.
            OtherExperimentError: if it holds no results, or those of another experiment.
        """
        found: Any = results.about(folder, NAME)["settings"]
        samples: Any = found["samples"]
        for name in ("source1", "source2"):
            samples[name] = SourceConfig(**samples[name])
        found["samples"], found["folder"] = MultiSourceConfig(**samples), Path(found["folder"])
        return cls(**found)


@lru_cache
def _sgd(learning_rate: float) -> optax.GradientTransformation:
    """Make one optimizer for each step size, so that a sweep compiles its steps once."""
    return optax.sgd(learning_rate)
