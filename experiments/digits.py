"""Find the half of a handwritten digit that a network reads: real data, half a minute.

The left and the right half of the 1,797 real digits that scikit-learn brings along are two sources.
A network with a branch for each half learns to name the digit; `rfp_jax.relevance` then tells, for
every test image and every class, how much of the class's score came from which half.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from experiments import results
from experiments.command import (
    atomic_outputs,
    bar,
    exit_on_error,
    exit_on_interrupt,
    keep_programs,
    lazy_imports,
)

with lazy_imports():
    import jax
    import numpy as np
    import optax
    import tyro
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    import rfp_jax
    from experiments.network import TwoBranchNet
    from experiments.training import Epoch, epochs
    from rfp_jax import plot
    from rfp_jax.datasets import MultiSource, MultiSourceConfig, load_digits

SOURCES: tuple[str, ...] = ("left", "right")
DATA = "real handwritten digits from scikit-learn"


@dataclass(frozen=True)
class Config:
    """Settings of the command.

    Attributes:
        seed: Seed of the weights and of the order of the images.
        epochs: How often training goes through the training images.
        batch_size: Images in one batch, in training and in explaining.
        learning_rate: Step size of Adam.
        out: Folder for the pictures and the figures; made if missing.
    """

    seed: int = 42
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-3
    out: Path = Path("results/digits")

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"epochs and batch_size must be at least 1, got {self.epochs} and {self.batch_size}"
            )
        if not self.learning_rate > 0:  # also refuses nan
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


class Explained(NamedTuple):
    """Results for every test image; arrays of [images, ...].

    Attributes:
        images: a tuple of the sources' images.
        labels: the true classes, int [images].
        relevance: of both sources for every class, leaves [images, 10].
        plain: the network's output, [images, 10], computed without relevance.
        unexplained: what of the output came neither from a source nor from a bias, [images, 10].
    """

    images: tuple[np.ndarray, ...]
    labels: np.ndarray
    relevance: rfp_jax.Relevance
    plain: np.ndarray
    unexplained: np.ndarray


def train(config: Config, data: MultiSource, progress: Progress) -> Any:
    """Train the network.

    Args:
        config: seed, epochs, batch size, learning rate.
        data: the training images.
        progress: where to show how far it is.

    Returns:
        The variables of `TwoBranchNet`.
    """
    optimizer = optax.adam(config.learning_rate)
    variables = TwoBranchNet().init(
        jax.random.key(config.seed), *(image[None] for image in data[0]["images"])
    )

    def loss(variables: Any, images: tuple[jax.Array, ...], labels: jax.Array) -> jax.Array:
        logits = cast(jax.Array, TwoBranchNet().apply(variables, *images))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    training = epochs(
        loss,
        Epoch(0, variables, optimizer.init(variables), float("nan")),
        data,
        optimizer,
        until=config.epochs,
        batch_size=config.batch_size,
        progress=progress,
    )
    (last,) = deque(training, maxlen=1)
    return last.variables


def explain(config: Config, data: MultiSource, variables: Any, progress: Progress) -> Explained:
    """Compute the relevance of both halves for every class of every image.

    Args:
        config: the batch size.
        data: the images to explain.
        variables: of the trained network.
        progress: where to show how far it is.

    Returns:
        What is known of every image.
    """
    apply = TwoBranchNet().apply

    @rfp_jax.jit
    def explain_batch(variables: Any, images: tuple[Any, ...]) -> tuple[Any, ...]:
        relevance = rfp_jax.relevance(apply, argnums=(1, 2))(variables, *images)
        return relevance, apply(variables, *images), unexplained(apply)(variables, *images)

    batches = data.batches(config.batch_size)
    results = [
        Explained(batch["images"], batch["label"], *explain_batch(variables, batch["images"]))
        for batch in progress.track(batches, description="Relevance", total=len(batches))
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *results)


def unexplained(apply: Callable[..., Any], rules: Any = "lrp0") -> Callable[..., jax.Array]:
    """Make the function that tells what of the output neither a source nor the bias accounts for.

    The bias is propagated on its own, so nothing may remain but rounding, and that can fail.

    Args:
        apply: of the network, `apply(variables, left, right)`.
        rules: the rules of propagation.
    """

    def remaining(variables: Any, *images: jax.Array) -> jax.Array:
        argnums = tuple(range(1, 1 + len(images)))
        explain = rfp_jax.relevance(apply, argnums, bias="propagate", rules=rules)
        relevance = explain(variables, *images)
        return relevance.output - sum(relevance.sources) - relevance.bias

    return remaining


def summarize(config: Config, explained: Explained, trained_on: int) -> dict[str, Any]:
    """Put the result into numbers.

    Args:
        config: what the network was trained with.
        explained: relevance of every test image.
        trained_on: how many images it was trained on.

    Returns:
        What `summary.json` holds; medians are over the test images of one class, or of all.
    """
    relevance, labels = explained.relevance, explained.labels
    correct = relevance.output.argmax(axis=1) == labels
    parts = dict(zip(SOURCES, relevance.sources, strict=True))
    parts |= {"bias": relevance.bias, "output": relevance.output}
    true = {name: plot.select_class(part, labels) for name, part in parts.items()}
    groups = {str(label): labels == label for label in range(10)} | {"all": labels >= 0}
    settings = asdict(config)
    del settings["out"]
    return {
        "experiment": "digits",
        "data": f"{DATA}, left and right half",
        "settings": settings,
        "training_images": trained_on,
        "test_images": len(labels),
        "test_accuracy": float(correct.mean()),
        "classes": {
            name: {
                "images": int(group.sum()),
                "correct": int(correct[group].sum()),
                "median_true_class_relevance": {
                    part: float(np.median(values[group])) for part, values in true.items()
                },
            }
            for name, group in groups.items()
        },
        "largest_deviation": {
            "sum_of_relevances_and_bias_from_output": float(
                np.abs(sum(relevance.sources) + relevance.bias - explained.plain).max()
            ),
            "unexplained_with_propagated_bias": float(np.abs(explained.unexplained).max()),
            "largest_output": float(np.abs(explained.plain).max()),
        },
    }


def table(summary: dict[str, Any]) -> Table:
    """Lay out the medians of `summarize`, a row for each class and one for all."""
    parts = (*SOURCES, "bias", "output")
    result = Table(title="Median relevance for the true class")
    for column in ("class", "images", "correct", *parts):
        result.add_column(column, justify="right")
    for name, row in summary["classes"].items():
        medians = row["median_true_class_relevance"]
        numbers = [f"{medians[part]:.2f}" for part in parts]
        result.add_row(name, str(row["images"]), str(row["correct"]), *numbers)
        if name == "9":
            result.add_section()
    return result


def draw(explained: Explained, folder: Path) -> None:
    """Write the two pictures: the distribution over all test images, and some images one by one."""
    relevance, labels = explained.relevance, explained.labels
    sources = dict(zip(SOURCES, relevance.sources, strict=True))
    title = f"Relevance for the true class of {len(labels)} {DATA}"
    plot.violins(sources, labels, title=title).savefig(folder / "violins.png", dpi=150)

    some = worth_seeing(relevance.output, labels)
    plot.examples(
        {name: half[some] for name, half in zip(SOURCES, explained.images, strict=True)},
        {name: values[some] for name, values in sources.items()},
        relevance.bias[some],
        relevance.output[some],
        labels[some],
        title=f"What each class's output is made of: {DATA}",
    ).savefig(folder / "examples.png", dpi=150)


def worth_seeing(output: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Choose the first image of every class, then the first two that the network gets wrong."""
    wrong = np.flatnonzero(output.argmax(axis=1) != labels)
    return np.concatenate([np.unique(labels, return_index=True)[1], wrong[:2]])


