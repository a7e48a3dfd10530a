"""Figures: samples, distributions of relevance, single decisions, two networks side by side."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from rich.console import Console

from experiments.command import atomic_outputs
from experiments.mnist.evaluate import records, table_path
from experiments.mnist.settings import CLASSES, Settings
from experiments.mnist.train import METRICS
from experiments.results import OtherExperimentError, differences
from rfp_jax import plot, tables
from rfp_jax._util.parts import by_source

FOLDER = "figures"


def draw(
    settings: Settings,
    out: Path,
    console: Console,
    *,
    beside: Path | None = None,
    classes: Sequence[int] = (0, 3, 8),
    samples: int = 8,
) -> None:
    """Draw everything there is to see.

    Args:
        settings: what was trained.
        out: the folder of results; the pictures go to its sub-folder `figures`.
        console: where to name them.
        beside: the results of another network on the same data, to compare with.
        classes: the classes to compare by.
        samples: how many correct and how many wrong samples to show.

    Raises:
        FileNotFoundError: if the samples have not been evaluated.
        ValueError: if the other network has seen other data, or there is no such class.
    """
    if samples < 1 or not set(classes) <= set(range(len(CLASSES))) or not classes:
        raise ValueError(
            f"samples must be at least 1 and classes from 0 to 9, got {samples}, {list(classes)}"
        )
    networks = {settings.words: (settings, out)}
    if beside is not None:
        networks |= _other(settings, beside)
    opened = {name: tables.open(table_path(each)).load() for name, (_, each) in networks.items()}
    pictures = single(settings, opened[settings.words], samples)
    pictures["training"] = training({name: each for name, (_, each) in networks.items()})
    if beside is not None:
        pictures["densities"] = plot.densities(
            {name: by_source(table) for name, table in opened.items()},
            opened[settings.words].label.values,
            classes=classes,
            title=f"Relevance of each source, {len(networks)} networks on the same samples",
        )
    with atomic_outputs(out / FOLDER) as folder:
        for name, figure in pictures.items():
            figure.savefig(folder / f"{name}.png", dpi=120)
    for name in pictures:
        console.print(out / FOLDER / f"{name}.png", soft_wrap=True)
    page = out / "report.html"
    tables.report(
        opened[settings.words],
        page,
        title=f"Relevance of {' and '.join(settings.sources)}, {settings.data}",
        note=f"Trained with {settings.words}.",
        pictures=tables.thumbnails(records(settings), dict.fromkeys(settings.sources, 0)),
    )
    console.print(page, soft_wrap=True)


def single(settings: Settings, table: xr.Dataset, samples: int) -> dict[str, Figure]:
    """Draw the figures of one network, by name."""
    arrays = settings.load("test").arrays()
    images = dict(zip(settings.sources, arrays["images"], strict=True))
    relevance, label = by_source(table), table.label.values
    bias, output = table.relevance.sel(source=tables.BIAS).values, table.output.values
    right = table.prediction.values == label
    about = f"{len(label)} test samples, {settings.words}"

    def decisions(rows: np.ndarray, title: str) -> Figure:
        return plot.examples(
            {name: image[rows] for name, image in images.items()},
            {name: values[rows] for name, values in relevance.items()},
            bias[rows],
            output[rows],
            label[rows],
            title=title,
        )

    shown = np.arange(min(40, len(label)))
    figures = {
        "samples": plot.grid(
            {name: image[shown] for name, image in images.items()},
            [str(label[row]) for row in shown],
            title="What the network sees, and the label",
        ),
        "violins": plot.violins(relevance, label, title=f"Relevance for the true class: {about}"),
        "classes": decisions(np.unique(label, return_index=True)[1], "The first of every class"),
    }
    for name, rows in (("correct", np.flatnonzero(right)), ("wrong", np.flatnonzero(~right))):
        if len(rows):
            title = f"{len(rows)} of {len(label)} are {name}: the first {min(samples, len(rows))}"
            figures[name] = decisions(rows[:samples], title)
    return figures


def training(folders: dict[str, Path]) -> Figure:
    """Draw the metrics of every epoch, a row for each network."""
    colors = {"training": plot.BIAS_COLOR, "test": plot.OUTPUT_COLOR}
    condition, values = {}, {}
    for name, folder in folders.items():
        history = json.loads((folder / METRICS).read_text())
        columns = {key: [epoch[key] for epoch in history] for key in history[0]}
        axis = f"epoch ({name})"
        condition[axis] = columns["epoch"]
        values[axis] = {
            "loss": {"training": columns["training_loss"], "test": columns["test_loss"]},
            "accuracy": {"test": columns["test_accuracy"]},
        }
    return plot.curves(condition, values, colors=colors, title="Training")


def _other(settings: Settings, beside: Path) -> dict[str, tuple[Settings, Path]]:
    """The results of another network, if it was trained on the same data."""
    other = Settings.from_folder(beside)
    mine, theirs = ({"data": each.data, **asdict(each.samples)} for each in (settings, other))
    if found := differences(theirs, mine):
        raise OtherExperimentError(
            "\n".join([f"{beside} was trained on other data, nothing to compare:", *found])
        )
    name = other.words if other.words != settings.words else str(beside)
    return {name: (other, beside)}
