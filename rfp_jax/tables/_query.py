"""Ask a relevance table: relevance and shares for a class of each sample, by class, by bins.

A table is an xarray `Dataset`, as `rfp_jax.tables.evaluate` writes it: dimensions `sample`,
`source` (the last one is `bias`) and `class`; variables `relevance` and `output`; for every sample
`id`, `label`, `prediction`, `failure`, `finite` and metadata. `xarray.open_zarr` opens it as well;
the functions here are short names for xarray operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rfp_jax._util.parts import shares
from rfp_jax.tables._bins import bin_edges
from rfp_jax.tables._evaluate.consistency import with_numbers

if TYPE_CHECKING:
    import xarray as xr

KNOWN = {"id", "label", "prediction", "failure", "finite", "number", "source", "class", "sample"}
"""Coordinates of a table that are not metadata."""


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
    (dim,) = values.label.dims
    if values.sizes[dim]:
        grouped = values.groupby("label").median()
    else:  # groups of nothing, which xarray refuses
        grouped = values.reset_coords(drop=True).rename({dim: "label"})
        grouped = grouped.assign_coords(label=np.zeros(0, int))
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