def main(config: Config) -> None:
    """Train, explain, show.

    Args:
        config: what can be set.
    """
    console = Console(highlight=False)
    with exit_on_error():
        results.refuse_other(config.out)
    training, test = (
        MultiSource(load_digits(split), MultiSourceConfig(seed=config.seed))
        for split in ("train", "test")
    )
    console.print(f"The {DATA}: {len(training)} to train on, {len(test)} to test")
    with atomic_outputs(config.out) as folder:
        with bar(console) as progress:
            variables = train(config, training, progress)
            explained = explain(config, test, variables, progress)
        summary = summarize(config, explained, trained_on=len(training))
        draw(explained, folder)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        names = sorted(path.name for path in folder.iterdir())

    deviation = summary["largest_deviation"]
    console.print(f"\nTest accuracy {summary['test_accuracy']:.4f}\n")
    console.print(table(summary))
    console.print(
        f"""
left + right + bias = output, largest deviation \
{deviation["sum_of_relevances_and_bias_from_output"]:.1e}; outputs reach \
{deviation["largest_output"]:.1f}.
  The bias is what remains of the output, so this is rounding alone.
with the bias propagated like a third source, largest deviation \
{deviation["unexplained_with_propagated_bias"]:.1e}.
  This could fail: each source is propagated on its own.
"""
    )
    for name in names:
        console.print(config.out / name, soft_wrap=True)


if __name__ == "__main__":
    with exit_on_interrupt():
        keep_programs()
        main(tyro.cli(Config, prog="python -m experiments.digits", description=__doc__))
