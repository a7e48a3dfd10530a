"""Data-fusion MNIST: train a network on two sources of digits, explain it, draw, sweep.

Two sources are made of one image: its halves, or the whole image twice, each spoilt as you like.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from experiments.command import exit_on_error, exit_on_interrupt, keep_programs, lazy_imports

with lazy_imports():
    import tyro
    from rich.console import Console

    from experiments.mnist.settings import Settings

OUT = Path("results/mnist")
SWEEP = Path("results/mnist_sweep")

Given = Annotated[Settings, tyro.conf.arg(name="")]


def train(settings: Given, out: Path = OUT) -> None:
    """Train a network; a training that was cut off goes on.

    Args:
        settings: What is trained.
        out: Folder for the results; made if missing.
    """
    from experiments.mnist.train import train

    train(settings, out, _console())
    print(f"checkpoint and metrics: {out}")


def evaluate(out: Path = OUT, float64: bool = False, strict: bool = False) -> None:
    """Compute the relevance of all classes of all test samples, compare its sum with the output.

    Args:
        out: Folder with the results of `train`.
        float64: Whether to compute in double precision.
        strict: Whether to stop at the first sample that cannot be evaluated.
    """
    from experiments.mnist.evaluate import evaluate, table_path

    precision = "float64" if float64 else "float32"
    evaluate(Settings.from_folder(out), out, _console(), dtype=precision, strict=strict)
    print(f"relevance table: {table_path(out, precision)}")


def plot(
    out: Path = OUT,
    beside: Path | None = None,
    classes: tuple[int, ...] = (0, 3, 8),
    samples: int = 8,
) -> None:
    """Draw the samples, the distributions of relevance and single decisions.

    Args:
        out: Folder with the results of `train` and `evaluate`.
        beside: Such a folder of another network on the same data, to compare with.
        classes: The classes to compare two networks by.
        samples: How many correct and how many wrong samples to show.
    """
    from experiments.mnist.figures import draw

    draw(
        Settings.from_folder(out), out, _console(), beside=beside, classes=classes, samples=samples
    )


def playground(
    settings: Given,
    out: Path = OUT,
    *,
    float64: bool = False,
    beside: Path | None = None,
    classes: tuple[int, ...] = (0, 3, 8),
    samples: int = 8,
) -> None:
    """Train, evaluate and plot in one go.

    Args:
        settings: What is trained.
        out: Folder for the results; made if missing.
        float64: Whether to evaluate in double precision too.
        beside: Such a folder of another network on the same data, to compare with.
        classes: The classes to compare two networks by.
        samples: How many correct and how many wrong samples to show.
    """
    train(settings, out)
    evaluate(out)
    if float64:
        evaluate(out, float64=True)
    plot(out, beside, classes, samples)


def sweep(
    settings: Given,
    fractions: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0),
    seeds: tuple[int, ...] = (42, 43, 44),
    source: int = 1,
    out: Path = SWEEP,
) -> None:
    """Train on more and more noise in one source; relevance, accuracy and scores side by side.

    Args:
        settings: What is trained; the noise of the sweep takes the place of its own.
        fractions: Noisy fractions of the images, of the pixels and of the labels in turn.
        seeds: Seeds to average over.
        source: The source that is spoilt, 1 or 2.
        out: Folder for the results; made if missing.
    """
    from experiments.mnist.sweep import sweep

    sweep(settings, out, _console(), fractions=fractions, seeds=seeds, source=source)


def captum(out: Path = OUT, float64: bool = False) -> None:
    """Compare relevance with Captum's LRP of the same weights in PyTorch, on all test samples.

    Args:
        out: Folder with the results of `train --data mnist`.
        float64: Whether to compute in double precision.
    """
    from experiments.mnist.captum import compare

    compare(Settings.from_folder(out), out, _console(), dtype="float64" if float64 else "float32")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: of the command line; None takes this process's.
    """
    listed = (train, evaluate, plot, playground, sweep, captum)
    commands = {each.__name__: each for each in listed}
    with exit_on_error():
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="python -m experiments.mnist", description=__doc__, args=arguments
        )


def _console() -> Console:
    return Console(highlight=False)


if __name__ == "__main__":
    with exit_on_interrupt():
        keep_programs()
        main()
