"""A relevance table as one HTML file: numbers, figures, and a gallery of samples to browse.

The file holds everything it shows and asks no network for anything; its content security policy
forbids that, and any script but its own. Whatever comes from data (names, ids, reasons, metadata)
is escaped by the template (`page.html`).
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import atomic_file
from rfp_jax._util.pages import digest, render, resource
from rfp_jax._util.trees import Json
from rfp_jax.tables import _stored, _totals
from rfp_jax.tables._report.charts import figures
from rfp_jax.tables._report.facts import Facts
from rfp_jax.tables._report.gallery import Gallery, Pictures, choose
from rfp_jax.tables._report.matrix import confusion, samples_csv

if TYPE_CHECKING:
    import xarray as xr

_PAGE = "rfp_jax.tables._report"
"""The package with the template, its style and its script."""

FAILURES = 200
"""So many failures are listed."""


def report(
    table: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    title: str = "Relevance",
    note: str = "",
    pictures: Callable[[int], Pictures] | None = None,
    bins: Sequence[str] = (),
    samples: int = 200,
    seed: int = 0,
) -> None:
    """Write a report.

    Args:
        table: a relevance table.
        path: the HTML file to write; it appears when it is complete.
        title: its title.
        note: a sentence to show at the top, such as that the data are synthetic.
        pictures: for the index of a sample in the table, small pictures by name: uint8, [height,
            width] or [height, width, 3]. `thumbnails` makes such a function.
        bins: numeric metadata (such as `"cloud_cover"`) to draw the share of each source against.
        samples: at most so many samples are in the gallery, drawn at random.
        seed: of that draw.

    Raises:
        ValueError: there is no such metadata, no sample could be evaluated, or a picture is of
            another kind.

    Examples:
        >>> import tempfile, xarray as xr
        >>> table = xr.Dataset(
        ...     {
        ...         "relevance": (("sample", "source", "class"), [[[3.0], [-1.0], [5.0]]]),
        ...         "output": (("sample", "class"), [[7.0]]),
        ...     },
        ...     coords={
        ...         "source": ["optical", "sar", "bias"], "class": ["forest"],
        ...         "id": ("sample", ["p1"]), "label": ("sample", [0]),
        ...         "prediction": ("sample", [0]), "failure": ("sample", [""]),
        ...         "finite": ("sample", [True]),
        ...     },
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report(table, f"{folder}/report.html", title="One patch")
        ...     "One patch" in Path(f"{folder}/report.html").read_text()
        True
    """
    with needs_extra("Writing a report", "tables"):
        import jinja2  # noqa: F401  (found missing before the work)
        import matplotlib as mpl  # noqa: F401
        import PIL  # noqa: F401
    chosen = choose(table, samples, seed)
    if not len(chosen):
        raise ValueError("no sample of the table could be evaluated: there is nothing to report")
    facts = Facts.from_table(table)
    for name in bins:
        if name not in facts.shares.coords or facts.shares[name].dtype.kind not in "iuf":
            raise ValueError(f"no numeric metadata called {name!r} in the table")
    gallery = Gallery(
        table.isel(sample=chosen).load(), facts, chosen, table.sizes["sample"], pictures
    )
    csv = samples_csv(gallery.table, gallery.metadata)
    provenance = _stored.provenance(table)
    page = _render(
        title=title,
        subtitle=_subtitle(table),
        note=note,
        numbers=_numbers(_totals.summary(table)),
        facts=facts,
        confusion=confusion(facts),
        csv=base64.b64encode(csv.encode()).decode(),
        figures=figures(facts, bins),
        gallery=gallery,
        failures=_totals.first_failures(table, FAILURES),
        most_failures=FAILURES,
        provenance=json.dumps(provenance, indent=2, ensure_ascii=False, default=str),
    )
    with atomic_file(Path(path)) as draft:
        draft.write_text(page, encoding="utf-8")


def _render(**content: object) -> str:
    """The page; all of its content is escaped but its own style and script."""
    from markupsafe import Markup

    script = resource(_PAGE, "page.js")
    return render(
        _PAGE,
        "page.html",
        **content,
        style=Markup(resource(_PAGE, "page.css")),
        script=Markup(script),
        script_hash=digest(script),
    )


def _subtitle(table: xr.Dataset) -> str:
    versions = _stored.provenance(table).get("versions", {})
    made = [f"{name} {versions[name]}" for name in ("rfp_jax", "jax") if name in versions]
    rules = [f"rules {table.attrs['rules']}"] if "rules" in table.attrs else []
    state = [] if table.attrs.get("complete", True) else ["the table is incomplete"]
    return ", ".join([*made, *rules, *state]) or "relevance table"


def _numbers(summary: dict[str, Json]) -> dict[str, object]:
    shown: dict[str, object] = {
        "samples": summary["samples"],
        "failed": summary["failures"],
        "not finite": summary["nonfinite"],
    }
    if summary["accuracy"] is not None:
        shown["accuracy"] = f"{summary['accuracy']:.4f}"
    if "mean_iou" in summary:
        shown["mean IoU"] = f"{summary['mean_iou']:.4f}"
    scores = summary.get("scores", {}).get("micro", {})
    shown |= {f"{name}, micro": f"{value:.4f}" for name, value in scores.items()}
    errors = summary.get("errors", {})
    shown |= {f"RMSE, {name}": f"{each['rmse']:.4g}" for name, each in errors.items()}
    shown |= {f"mean share, {name}": f"{value:.3f}" for name, value in summary["share"].items()}
    return shown
