"""The zoo's rows as a table to look at, as Markdown and as JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich.table import Table

from benchmarks.zoo.frameworks import FRAMEWORKS
from benchmarks.zoo.measurement import EXACT, Measurement, Row
from benchmarks.zoo.original import Beside
from rfp_jax._util.files import atomic_file

_PACKAGES = (
    *("jax", "flax", "equinox", "dm-haiku", "keras"),
    *("torch", "torchvision", "timm", "segmentation_models_pytorch", "transformers"),
    *("onnx", "onnxruntime"),
)
_COUNTS = ("equations", "linear", "rule", "constant", "unsupported")
_DIFFERENCES = {"residual": "residual", "theorem": "RFP-LRP", "output": "output"}


def machine() -> dict[str, str]:
    """Return what the zoo ran on: versions and device."""
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)  # of what is imported, the first
    return {"python": platform.python_version(), **versions, "device": jax.devices()[0].device_kind}


def summary(rows: Sequence[Row]) -> str:
    """One line: how many models, and whether all is well."""
    passed = [row for row in rows if row.passed]
    frameworks = {row.framework for row in rows if row.framework != "ours"}
    equations = [m for row in rows for m in row.measured.values()]
    unsupported = sum(m.unsupported for m in equations)
    parts = [
        f"{len(passed)} of {len(rows)} models conserve relevance and agree with their heatmaps",
        f"{len(frameworks)} frameworks",
        f"{unsupported} unsupported equations",
    ]
    for dtype in _dtypes(rows):
        worst = max((r.measured[dtype].residual for r in rows if dtype in r.measured), default=0)
        parts.append(f"worst {dtype} residual {worst:.1e}")
    failed = [f"{row.framework}: {row.model}" for row in rows if not row.passed]
    return "; ".join(parts) + (f". FAILED: {', '.join(failed)}." if failed else ".")


def table(rows: Sequence[Row]) -> Table:
    """The rows for a terminal."""
    shown = Table(title="rfp_jax zoo, rules: lrp0", title_justify="left")
    names = _columns(rows)
    for place, name in enumerate(names):
        is_text = place < 2 or place == len(names) - 1
        shown.add_column(
            name, justify="left" if is_text else "right", overflow="fold", no_wrap=name == "model"
        )
    for row in rows:
        shown.add_row(*_cells(row, rows), style=None if row.passed else "bold red")
    return shown


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, with what they were measured on."""
    names = _columns(rows)
    aligned = [":--", ":--", *["--:"] * (len(names) - 3), ":--"]
    lines = [names, aligned, *(_cells(row, rows) for row in rows)]
    ran_on = ", ".join(f"{name} {value}" for name, value in machine().items())
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{summary(rows)}\n\nMeasured with {ran_on}.\n\n{body}\n"


def save(rows: Sequence[Row], to_json: Path, to_markdown: Path) -> None:
    """Write both files; each is whole or as it was before."""
    record = {
        "machine": machine(),
        "float64_limit": EXACT,
        "rows": [dataclasses.asdict(row) | {"passed": row.passed} for row in rows],
    }
    _replace(to_json, json.dumps(record, indent=1))
    _replace(to_markdown, markdown(rows))


def load(from_json: Path) -> list[Row]:
    """Read the rows that `save` wrote; none where there is no file."""
    if not from_json.exists():
        return []
    found = json.loads(from_json.read_text(encoding="utf-8"))["rows"]
    return [_row(**{key: value for key, value in row.items() if key != "passed"}) for row in found]


def _row(framework: str, model: str, measured: dict[str, dict[str, Any]], error: str) -> Row:
    each = {
        dtype: Measurement(**{**m, "beside": Beside(**m["beside"]) if m["beside"] else None})
        for dtype, m in measured.items()
    }
    return Row(framework, model, each, error)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _dtypes(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(dtype for row in rows for dtype in row.measured))


def _has_originals(rows: Sequence[Row]) -> bool:
    return any(m.beside for row in rows for m in row.measured.values())


def _columns(rows: Sequence[Row]) -> list[str]:
    short = {dtype: dtype.replace("float", "f") for dtype in _dtypes(rows)}
    differences = [f"{name} {short[d]}" for d in short for name in _DIFFERENCES.values()]
    others = [f"{name} {short[d]}" for d in short for name in ("original", "oracle")]
    others = [*others, "forward passes", "original passes"] if _has_originals(rows) else []
    return ["framework", "model", *_COUNTS, "from sources", *differences, *others, "verdict"]


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    first = next(iter(row.measured.values()), None)
    counts = [str(getattr(first, name)) if first else "" for name in _COUNTS]
    share = f"{first.from_sources:.0%}" if first else ""
    differences = [
        f"{getattr(row.measured[dtype], name):.0e}" if dtype in row.measured else ""
        for dtype in _dtypes(rows)
        for name in _DIFFERENCES
    ]
    others = _beside(row, _dtypes(rows)) if _has_originals(rows) else []
    verdict = "conserved" if row.passed else row.error or "FAILED"
    return [FRAMEWORKS[row.framework], row.model, *counts, share, *differences, *others, verdict]


def _beside(row: Row, dtypes: Sequence[str]) -> list[str]:
    """Differences from the original and the oracle; relevance in forward passes, in float32."""
    found = [getattr(row.measured.get(dtype), "beside", None) for dtype in dtypes]
    gaps = [gap for b in found for gap in ((_gap(b.output), _oracle(b)) if b else ("", ""))]
    first = next((b for b in found if b), None)
    passes: list[str] = ["", ""]
    if first and first.forward and first.relevance and first.original:
        passes = [f"{first.relevance / other:.1f}" for other in (first.forward, first.original)]
    return [*gaps, *passes]


def _oracle(b: Beside) -> str:
    return f"none: {b.no_oracle}" if b.oracle is None else _gap(b.oracle)


def _gap(gap: float) -> str:
    return f"{gap:.0e}"
