"""Tables in long form, as CSV and Parquet: one row for each sample, source and class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.files import atomic_file
from rfp_jax.tables._evaluate.consistency import blocks

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def to_csv(table: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV: one line for each sample, source and class.

    The columns are `sample`, `source`, `class`, `relevance`, `output`, and what is known of the
    sample. Written block by block, and to `path` only when it is complete.

    Args:
        table: a relevance table.
        path: the file to write; it is replaced.
    """
    with atomic_file(Path(path)) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        for number, frame in enumerate(_frames(table)):
            frame.to_csv(file, index=False, header=number == 0)


def to_parquet(table: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a table as Parquet: one row for each sample, source and class, as `to_csv` does.

    Args:
        table: a relevance table.
        path: the file to write; it is replaced.
    """
    with needs_extra("Writing Parquet", "tables"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    with atomic_file(Path(path)) as draft:
        writer = None
        for frame in _frames(table):
            rows = pa.Table.from_pandas(frame, preserve_index=False)
            writer = writer or pq.ParquetWriter(draft, rows.schema)
            writer.write_table(rows)
        if writer is not None:
            writer.close()


def _frames(table: xr.Dataset) -> Iterator[pd.DataFrame]:
    """A table in long form, a data frame for each block."""
    first, start = ["sample", "id", "source", "class", "relevance", "output"], 0
    for block in blocks(table) if table.sizes["sample"] else [table]:  # columns without rows
        names = [n for n in ("label", "prediction") if n in block.coords and block[n].ndim == 2]
        size = block.sizes["sample"]
        numbered = block.reset_coords(names).assign_coords(sample=np.arange(start, start + size))
        frame = numbered.to_dataframe(dim_order=["sample", "source", "class"]).reset_index()
        yield frame.loc[:, [*first, *(name for name in frame.columns if name not in first)]]
        start += size
