"""The sweep: what relevance, accuracy and scores do while one source is spoilt more and more."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments import results
from experiments.command import atomic_outputs
from experiments.mnist.evaluate import evaluate
from experiments.mnist.settings import Settings
from experiments.mnist.train import train, trained
from experiments.results import write_json
from rfp_jax import plot
from rfp_jax.attribution import perceptual_score, shape_score
from rfp_jax.datasets import MultiSourceConfig, SourceConfig

NAME = "mnist sweep"
DRAWS = 20
"""Permutations that the perceptual score is averaged over."""

SCORES = "scores.json"

OWN = ("seed", "source1", "source2")
"""Settings of samples that the sweep chooses itself, run by run."""


class Run(NamedTuple):
    """One training of the sweep.

    Attributes:
        condition: what is spoilt: `data noise`, `label noise` or `shuffle`.
        amount: how much, from 0 to 1.
        folder: name of its folder; runs without any noise share theirs.
        settings: what is trained.
    """

    condition: str
    amount: float
    folder: str
    settings: Settings


@dataclass(frozen=True)
class Measured:
    """Measurements of one run.

    Attributes:
        accuracy: on the test samples.
        share: of each source in the relevance for the true class, median over the test samples.
        relevance: of each source for the true class, likewise.
        perceptual: perceptual score of each source, sampled.
        shapley: SHAPE score of each source, exact.
    """

    accuracy: float
    share: dict[str, float]
    relevance: dict[str, float]
    perceptual: dict[str, float]
    shapley: dict[str, float]


def sweep(
    settings: Settings,
    out: Path,
    console: Console,
    *,
    fractions: Sequence[float],
    seeds: Sequence[int],
    source: int,
) -> None:
    """Train, evaluate and score a network for every condition and seed, and draw.

    A sweep that was cut off goes on: every run has a folder of its own, as of the commands `train`
    and `evaluate`.

    Args:
        settings: what is trained, noise aside.
        out: the folder of results.
        console: where to show how far it is.
        fractions: noisy fractions, of the pixels and of the labels in turn.
        seeds: seeds to average over.
        source: the source that is spoilt, 1 or 2.

    Raises:
        OtherExperimentError: if the folder holds something else.
        ValueError: if a fraction does not lie in [0, 1], there is no such source, or the settings
            hold a seed or noise of their own, which would not be used.
    """
    if source not in (1, 2) or not fractions or not seeds:
        raise ValueError(
            f"source must be 1 or 2, got {source}; fractions and seeds must not be empty, got "
            f"{list(fractions)} and {list(seeds)}"
        )
    _refuse_unused(settings.samples)
    fractions = sorted(set(fractions))
    planned = [run for seed in seeds for run in runs(settings, fractions, seed, source)]
    asked = {"fractions": list(fractions), "seeds": list(seeds), "source": source}
    ran = {**asdict(settings), "folder": str(settings.folder)}
    ran["samples"] = {k: v for k, v in ran["samples"].items() if k not in OWN}
    results.claim(out, NAME, {**asked, **ran})
    scores = Scores(settings)
    measured: dict[tuple[str, float], list[Measured]] = {}
    for number, run in enumerate(planned, start=1):
        console.rule(f"{number} of {len(planned)}: {run.folder}")
        found = _measure(run, out / "runs" / run.folder, scores, console)
        measured.setdefault((run.condition, run.amount), []).append(found)
    spoilt = settings.sources[source - 1]
    rows = [
        {"condition": condition, "amount": amount, **asdict(found)}
        for (condition, amount), each in measured.items()
        for found in each
    ]
    write_json(out / "sweep.json", {"spoilt": spoilt, "runs": rows})
    with atomic_outputs(out) as folder:
        title = f"{spoilt} spoilt more and more: mean and range of {len(seeds)} seeds"
        draw(measured, settings.sources, spoilt, title).savefig(folder / "sweep.png", dpi=120)
    console.print(table(measured, settings.sources, spoilt))
    console.print(out / "sweep.png", soft_wrap=True)


def _refuse_unused(samples: MultiSourceConfig) -> None:
    default = MultiSourceConfig()
    given = [name for name in OWN if getattr(samples, name) != getattr(default, name)]
    if given:
        raise ValueError(
            f"the sweep does not use {', '.join(f'--{name}' for name in given)}: it chooses noise "
            "and seeds itself, from --fractions, --source and --seeds"
        )


def runs(settings: Settings, fractions: Iterable[float], seed: int, source: int) -> Iterator[Run]:
    """List the runs of one seed."""
    spoilt = [("data noise", at, SourceConfig(data_noise=at)) for at in fractions]
    spoilt += [("label noise", at, SourceConfig(label_noise=at)) for at in fractions]
    spoilt += [("shuffle", float(on), SourceConfig(shuffle=on)) for on in (False, True)]
    for condition, amount, config in spoilt:
        name = f"{condition.replace(' ', '_')}_{amount:g}" if amount else "clean"
        pair = {"source1": SourceConfig(), "source2": SourceConfig(), f"source{source}": config}
        samples = replace(settings.samples, **pair, seed=seed)
        yield Run(condition, amount, f"{name}_seed_{seed}", replace(settings, samples=samples))


class Scores:
    """The scores by accuracy; compiled once for all runs.

    Args:
        settings: which network.
    """

    def __init__(self, settings: Settings):
        fun = settings.network.apply
        options: Any = {"argnums": (1, 2), "batch_size": 512}
        self._perceptual = perceptual_score(fun, draws=DRAWS, **options)
        self._shape = shape_score(fun, **options)

    def __call__(self, settings: Settings, variables: Any) -> dict[str, dict[str, float]]:
        """Score the sources of a trained network on its test samples."""
        test = settings.load("test").arrays()
        labels = jnp.asarray(test["label"])
        key = jax.random.key(settings.samples.seed)
        found = {
            "perceptual": self._perceptual(key, labels, variables, *test["images"]).score,
            "shapley": self._shape(labels, variables, *test["images"]),
        }
        return {
            name: dict(zip(settings.sources, map(float, each), strict=True))
            for name, each in found.items()
        }


def draw(
    measured: dict[tuple[str, float], list[Measured]],
    sources: Sequence[str],
    spoilt: str,
    title: str,
) -> Figure:
    """Draw a row for each condition: share of relevance, accuracy, both scores.

    Args:
        measured: condition and amount to what was measured with each seed.
        sources: names of the sources.
        spoilt: name of the spoilt one.
        title: title of the figure.

    Returns:
        The figure.
    """
    condition, values = {}, {}
    for name in dict.fromkeys(name for name, _ in measured):
        amounts = [amount for each, amount in measured if each == name]
        repeats = np.array([measured[name, amount] for amount in amounts]).T  # [seeds, amounts]

        def read_all(read: Any, repeats: np.ndarray = repeats) -> np.ndarray:
            return np.vectorize(read, otypes=[float])(repeats)

        axis = f"{name} of {spoilt}"
        condition[axis] = amounts
        values[axis] = {
            "median share of relevance": {s: read_all(lambda m, s=s: m.share[s]) for s in sources},
            "accuracy": {"": read_all(lambda m: m.accuracy)},
            "perceptual score": {s: read_all(lambda m, s=s: m.perceptual[s]) for s in sources},
            "Shapley value of accuracy": {
                s: read_all(lambda m, s=s: m.shapley[s]) for s in sources
            },
        }
    colors = {**plot.source_colors(sources), "": plot.OUTPUT_COLOR}
    return plot.curves(condition, values, colors=colors, title=title)


def table(
    measured: dict[tuple[str, float], list[Measured]], sources: Sequence[str], spoilt: str
) -> Table:
    """Lay out the means over the seeds, a row for each condition and amount."""
    columns = ("accuracy", "share of relevance", "perceptual score", "Shapley value")
    shown = Table(spoilt, "amount", *columns, title=f"Means over the seeds: {' / '.join(sources)}")
    last = None
    for (condition, amount), each in measured.items():
        if last not in (None, condition):
            shown.add_section()
        last = condition
        pairs = [
            " / ".join(f"{np.mean([read(found)[name] for found in each]):z.2f}" for name in sources)
            for read in (lambda m: m.share, lambda m: m.perceptual, lambda m: m.shapley)
        ]
        accuracy = np.mean([found.accuracy for found in each])
        shown.add_row(condition, f"{amount:g}", f"{accuracy:.3f}", *pairs)
    return shown


def _measure(run: Run, folder: Path, scores: Scores, console: Console) -> Measured:
    """Train, evaluate and score one run, or read what an earlier sweep has measured."""
    run.settings.claim(folder)
    if (folder / SCORES).is_file():
        console.print(f"{folder}: measured already")
        return Measured(**json.loads((folder / SCORES).read_text()))
    train(run.settings, folder, console)
    quiet = Console(quiet=True)
    summary = evaluate(run.settings, folder, quiet)
    shares, relevance = summary["median_share"], summary["median_relevance"]
    found = Measured(
        accuracy=summary["accuracy"],
        share=shares,
        relevance={name: relevance[name] for name in shares},
        **scores(run.settings, trained(run.settings, folder)),
    )
    write_json(folder / SCORES, asdict(found))
    return found
