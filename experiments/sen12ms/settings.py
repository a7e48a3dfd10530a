"""Settings of the command line."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from rfp_jax.datasets.sen12ms import (
    SIZE,
    ClassCount,
    Inputs,
    PatchSplit,
    Sen12MS,
    Sen12MSConfig,
    open_patches,
)

Architecture = Literal["resnet50", "fusion_resnet18", "smallnet"]
Bias = Literal["keep", "share"]
CONDITIONS = {"clear": 0.0, "cloudy": 1.0}
"""The fraction of the patches with a cloudy twin that shows it, in each condition."""


@dataclass(frozen=True)
class Data:
    """Settings of the data.

    Attributes:
        root: Folder with the archive, or what `rfp-jax sen12ms pack` wrote.
        labels: Folder with labels and splits; the archive's if not given.
        cloudy: Folder of SEN12MS-CR; the archive's if not given.
        size: Height and width of the patches; 256 in the published archive.
        inputs: SAR (s1), optical (s2), both (s1s2), or blue, green and red (rgb).
        classes: The 10 simplified classes or all 17.
        multi_label: Whether a patch may belong to several classes.
        threads: How many threads read.
    """

    root: Path = Path("data/sen12ms")
    labels: Path | None = None
    cloudy: Path | None = None
    size: int = SIZE
    inputs: Inputs = "s1s2"
    classes: ClassCount = 10
    multi_label: bool = False
    threads: int = 16

    def open(
        self,
        split: PatchSplit,
        *,
        cloud_fraction: float = 0.0,
        cloud_cover: bool = False,
        seed: int = 42,
    ) -> Sen12MS:
        """Open a split."""
        patches = open_patches(
            self.root, split, labels=self.labels, cloudy=self.cloudy, size=self.size
        )
        config = Sen12MSConfig(
            inputs=self.inputs,
            classes=self.classes,
            multi_label=self.multi_label,
            cloud_fraction=cloud_fraction,
            cloud_cover=cloud_cover,
            seed=seed,
        )
        return Sen12MS(patches, config)


Data_ = Annotated[Data, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class Train:
    """Train a network on SEN12MS; the same call goes on after an interruption.

    Attributes:
        data: Which data.
        out: Folder for the checkpoint and the metrics of every epoch.
        architecture: One network for all channels, or a branch for each source; smallnet fits
            patches of one size and is for small ones.
        width: Channels of the first stage of a fusion_resnet18; 64 if not given.
        epochs: How often to go through the training patches.
        batch_size: Patches in a batch.
        learning_rate: Step size of AdamW at the start; it falls to zero on a cosine.
        weight_decay: Weight decay of AdamW.
        cloud_fraction: Which fraction of the patches with a cloudy twin shows it, drawn anew in
            every epoch.
        relevance_loss: Weight of the sources' own losses, see docs/loss.md; 0 is the plain loss.
        bfloat16: Whether to compute in bfloat16, with parameters in float32.
        augment: Whether to turn and mirror patches at random.
        seed: Seed of the weights, of the order of the patches and of which are cloudy.
    """

    data: Data_ = field(default_factory=Data)
    out: Path = Path("results/sen12ms/training")
    architecture: Architecture = "resnet50"
    width: int | None = None
    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    cloud_fraction: float = 0.0
    relevance_loss: float = 0.0
    bfloat16: bool = False
    augment: bool = True
    seed: int = 42

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(
                "epochs must be at least 1 and batch_size at least 2 (batch normalization), "
                f"got {self.epochs} and {self.batch_size}"
            )
        if not self.learning_rate > 0 or not self.weight_decay >= 0:  # also refuses nan
            raise ValueError(
                "learning_rate must be positive and weight_decay not negative, "
                f"got {self.learning_rate} and {self.weight_decay}"
            )
        if not self.relevance_loss >= 0:
            raise ValueError(f"relevance_loss must not be negative, got {self.relevance_loss}")
        if not 0 <= self.cloud_fraction <= 1:
            raise ValueError(f"cloud_fraction must lie in [0, 1], got {self.cloud_fraction}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.width is not None and (self.width < 1 or self.architecture != "fusion_resnet18"):
            raise ValueError(
                "width must be at least 1 and is for fusion_resnet18 alone, "
                f"got {self.width} for {self.architecture}"
            )
        if self.branched and self.data.inputs != "s1s2":
            raise ValueError(
                f"{self.architecture} has a branch for each of two sources: use inputs s1s2, "
                f"not {self.data.inputs}"
            )

    @property
    def branched(self) -> bool:
        """Tell whether the network has a branch for each source."""
        return self.architecture != "resnet50"


@dataclass(frozen=True)
class Evaluate:
    """Relevance of both sources for every class of every patch, clear and cloudy.

    The same call goes on after an interruption.

    Attributes:
        data: Which data.
        checkpoint: What `train` wrote (its folder `checkpoint`), or `python -m convert`.
        out: Folder for the tables (zarr) and the summary.
        split: Which split.
        conditions: Clear patches, or those with a cloudy twin in its place, or both.
        bias: Report what layers add as a part of its own (keep), or share it among the sources.
        float64: Whether to compute in double precision.
        batch_size: Patches at once; by default what fits the memory.
        chunk: Patches that are committed together.
        scores: Over how many patches, at most, to compute the perceptual score and SHAPE; 0 for
            none.
        scores_batch: Patches held in memory for them; sources change places among these.
        draws: Permutations for the perceptual score.
        seed: Seed of the permutations.
        strict: Whether to stop at the first patch that cannot be evaluated.
    """

    data: Data_ = field(default_factory=Data)
    checkpoint: Path = Path("results/sen12ms/training/checkpoint")
    out: Path = Path("results/sen12ms/evaluation")
    split: PatchSplit = "test"
    conditions: tuple[Literal["clear", "cloudy"], ...] = ("clear", "cloudy")
    bias: Bias = "keep"
    float64: bool = False
    batch_size: int | None = None
    chunk: int = 256
    scores: int = 2048
    scores_batch: int = 512
    draws: int = 10
    seed: int = 42
    strict: bool = False

    def __post_init__(self) -> None:
        if not self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise ValueError(f"conditions must be clear, cloudy or both, got {self.conditions}")
        if self.scores < 0 or self.scores_batch < 2 or self.draws < 1 or self.chunk < 1:
            raise ValueError(
                "scores must not be negative, scores_batch at least 2, draws and chunk at least 1"
            )


@dataclass(frozen=True)
class Plot:
    """Draw the figures of an evaluation.

    Attributes:
        data: Which data; for the pictures of single patches.
        evaluation: What `evaluate` wrote.
        compare: Another evaluation to draw beside it, of a network trained with relevance loss.
        checkpoint: The network, to draw which pixels spoke for the class; not drawn without.
        out: Folder for the figures.
        split: The split that was evaluated.
        bins: How many bins of cloud cover.
        samples: How many patches the sheets show.
    """

    data: Data_ = field(default_factory=Data)
    evaluation: Path = Path("results/sen12ms/evaluation")
    compare: Path | None = None
    checkpoint: Path | None = None
    out: Path = Path("results/sen12ms/figures")
    split: PatchSplit = "test"
    bins: int = 5
    samples: int = 6

    def __post_init__(self) -> None:
        if self.bins < 2 or self.samples < 1:
            raise ValueError(
                f"bins must be at least 2, samples at least 1, got {self.bins}, {self.samples}"
            )


@dataclass(frozen=True)
class Demo:
    """Synthesize a small archive, train on it, evaluate clear and cloudy, draw: in minutes.

    Attributes:
        out: Folder for everything.
        patches: How many synthetic patches.
        size: Their height and width.
        architecture: See `train`.
        width: See `train`.
        epochs: How often to go through the training patches.
        batch_size: Patches in a batch.
        relevance_loss: Weight of the sources' own losses in the second network; 0 leaves it out.
        seed: Seed of everything.
    """

    out: Path = Path("results/sen12ms_demo")
    patches: int = 2500
    size: int = 64
    architecture: Architecture = "fusion_resnet18"
    width: int | None = 16
    epochs: int = 20
    batch_size: int = 32
    relevance_loss: float = 0.5
    seed: int = 42

    @property
    def archive(self) -> Path:
        """Return the path of the archive."""
        return self.out / "archive"

    @property
    def data(self) -> Data:
        """The archive as data."""
        return Data(self.archive, size=self.size)

    def train(self, name: str, relevance_loss: float) -> Train:
        """Settings of training one of the networks."""
        return Train(
            data=self.data,
            out=self.out / name,
            architecture=self.architecture,
            width=self.width,
            epochs=self.epochs,
            batch_size=self.batch_size,
            cloud_fraction=0.7,
            relevance_loss=relevance_loss,
            seed=self.seed,
        )

    def evaluate(self, name: str, bias: Bias = "keep") -> Evaluate:
        """Settings of evaluating one of the networks."""
        return Evaluate(
            data=self.data,
            checkpoint=self.out / name / "checkpoint",
            out=self.out / name / ("evaluation" if bias == "keep" else "evaluation_shared_bias"),
            bias=bias,
            scores=200 if bias == "keep" else 0,
            draws=3,
            seed=self.seed,
        )

    def figures(self, name: str, bias: Bias = "keep") -> Path:
        """Return the path of an evaluation's figures."""
        return self.out / name / ("figures" if bias == "keep" else "figures_shared_bias")


def recorded(settings: Any, *left_out: str) -> dict[str, Any]:
    """Settings as JSON keeps them, without those that change no result.

    Args:
        settings: a dataclass.
        left_out: names of settings that change no result.

    Returns:
        Name to value; paths are text.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in (*left_out, "threads")}
        return str(value) if isinstance(value, Path) else value

    return plain(asdict(settings))
