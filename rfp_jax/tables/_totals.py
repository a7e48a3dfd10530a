"""A relevance table in a few numbers, gone through block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.parts import source_names
from rfp_jax._util.trees import Json
from rfp_jax.tables._evaluate import scores
from rfp_jax.tables._evaluate.consistency import blocks
from rfp_jax.tables._query import default_target, drop_failed, label_kind, share

if TYPE_CHECKING:
    import xarray as xr


def accuracy(table: xr.Dataset) -> float:
    """The fraction of labeled samples that are predicted right, every class of them; NaN if none.

    Samples that failed do not count. Of probabilities the class with the highest one is the label.
    """
    found = summary(table)["accuracy"]
    return float("nan") if found is None else found


def summary(table: xr.Dataset, which: str | None = None) -> dict[str, Json]:
    """Summarize a table in a few numbers, computed block by block.

    Args:
        table: a relevance table.
        which: the class whose relevance is shared out, see `select_class`; by default the label
            where samples have one class, else the class with the highest output.

    Returns:
        `samples`, `failures`, `nonfinite` (evaluated, but with a number that is not finite),
        `labeled`, `accuracy` (None without labels of classes; of several labels all must be
        right), `share`: the mean share of each source, and by the kind of label: `scores` of
        several labels (see `rfp_jax.tables.MultiLabel`), or `errors` of targets (see
        `rfp_jax.tables.Regression`). Of outputs with places `labeled` and `accuracy` count places,
        `regions` are the rows, and there are `iou` of each class and `mean_iou` (see
        `rfp_jax.tables.Pixels`).
    """
    which = which or default_target(table)
    sources = source_names(table)
    counts: dict[str, int] = dict.fromkeys(("samples", "failures", "nonfinite"), 0)
    total, shared = np.zeros(len(sources)), 0
    measure, seen = scores.of_table(table, label_kind(table)), set[int]()
    for block in blocks(table):
        failed = block.failure.values != ""
        counts["samples"] += block.sizes["sample"]
        seen |= set(block.number.values.tolist()) if "pixels" in block else set()
        counts["failures"] += int(failed.sum())
        counts["nonfinite"] += int((~failed & ~block.finite.values).sum())
        measure = measure.add(block.isel(sample=np.flatnonzero(~failed)))
        known = share(drop_failed(block), which).dropna("sample").values.astype(np.float64)
        total, shared = total + known.sum(0), shared + len(known)
    mean = total / shared if shared else np.full(len(sources), np.nan)
    if "pixels" in table:  # rows are regions
        counts["regions"] = counts["samples"] - counts["failures"]
        counts["samples"] = len(seen)
    return {
        **counts,
        "labeled": measure.labeled,
        "accuracy": measure.accuracy,
        **measure.details,
        "share": dict(zip(sources, mean.tolist(), strict=True)),
    }


def print_summary(table: xr.Dataset, *, failures: int = 5) -> None:
    """Print a summary of a table, with the first failures, to stderr.

    Args:
        table: a relevance table.
        failures: of how many samples to say why they failed.
    """
    with needs_extra("Printing a summary", "tables"):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

    found = summary(table)
    shown = Table(show_header=False, title="Relevance table")
    shown.add_row("samples", f"{found['samples']}")
    shown.add_row("failed", f"{found['failures']}")
    shown.add_row("not finite", f"{found['nonfinite']}")
    if found["accuracy"] is not None:
        shown.add_row("accuracy", f"{found['accuracy']:.4f}")
    if "mean_iou" in found:
        shown.add_row("mean IoU", f"{found['mean_iou']:.4f}")
    for name, value in found.get("scores", {}).get("micro", {}).items():
        shown.add_row(f"{name} (micro)", f"{value:.4f}")
    for output, errors in found.get("errors", {}).items():
        shown.add_row(Text(f"RMSE, {output}"), f"{errors['rmse']:.4g}")
    for source, value in found["share"].items():
        shown.add_row(Text(f"mean share, {source}"), f"{value:.3f}")
    console = Console(stderr=True)
    console.print(shown)
    if found["failures"]:
        for name, reason in first_failures(table, failures):
            console.print(Text(f"  {name}: {reason}", style="red"))


def first_failures(table: xr.Dataset, count: int) -> list[tuple[str, str]]:
    """Names of the first samples that failed, and why."""
    found: list[tuple[str, str]] = []
    for block in blocks(table):
        failed = block.isel(sample=np.flatnonzero(block.failure.values != ""))
        found += zip(map(str, failed.id.values), map(str, failed.failure.values), strict=True)
        if len(found) >= count:
            break
    return found[:count]
