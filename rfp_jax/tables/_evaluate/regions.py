"""Regions as rows of a table, and maps beside them.

On the disk every sample has the same number of rows, one for each region that there can be; those
without places are left out where the table is opened. So a table of maps is a table as any other:
its samples are regions, the true class is that of the region, and every question and figure of
tables is one of regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from rfp_jax._util.trees import Json
from rfp_jax.tables._evaluate.labels import UNKNOWN
from rfp_jax.tables._evaluate.places import Form
from rfp_jax.tables._evaluate.samples import ReadSample

if TYPE_CHECKING:
    import xarray as xr

Over = Literal["label", "prediction"]
"""The places that rows are means over: those of each true class, or of each predicted one."""

ITEM = "item"
"""The dimension of maps on the disk: samples as the data source has them."""

MAP_BYTES = 2**27
"""No more bytes of maps are committed together."""


def samples_of_regions(form: Form, samples: Sequence[ReadSample]) -> list[ReadSample]:
    """Repeat each sample for each of its regions; the label is the region's true class."""
    labels = [*range(form.classes)] if form.is_labeled else []
    labels += [None] * (form.regions - len(labels))
    return [
        each._replace(label=None if each.failure else label) for each in samples for label in labels
    ]


def chunk_of(form: Form | None, sources: int, chunk: int) -> int:
    """Return the number of samples that are committed together: fewer where maps are kept."""
    if form is None or not (each := form.map_bytes(sources)):
        return chunk
    return min(chunk, max(MAP_BYTES // each, 1))


def regions_in(attributes: Mapping[str, Json]) -> int:
    """Return the number of rows of a sample on the disk, by the table's own account."""
    return (attributes.get("places") or {}).get("regions", 1)


def choose(table: xr.Dataset, places: Mapping[str, Json], over: Over | None) -> xr.Dataset:
    """Leave out regions without places, of a table as it is on the disk.

    A sample that failed keeps one row.

    Args:
        table: the table.
        places: what it says of places.
        over: whose regions; by default the label's, where there are labels.

    Raises:
        ValueError: there are no labels, or `over` is not known.
    """
    over = over or ("label" if places["labeled"] else "prediction")
    if over not in ("label", "prediction"):
        raise ValueError(f"over={over!r}: must be 'label' or 'prediction'")
    if over == "label" and not places["labeled"]:
        raise ValueError("over='label': the table was made without labels; leave over= out")
    count, classes = places["regions"], table.sizes["class"]
    first = 0 if over == "label" else count - classes
    chosen = slice(first, first + classes)
    filled = table.pixels.values.sum(-1).reshape(-1, count)[:, chosen] > 0
    failed = table.failure.values.reshape(-1, count)[:, 0] != ""
    filled[failed, 0] = True
    sample, region = np.nonzero(filled)
    table = table.drop_dims(ITEM, errors="ignore").isel(sample=sample * count + first + region)
    if over == "prediction":  # its places have several true classes, `pixels` says how many
        table = table.drop_vars("label", errors="ignore")
    return table.assign_attrs(over=over)


def maps_in(table: xr.Dataset, places: Mapping[str, Json]) -> xr.Dataset:
    """The maps of a table as it is on the disk, one of each sample of the data."""
    of_regions = {"label", "prediction", "finite", "number"}
    known = table.isel(sample=slice(0, None, places["regions"])).coords
    known = {n: c.variable for n, c in known.items() if "sample" in c.dims and n not in of_regions}
    found = table[[name for name in table if ITEM in table[name].dims]]
    found = found.drop_vars([n for n, c in found.coords.items() if "sample" in c.dims])
    found = found.rename({name: str(name).removeprefix("map_") for name in found})
    return found.rename({ITEM: "sample"}).assign_coords(known)


def words_of_maps(
    named: Mapping[str, Json], units: Mapping[str, Json]
) -> dict[str, dict[str, Json]]:
    """Attributes of each map.

    Args:
        named: numbers and names of classes.
        units: those of relevance and output.
    """
    return {
        "map_relevance": {"long_name": "relevance for the predicted class", **units},
        "map_output": {"long_name": "output of the predicted class", **units},
        "map_prediction": {"long_name": "predicted class", **named},
        "map_label": {"long_name": "true class", "unknown": UNKNOWN, **named},
    }
