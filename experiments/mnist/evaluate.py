"""Evaluation: the relevance table of the test samples, and what it says in numbers."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import grain
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from experiments.mnist.settings import CLASSES, Settings
from experiments.mnist.train import trained
from experiments.results import write_json
from experiments.training import outputs
from rfp_jax import losses, tables
from rfp_jax._util.parts import by_source
from rfp_jax.datasets import Sample
from rfp_jax.tables import Columns, RunOptions
from rfp_jax.tables import evaluate as evaluate_all

Precision = Literal["float32", "float64"]


def evaluate(
    settings: Settings,
    out: Path,
    console: Console,
    *,
    dtype: Precision = "float32",
    strict: bool = False,
) -> dict[str, Any]:
    """Compute the relevance of all classes of all test samples, and sum it up.

    Writes the table, `relevance.zarr`, and `evaluation.json`; in double precision
    `relevance_float64.zarr` and `evaluation_float64.json`.

    Args:
        settings: what was trained.
        out: the folder of results.
        console: where to show the numbers.
        dtype: precision of the computation; the network was trained in single precision.
        strict: whether to stop at the first sample that cannot be evaluated, instead of recording
            it.

    Returns:
        What `evaluation.json` holds.

    Raises:
        BadSampleError: if `strict`, and a sample is bad.
        CheckpointError: if the network is not trained, or the checkpoint is of another one.
        TableMismatchError: if a table of something else is there.
    """
    data = settings.load("test")
    with jax.enable_x64(dtype == "float64"):
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), trained(settings, out))
        table = evaluate_all(
            settings.network.apply,
            records(settings),
            table_path(out, dtype),
            params=variables,
            sources=settings.sources,
            classes=CLASSES,
            labels="class",
            bias="propagate",
            columns=Columns(metadata=tuple(_flags(settings))),
            manifest={"network": type(settings.network).__name__, "loss": settings.words},
            data_arguments={"name": settings.data, "split": "test", **asdict(settings.samples)},
            dtype=dtype,
            run=RunOptions(strict=strict, progress=console.is_terminal),
        ).load()
        images = tuple(image.astype(dtype) for image in data.arrays()["images"])
        plain = outputs(settings.network.apply, variables, images)
        summary = {"dtype": dtype, **summarize(table, plain)}
    write_json(out / f"evaluation{_suffix(dtype)}.json", summary)
    show(console, table, summary)
    return summary


def records(settings: Settings) -> grain.MapDataset:
    """The test samples as `rfp_jax.tables.evaluate` reads them."""
    data = grain.MapDataset.source(settings.load("test"))
    return data.map(lambda sample: record(settings, sample))


def record(settings: Settings, sample: Sample) -> dict[str, Any]:
    """Turn a sample into what `rfp_jax.tables.evaluate` reads: values by name."""
    flags = {name: sample[what][source].item() for name, (what, source) in _flags(settings).items()}
    images = dict(zip(settings.sources, sample["images"], strict=True))
    return images | {"label": sample["label"], "id": sample["id"].item()} | flags


def summarize(table: xr.Dataset, plain: Any) -> dict[str, Any]:
    """Put a relevance table into numbers.

    Args:
        table: the table, in memory.
        plain: the network's outputs, computed without relevance, [samples, classes].

    Returns:
        Accuracy and loss, of the network and of the sum of relevances; accuracy where the
        relevances of one source alone are taken as the outputs; how far the sum is from the
        output; medians over the samples of the relevance and of the share of each source, true
        class.
    """
    label, plain = table.label.values, np.asarray(plain)
    total = table.relevance.sum("source").values
    difference = np.abs(total - plain)
    return {
        "samples": table.sizes["sample"],
        "accuracy": float(np.mean(plain.argmax(1) == label)),
        "loss": float(losses.cross_entropy(jnp.asarray(plain), jnp.asarray(label))),
        "accuracy_of_sum": float(np.mean(total.argmax(1) == label)),
        "loss_of_sum": float(losses.cross_entropy(jnp.asarray(total), jnp.asarray(label))),
        "accuracy_of_source_alone": {
            name: float(np.mean(values.argmax(1) == label))
            for name, values in by_source(table).items()
        },
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "largest_output": float(np.abs(plain).max()),
        "median_relevance": _medians(tables.select_class(table)),
        "median_share": _medians(tables.share(table)),
    }


def show(console: Console, table: xr.Dataset, summary: dict[str, Any]) -> None:
    """Print the medians of each class, and how the sum of relevances compares with the output."""
    relevance, share = tables.select_class(table), tables.share(table)
    right = (table.label == table.prediction).groupby("label").mean()
    medians = [tables.by_class(values, table["class"]) for values in (relevance, share)]
    columns = [
        f"{word} {name}"
        for word, each in zip(("", "share"), medians, strict=True)
        for name in each.source.values
    ]
    shown = Table("class", "accuracy", *columns, title="Medians for the true class")
    for place, name in enumerate(table["class"].values):
        numbers = [f"{value:.2f}" for each in medians for value in each.values[place]]
        accurate = right.reindex(label=[place]).item()
        shown.add_row(str(name), f"{accurate:.3f}", *numbers)
    shown.add_section()
    overall = [*summary["median_relevance"].values(), *summary["median_share"].values()]
    shown.add_row("all", f"{summary['accuracy']:.3f}", *(f"{value:.2f}" for value in overall))
    console.print(shown)
    alone = "   ".join(
        f"{name} {value:.4f}" for name, value in summary["accuracy_of_source_alone"].items()
    )
    console.print(
        f"test accuracy    network {summary['accuracy']:.4f}   sum of relevances "
        f"{summary['accuracy_of_sum']:.4f}\n"
        f"                 relevance of one source alone: {alone}\n"
        f"test loss        network {summary['loss']:.4f}   sum of relevances "
        f"{summary['loss_of_sum']:.4f}\n"
        f"largest difference of the two outputs {summary['largest_difference']:.1e}, mean "
        f"{summary['mean_difference']:.1e}, in {summary['dtype']}; outputs reach "
        f"{summary['largest_output']:.1f}"
    )


def table_path(out: Path, dtype: Precision = "float32") -> Path:
    """Return the path of the relevance table in a folder of results."""
    return out / f"relevance{_suffix(dtype)}.zarr"


def _suffix(dtype: Precision) -> str:
    return "" if dtype == "float32" else f"_{dtype}"


def _flags(settings: Settings) -> dict[str, tuple[str, int]]:
    """Name the metadata of each sample: name to entry of the sample and source."""
    kept = ("source_id", "source_label", "data_noise", "label_noise")
    return {
        f"{what}_{name}": (what, place)
        for what in kept
        for place, name in enumerate(settings.sources)
    }


def _medians(values: xr.DataArray) -> dict[str, float]:
    medians = values.median("sample")
    return {str(name): float(medians.sel(source=name)) for name in values.source.values}
