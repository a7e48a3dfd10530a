"""Figures of relevance tables: what is drawn, taken out of a table or out of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from rfp_jax._util.parts import BIAS

if TYPE_CHECKING:
    import xarray as xr


class Parts(NamedTuple):
    """The parts of relevance of which figures are drawn.

    Attributes:
        relevance: name of the source to its relevance, [samples, classes].
        bias: what came from no source, [samples, classes].
        output: the network's outputs, [samples, classes].
        labels: the class of each sample, int [samples].
        names: names of the classes.
        rows: where in the table each sample is.
    """

    relevance: dict[str, np.ndarray]
    bias: np.ndarray
    output: np.ndarray
    labels: np.ndarray
    names: list[str]
    rows: np.ndarray


def is_table(relevance: object) -> TypeGuard[xr.Dataset]:
    """Return whether this is a relevance table; arrays need no xarray."""
    return hasattr(relevance, "data_vars")


def parts_of(table: xr.Dataset, labels: ArrayLike | None = None) -> Parts:
    """Take out of a table what figures need, of the samples that have a class and finite numbers.

    Args:
        table: a relevance table.
        labels: the class of each sample; by default its true class.

    Raises:
        ValueError: samples have no class, or not one each.
    """
    if labels is None and "label" not in table.coords:
        raise ValueError("the table has no labels: pass the class of each sample, labels=...")
    classes = np.asarray(table.label if labels is None else labels)
    if classes.shape != (table.sizes["sample"],) or classes.dtype.kind not in "iu":
        raise ValueError(
            "each sample must have one class to draw, pass its number, labels=...; got "
            f"{classes.dtype}{list(classes.shape)}"
        )
    rows = np.flatnonzero(table.finite.values & (classes >= 0))
    found = table.isel(sample=rows)
    sources = [str(name) for name in table.source.values]
    values = {name: found.relevance.sel(source=name).values for name in sources}
    bias = values.pop(BIAS, np.zeros_like(found.output.values))
    names = [str(name) for name in table["class"].values]
    return Parts(values, bias, found.output.values, classes[rows], names, rows)


def class_names(names: Sequence[str], count: int) -> list[str]:
    """Return names of classes, their numbers unless given.

    Raises:
        ValueError: there are not as many names as classes.
    """
    if names and len(names) != count:
        raise ValueError(f"{len(names)} names of {count} classes")
    return [*names] if names else [str(k) for k in range(count)]


def named_parts(
    relevance: Mapping[str, ArrayLike] | xr.Dataset,
    labels: ArrayLike | None,
    names: Sequence[str],
) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Return relevance by source, labels and names of classes, from a table or from arrays.

    Samples whose class is not known (-1) are left out.

    Raises:
        ValueError: there are no labels, or they do not fit.
    """
    if is_table(relevance):
        parts = parts_of(relevance, labels)
        values, classes, names = parts.relevance, parts.labels, names or parts.names
    elif labels is None:
        raise ValueError("arrays know no labels: pass the class of each sample, labels=...")
    else:
        known = np.asarray(labels) >= 0
        values = {str(name): np.asarray(each)[known] for name, each in relevance.items()}
        classes = np.asarray(labels)[known]
    return values, classes, class_names(names, next(iter(values.values())).shape[1])
