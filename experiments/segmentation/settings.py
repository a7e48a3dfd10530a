"""Settings of the command line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from experiments.segmentation.unet import MULTIPLE, UNet
from rfp_jax.datasets.sen12ms import SIZE, Archive, ClassCount, PatchSplit, Sen12MS, Sen12MSConfig

SOURCES = ("optical", "sar")
CONDITIONS = {"clear": 0.0, "cloudy": 1.0}
"""The fraction of the patches with a cloudy twin that shows it, in each condition."""


@dataclass(frozen=True)
class Networks:
    """Settings of the networks: their number and their training.

    Attributes:
        networks: How many networks, each with a seed of its own; standard errors are over them.
        width: Channels of each branch of the U-Net at its first level.
        epochs: How often to go through the training patches.
        batch_size: Patches in a batch.
        crop: Height and width of the part of each patch that is trained on, drawn anew in every
            epoch; the whole patch if not given.
        learning_rate: Step size of Adam at the start; it falls to zero on a cosine.
        cloud_fraction: Which fraction of the patches with a cloudy twin shows it in training,
            drawn anew in every epoch.
        seed: Seed of the first network; the next one has the next number.
    """

    networks: int = 5
    width: int = 8
    epochs: int = 32
    batch_size: int = 8
    crop: int | None = None
    learning_rate: float = 3e-3
    cloud_fraction: float = 0.7
    seed: int = 42

    def __post_init__(self) -> None:
        if self.networks < 2 or min(self.width, self.epochs) < 1 or self.batch_size < 2:
            raise ValueError(
                "networks must be at least 2, as standard errors are over them, width and epochs "
                f"at least 1, batch_size at least 2; got {self.networks}, {self.width}, "
                f"{self.epochs} and {self.batch_size}"
            )
        if self.crop is not None and (self.crop % MULTIPLE or self.crop < MULTIPLE):
            raise ValueError(
                f"crop must be a multiple of {MULTIPLE} for the U-Net, got {self.crop}"
            )
        if not 0 < self.learning_rate < float("inf"):  # also refuses nan
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")

    @property
    def seeds(self) -> range:
        """The seed of each network."""
        return range(self.seed, self.seed + self.networks)


@dataclass(frozen=True)
class Run:
    """Train networks on an archive, explain every pixel under and beside clouds, draw.

    Attributes:
        root: Folder with SEN12MS, its land cover `lc_*` included.
        labels: Folder with labels and splits; the archive's if not given.
        cloudy: Folder of SEN12MS-CR; the archive's if not given.
        size: Height and width of the patches; 256 in the published archive.
        classes: The 10 simplified classes or all 17.
        threads: How many threads read.
        networks: How many networks, and how they are trained.
        rows: How many patches the figure of maps shows.
        out: Folder for everything.
    """

    root: Path = Path("data/sen12ms")
    labels: Path | None = None
    cloudy: Path | None = None
    size: int = SIZE
    classes: ClassCount = 10
    threads: int = 4
    networks: Annotated[Networks, tyro.conf.arg(name="")] = field(default_factory=Networks)
    rows: int = 4
    out: Path = Path("results/segmentation")

    def __post_init__(self) -> None:
        if self.size % MULTIPLE or self.size < MULTIPLE:
            raise ValueError(
                f"size must be a multiple of {MULTIPLE} for the U-Net, got {self.size}"
            )
        if self.networks.crop is not None and self.networks.crop > self.size:
            raise ValueError(
                f"crop must not be larger than the patches, got {self.networks.crop} of {self.size}"
            )
        if self.rows < 1:
            raise ValueError(f"rows must be at least 1, got {self.rows}")

    @property
    def model(self) -> UNet:
        """The network."""
        return UNet(self.classes, self.networks.width)

    def open(
        self, split: PatchSplit, *, cloud_fraction: float, cloud_mask: bool = False, seed: int = 0
    ) -> Sen12MS:
        """Open a split with the class of every pixel."""
        patches = Archive(self.root, split, labels=self.labels, cloudy=self.cloudy, size=self.size)
        config = Sen12MSConfig(
            classes=self.classes,
            cloud_fraction=cloud_fraction,
            land_cover=True,
            cloud_mask=cloud_mask,
            seed=seed,
        )
        return Sen12MS(patches, config)


@dataclass(frozen=True)
class Demo:
    """Synthesize a small archive and run everything on it: in minutes.

    Attributes:
        patches: How many synthetic patches.
        size: Their height and width.
        networks: How many networks, and how they are trained.
        rows: How many patches the figure of maps shows.
        out: Folder for everything.
    """

    patches: int = 600
    size: int = 96
    networks: Annotated[Networks, tyro.conf.arg(name="")] = field(
        default_factory=lambda: Networks(crop=32)
    )
    rows: int = 4
    out: Path = Path("results/segmentation_demo")

    @property
    def archive(self) -> Path:
        """Return the path of the archive."""
        return self.out / "archive"

    @property
    def run(self) -> Run:
        """Settings of the run on the archive."""
        return Run(
            root=self.archive,
            size=self.size,
            networks=self.networks,
            rows=self.rows,
            out=self.out / "run",
        )
