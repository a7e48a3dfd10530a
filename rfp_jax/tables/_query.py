"""Relevance tables: open them, ask them the usual questions, export them.

A table is an xarray `Dataset`, as `rfp_jax.tables.evaluate` writes it: dimensions `sample`,
`source` (the last one is `bias`) and `class`; variables `relevance` and `output`; for every sample
`id`, `label`, `prediction`, `failure`, `finite` and metadata. `xarray.open_zarr` opens it as well;
the functions here are short names for xarray operations.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.parts import shares, source_names
from rfp_jax._util.trees import Json
from rfp_jax.tables._bins import bin_edges
from rfp_jax.tables._evaluate import layout, regions, scores
from rfp_jax.tables._evaluate.consistency import blocks, with_numbers
from rfp_jax.tables._evaluate.journal import Journal
from rfp_jax.tables._evaluate.plan import Chunks
from rfp_jax.tables._evaluate.table import nested

if TYPE_CHECKING:
    import geopandas
    import xarray as xr

KNOWN = {"id", "label", "prediction", "failure", "finite", "number", "source", "class", "sample"}
"""Coordinates of a table that are not metadata."""


class IncompleteTableError(RuntimeError):
    """The run that writes this table has not finished."""


def open(
    path: str | os.PathLike[str],
    *,
    incomplete: bool = False,
    thorough: bool = False,
    over: regions.Over | None = None,
) -> xr.Dataset:
    """Open a relevance table lazily.

    Args:
        path: where `rfp_jax.tables.evaluate` has put it.
        incomplete: whether to take a table whose run has not finished; of that, only the samples of
            committed chunks are there, and its attribute `complete` is 0.
        thorough: whether to read every file and compare it with its checksum now. Otherwise files
            must be there and have their size, and each is compared when it is read.
        over: of outputs with places, the places that rows are means over: those of each true class
            (`"label"`, where there are labels) or those of each predicted one (`"prediction"`, then
            without `label`).

    Returns:
        The table.

    Raises:
        IncompleteTableError: the run has not finished; says how far it is.
        DamagedTableError: files are missing or are not what was written; names each. The same
            error is raised later, where a file that is damaged within its size is read.
        TableFormatError: the table was written by the first edition; says what to do.
        FileNotFoundError: there is nothing at `path`.
        FileExistsError: something at `path` is not a relevance table.

    Examples:
        >>> import rfp_jax.tables
        >>> rfp_jax.tables.open("no/such/table.zarr")
        Traceback (most recent call last):
        FileNotFoundError: no relevance table at .../no/such/table.zarr
    """
    table, places = _stored(path, incomplete=incomplete, thorough=thorough)
    if places is None:
        if over is not None:
            raise ValueError("over= is for tables of outputs with places")
        return table
    return regions.choose(table, places, over)


def open_maps(path: str | os.PathLike[str], *, thorough: bool = False) -> xr.Dataset:
    """Open the maps of a table that was evaluated with `Places(keep_maps=True)`, lazily.

    Args:
        path: the table.
        thorough: see `open`.

    Returns:
        A Dataset of one map or sequence for each sample of the data: `relevance` (sample, source,
        ...) of the class that is predicted at each place, `output` (sample, ...), `prediction`, and
        `label` where there are labels (-1: unknown); with `id`, `failure` and the metadata.

    Raises:
        ValueError: the table has no maps.
        Exception: see `open`.
    """
    table, places = _stored(path, incomplete=False, thorough=thorough)
    if not (places or {}).get("keep_maps"):
        raise ValueError(
            f"the table at {os.fspath(path)} has no maps: evaluate with "
            "places=Places(keep_maps=True)"
        )
    return regions.maps_in(table, places or {})


def _stored(
    path: str | os.PathLike[str], *, incomplete: bool, thorough: bool
) -> tuple[xr.Dataset, dict[str, Json] | None]:
    """A table as it is on the disk, and what it says of places."""
    with needs_extra("Opening a relevance table", "tables"):
        from rfp_jax.tables._evaluate.opening import open_dataset
    journal = Journal(Path(path).absolute())
    if layout.is_table(journal.path):
        if found := layout.damage(journal.path, thorough=thorough):
            raise layout.damaged(journal.path, found)
        proof = layout.read_proof(journal.path)
        table = open_dataset(journal.path, layout.stamps(proof), proof["chunks"].values())
        return table, nested(table.attrs).get("places")
    attributes = journal.attributes()
    if attributes is None:
        raise FileNotFoundError(f"no relevance table at {journal.path}")
    chunks = Chunks(attributes["data"]["samples"], attributes["chunk"])
    records = dict(enumerate(journal.committed(chunks, thorough=thorough)))
    committed = {chunk: record for chunk, record in records.items() if record is not None}
    if not incomplete:
        raise IncompleteTableError(
            f"{journal.path} is incomplete: {len(committed)} of {len(chunks)} chunks are there; "
            "call evaluate again to finish it, or open(path, incomplete=True) to see what is there"
        )
    files = layout.stamps({"files": {}, "chunks": committed})
    table = open_dataset(journal.table, files, committed.values())
    samples = [np.arange(chunks.samples)[chunks.bounds(c)] for c in committed]
    items = np.concatenate(samples) if samples else np.arange(0)
    rows = np.arange(regions.regions_in(attributes))
    table = table.isel(sample=(items[:, None] * len(rows) + rows).ravel())
    table = table.isel({regions.ITEM: items}, missing_dims="ignore")
    return table.assign_attrs(complete=0), attributes.get("places")


def provenance(table: xr.Dataset) -> dict[str, Json]:
    """Return how a table was made: its attributes, with what is JSON in them decoded.

    Args:
        table: a relevance table.

    Returns:
        Among others `versions`, `rules`, `bias`, `method`, `model` (manifest, hashes of parameters
        and program), `data` (arguments, samples, kinds of labels and metadata), `dtype`, `chunk`.

    Examples:
        >>> import xarray as xr
        >>> provenance(xr.Dataset(attrs={"versions": '{"jax": "0.10.2"}'}))
        {'versions': {'jax': '0.10.2'}}
    """
    return nested(table.attrs)


def drop_failed(table: xr.Dataset) -> xr.Dataset:
    """Drop the samples that failed or have numbers that are not finite."""
    return table.isel(sample=np.flatnonzero(table.finite.values))


def select_class(table: xr.Dataset, which: str = "label") -> xr.DataArray:
    """Select the relevance for one class of each sample.

    Args:
        table: a relevance table.
        which: `"label"` for the true class, `"prediction"` for the predicted one, `"top"` for the
            one with the highest output, or the name of a class, then the same for all samples.

    Returns:
        Relevance, [sample, source]; NaN for samples without a label.

    Raises:
        ValueError: there is no such class, or a sample does not belong to one class.
        DamagedTableError: there are no numbers where there should be some, see `check`.
    """
    if which in ("label", "prediction", "top"):
        if which != "top" and which not in table.coords:
            raise ValueError(f"the table has no {which}: take 'top', or name an output")
        chosen = table.output.fillna(-np.inf).argmax("class") if which == "top" else table[which]
        if chosen.ndim != 1 or chosen.dtype.kind != "i":
            raise ValueError(
                f"the {which} is not one class per sample: take 'top', or name a class"
            )
        chosen = chosen.compute()  # pandas indexes by what is in memory
        picked = table.relevance.isel({"class": chosen.clip(0)})
        return with_numbers(picked).where(chosen >= 0).drop_vars("class", errors="ignore")
    if which not in table["class"].values:
        names = ", ".join(map(str, table["class"].values))
        raise ValueError(f"no class {which!r}: 'label', 'prediction', 'top', or one of {names}")
    return with_numbers(table.relevance.sel({"class": which}))


def default_target(table: xr.Dataset) -> str:
    """Name the class of a sample to look at: `"label"` where samples have one, else `"top"`."""
    return "label" if label_kind(table) == "class" else "top"


def label_kind(table: xr.Dataset) -> str | None:
    """Name the kind of labels: `"class"`, `"multi"`, `"soft"`, `"target"`; None without labels.

    The attribute `label_kind` of the labels says it; without one their dtype and shape do.
    """
    if "label" not in table.coords:
        return None
    label = table.label
    by_dtype = {"b": "multi", "i": "class", "u": "class"}.get(label.dtype.kind, "target")
    return str(label.attrs.get("label_kind", by_dtype))


def share(table: xr.Dataset, which: str | None = None, *, bias: bool = False) -> xr.DataArray:
    """The share of each source in the relevance for one class of each sample.

    It is `|R_s| / sum_t |R_t|`: between 0 and 1, adding up to 1 over the sources, whatever the
    signs. Where no source has any relevance, all have the same share.

    Args:
        table: a relevance table.
        which: see `select_class`; by default the label where samples have one class, else the class
            with the highest output.
        bias: whether the bias counts as a source.

    Returns:
        Shares, [sample, source]; NaN where relevance is not finite.

    Examples:
        >>> import xarray as xr
        >>> table = xr.Dataset(
        ...     {"relevance": (("sample", "source", "class"), [[[3.0], [-1.0], [5.0]]])},
        ...     coords={"source": ["optical", "sar", "bias"], "label": ("sample", [0])},
        ... )
        >>> share(table).values
        array([[0.75, 0.25]])
    """
    return shares(select_class(table, which or default_target(table)), bias=bias)


def by_class(values: xr.DataArray, classes: Sequence[str] | xr.DataArray) -> xr.DataArray:
    """Medians over the samples of each true class.

    Args:
        values: one value per sample or more, such as `share(table)` or `select_class(table)`, with
            the coordinate `label`.
        classes: names of the classes, such as `table["class"]`.

    Returns:
        Medians, [class, ...]; NaN for a class without samples.

    Raises:
        ValueError: samples do not have one class each.
    """
    if "label" not in values.coords or values.label.ndim != 1 or values.label.dtype.kind != "i":
        raise ValueError("samples must have one class each, as the coordinate 'label'")
    names = np.asarray(classes)
    grouped = values.groupby("label").median()
    return (
        grouped.reindex(label=np.arange(len(names)))
        .rename(label="class")
        .assign_coords({"class": names})
    )


def by_bins(
    values: xr.DataArray,
    name: str,
    bins: int | Sequence[float],
    **options: Any,  # Any: the arguments of xarray, each of its own type
) -> xr.DataArray:
    """Medians over bins of a metadata value, such as the share of each source by cloud cover.

    Args:
        values: one value per sample or more, such as `share(table)`.
        name: the metadata, a numeric coordinate of `values`.
        bins: edges of the bins, or how many of equal width. As in `bin_members` a lower edge
            belongs to its bin, and the last upper edge, too; what lies beyond is left out.
        options: further arguments of `xarray.DataArray.groupby_bins`, such as `labels`.

    Returns:
        Medians, [NAME_bins, ...].

    Raises:
        ValueError: there is no such coordinate, it is not numeric, or it has no finite values.

    Examples:
        >>> import xarray as xr
        >>> cover = ("sample", [0.0, 0.5, 1.0])
        >>> values = xr.DataArray([1.0, 2.0, 4.0], dims="sample", coords={"cover": cover})
        >>> by_bins(values, "cover", 2).values.tolist()
        [1.0, 3.0]
    """
    if name not in values.coords or values[name].dtype.kind not in "iuf":
        numeric = [str(key) for key, coord in values.coords.items() if coord.dtype.kind in "iuf"]
        raise ValueError(f"no numbers called {name!r}; there are {', '.join(numeric) or 'none'}")
    *edges, last = bin_edges(values[name].values, bins)
    edges.append(np.nextafter(last, np.inf))
    return values.groupby_bins(name, edges, right=False, **options).median()


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


def to_geodataframe(
    table: xr.Dataset,
    *,
    x: str = "x",
    y: str = "y",
    crs: str = "crs",
    to: str = "EPSG:4326",
) -> geopandas.GeoDataFrame:
    """Return one row per sample, with its place on the map and the share of each source.

    Args:
        table: a relevance table, with the center of each sample and its coordinate system as
            metadata.
        x: the metadata that holds eastings or longitudes.
        y: the metadata that holds northings or latitudes.
        crs: the metadata that holds the coordinate system of each sample, such as `"EPSG:32633"`,
            or a coordinate system for all.
        to: the coordinate system of the result; by default longitude and latitude.

    Returns:
        A GeoPandas frame of points, with `id`, `label`, `prediction`, the metadata, `failure`,
        `finite`, and `share_SOURCE` of each source. A sample whose place is unknown, such as one
        that could not be read, has no geometry.

    Raises:
        ModuleNotFoundError: GeoPandas is not installed (extra `maps`).
        ValueError: there is no such metadata.

    Examples:
        >>> to_geodataframe(tables.open("relevance.zarr")).explore("share_sar")  # doctest: +SKIP
    """
    names = [str(name) for name, each in table.coords.items() if each.dims == ("sample",)]
    for name in (x, y):
        if name not in names:
            known = ", ".join(n for n in names if n not in KNOWN) or "none"
            raise ValueError(f"no metadata called {name!r}; there are {known}")
    with needs_extra("A map of samples", "maps"):
        import geopandas
        import pandas as pd

    shown = share(table).load()
    frame = pd.DataFrame({name: table[name].values for name in names})
    for source in shown.source.values:
        frame[f"share_{source}"] = shown.sel(source=source).values
    systems = frame[crs] if crs in frame else pd.Series(crs, frame.index)
    known = frame[[x, y]].notna().all(axis=1) & (systems != "")
    nowhere = np.full(len(frame), None)
    places = geopandas.GeoSeries(nowhere, index=frame.index, crs=to)
    for system, rows in frame[known].groupby(systems[known], sort=False):
        points = geopandas.points_from_xy(rows[x], rows[y], crs=str(system)).to_crs(to)
        places[rows.index] = points
    return geopandas.GeoDataFrame(frame, geometry=places)
