"""Relevance tables of a network on clear and on cloudy patches, and what they say in numbers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.command import atomic_outputs
from experiments.sen12ms import checkpoint
from experiments.sen12ms.scores import scores
from experiments.sen12ms.settings import CONDITIONS, Bias, Evaluate, recorded
from experiments.sen12ms.training import binary_cross_entropy, correct
from rfp_jax import tables
from rfp_jax.losses import cross_entropy
from rfp_jax.tables import Columns, RunOptions, bin_members
from rfp_jax.tables import evaluate as evaluate_all

if TYPE_CHECKING:
    import xarray as xr

SUMMARY = "summary.json"
MODES: dict[Bias, Literal["propagate", "share"]] = {"keep": "propagate", "share": "share"}
"""The biases of `rfp_jax.relevance`: on their own they are propagated, not a remainder."""

BINS = 5
"""Bins of cloud cover in the summary."""


def evaluate(config: Evaluate, console: Console) -> dict[str, Any]:
    """Evaluate a network in each condition; what is complete already is not computed again.

    Args:
        config: what can be set.
        console: where to show progress.

    Returns:
        What `summary.json` holds, see `summarize`; by condition.

    Raises:
        ValueError: if the network does not fit the data.
        TableMismatchError: if `config.out` holds an evaluation with other settings.
    """
    network = checkpoint.load(config.checkpoint)
    dtype = np.float64 if config.float64 else np.float32
    summary: dict[str, Any] = {}
    opened = {  # all before the first is computed, which takes hours
        condition: config.data.open(
            config.split, cloud_fraction=CONDITIONS[condition], cloud_cover=True, seed=config.seed
        )
        for condition in config.conditions
    }
    for condition, data in opened.items():
        sources = data.config
        checkpoint.check_fits(network, sources.channels, sources.classes, data.patches.size)
        measured = ("cloudy", "cloud_cover") if sources.optical else ("cloudy",)
        console.print(f"{condition}: {len(data)} patches of the {config.split} split")
        with jax.enable_x64(config.float64):
            table = evaluate_all(
                network.model.apply,
                data,
                config.out / f"{condition}.zarr",
                params=jax.tree.map(dtype, network.variables),
                sources=sources.sources,
                classes=sources.class_names,
                labels="multi" if sources.multi_label else "class",
                columns=Columns(metadata=measured, ids=data.ids),
                bias=MODES[config.bias],
                manifest=dict(network.manifest),
                data_arguments={
                    "condition": condition,
                    "split": config.split,
                    "note": data.patches.note,
                    **recorded(config.data),
                },
                dtype=dtype,
                run=RunOptions(
                    chunk=config.chunk,
                    batch=config.batch_size,
                    threads=config.data.threads,
                    strict=config.strict,
                ),
            )
        summary[condition] = summarize(table)
        if config.scores:
            path = config.out / f"{condition}_scores.json"
            found = scores(config, condition, network, path, console)
            summary[condition]["scores"] = found
    with atomic_outputs(config.out) as folder:
        (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def summarize(table: "xr.Dataset") -> dict[str, Any]:
    """Put a relevance table into numbers.

    Args:
        table: of `evaluate`.

    Returns:
        `samples`, `failures`, `cloudy` (how many of those evaluated show a cloudy twin); `accuracy`
        and `loss` of the plain output; the same of the sum of all relevances, bias included;
        `deviation` of that sum from the output, largest and mean magnitude; `largest_output`;
        `share`: the mean share of each source in the relevance of the true class;
        `share_by_cloud_cover`: see `share_by_cover`.
    """
    facts = tables.summary(table)
    good = tables.drop_failed(table).load()
    criterion = cross_entropy if good.label.ndim == 1 else binary_cross_entropy
    output, labels = good.output.values, good.label.values
    total = good.relevance.sum("source").values
    deviation = np.abs(total - output)

    def measure(logits: np.ndarray) -> dict[str, float]:
        with jax.enable_x64(logits.dtype == np.float64):
            given = jnp.asarray(logits), jnp.asarray(labels)
            return {
                "accuracy": float(correct(*given).mean()),
                "loss": float(criterion(*given)),
            }

    return {
        "samples": facts["samples"],
        "failures": facts["failures"],
        "cloudy": int(good.cloudy.values.sum()),
        "data": tables.provenance(table)["data"]["arguments"]["note"] or "SEN12MS",
        "dtype": str(output.dtype),
        "plain": measure(output),
        "sum_of_relevances": measure(total),
        "deviation": {"largest": float(deviation.max()), "mean": float(deviation.mean())},
        "largest_output": float(np.abs(output).max()),
        "share": facts["share"],
        "share_by_cloud_cover": share_by_cover(good, BINS) if has_cover(good) else [],
    }


def has_cover(table: "xr.Dataset") -> bool:
    """Tell whether the relevance of a table can be shown against cloud cover.

    It needs the cover, one label per sample, and an optical source beside another.
    """
    return "cloud_cover" in table.coords and table.label.ndim == 1 and table.sizes["source"] > 2


def share_by_cover(table: "xr.Dataset", bins: int) -> list[dict[str, Any]]:
    """Mean share of each source in the relevance of the true class, over bins of cloud cover.

    Args:
        table: a relevance table with the coordinate `cloud_cover`.
        bins: how many bins of equal width from 0 to 1.

    Returns:
        For each bin with samples: `from`, `to`, `samples`, and by source the mean `share` and its
        `standard_error`, which tells what a difference between bins is worth; None for one sample.
    """
    edges = np.linspace(0, 1, bins + 1)
    share = tables.share(table)
    rows = []
    for place, members in enumerate(bin_members(table.cloud_cover.values, edges)):
        if len(members):
            within = share.isel(sample=members)
            error = within.std("sample", ddof=1) / within.count("sample") ** 0.5
            rows.append(
                {
                    "from": round(float(edges[place]), 6),
                    "to": round(float(edges[place + 1]), 6),
                    "samples": len(members),
                    "share": _by_source(within.mean("sample")),
                    "standard_error": _by_source(error),
                }
            )
    return rows


def bias_of(table: "xr.Dataset") -> Bias:
    """Return what became of the bias in a table that `evaluate` wrote."""
    modes: dict[str, Bias] = {mode: bias for bias, mode in MODES.items()}
    return modes[table.attrs["bias"]]


def _by_source(values: "xr.DataArray") -> dict[str, float | None]:
    by_name = {str(name): float(values.sel(source=name)) for name in values.source.values}
    return {name: None if np.isnan(value) else value for name, value in by_name.items()}


def open_tables(out: Path) -> "dict[str, xr.Dataset]":
    """The tables that an evaluation wrote, by condition.

    Raises:
        FileNotFoundError: if there is none.
        IncompleteTableError: if one is not complete.
    """
    there = [name for name in CONDITIONS if list(out.glob(f"{name}.zarr*"))]
    if not there:
        raise FileNotFoundError(
            f"no evaluation in {out}: run `python -m experiments.sen12ms evaluate` first"
        )
    return {name: tables.open(out / f"{name}.zarr") for name in there}
