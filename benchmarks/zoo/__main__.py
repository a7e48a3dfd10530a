"""`python -m benchmarks.zoo`: audit every architecture of the zoo."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import jax
import tyro
from rich.console import Console

from benchmarks.zoo import report
from benchmarks.zoo.frameworks import find
from benchmarks.zoo.measurement import Row, survey


@dataclass(frozen=True)
class Zoo:
    """Audit architectures of eight frameworks: coverage, conservation, RFP = LRP.

    Every model has random weights, random batch-norm statistics and two sources. The exit status is
    1 if one of them fails; `make zoo` runs this.
    """

    only: tuple[str, ...] = ()
    """Frameworks (linen, nnx, equinox, haiku, keras, ours, torch,
    onnx) or models, by name; else all."""
    float64: bool = False
    """Measure in double precision too, where nothing may be left over."""
    resume: bool = False
    """Keep the rows that FILE of an earlier run holds, but for those that failed."""
    json: Annotated[Path, tyro.conf.arg(metavar="FILE")] = field(default=Path("results/zoo.json"))
    """The file for all numbers."""
    markdown: Annotated[Path, tyro.conf.arg(metavar="FILE")] = field(default=Path("results/zoo.md"))
    """The file for the table."""


def main(options: Zoo) -> int:
    """Run the zoo; one model's failure is a row.

    Args:
        options: what to run, and where results go. They are written after every model.

    Returns:
        The exit status: 0 if all models passed.
    """
    console = Console(width=None if sys.stdout.isatty() else 200)
    dtypes = ("float32", "float64") if options.float64 else ("float32",)
    try:
        models = list(find(options.only))
    except (ValueError, ModuleNotFoundError) as error:
        console.print(str(error), style="bold red", markup=False)
        return 2
    kept = {(row.framework, row.model): row for row in report.load(options.json) if row.passed}
    rows: list[Row] = []
    for number, (framework, model, builder) in enumerate(models, start=1):
        name = f"[{number}/{len(models)}] {framework}: {model}"
        if options.resume and (framework, model) in kept:
            rows.append(kept[framework, model])
            continue
        with console.status(name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the frameworks about themselves
            rows.append(survey(framework, model, builder, dtypes))
        seconds = sum(measured.seconds for measured in rows[-1].measured.values())
        verdict = "conserved" if rows[-1].passed else rows[-1].error or "FAILED"
        console.print(f"{name}: {verdict}, {seconds:.0f} s", markup=False, highlight=False)
        jax.clear_caches()  # compiled programs of big models would add up
        report.save(rows, options.json, options.markdown)
    console.print(report.table(rows))
    console.print(report.summary(rows), markup=False, highlight=False, soft_wrap=True)
    console.print(f"numbers: {options.json}; table: {options.markdown}", highlight=False)
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Zoo, prog="python -m benchmarks.zoo")))
