"""Relevance tables: relevance of whole data sets, computed, kept, asked and shown.

`evaluate` writes a table: batched, sharded, resumable, losing nothing. `open` opens one, `summary`,
`share` and others ask it the usual questions, `report` shows it as one HTML page.
"""

from rfp_jax.tables._evaluate.consistency import blocks, check
from rfp_jax.tables._evaluate.errors import (
    BadSampleError,
    DamagedTableError,
    OtherProcessError,
    TableFormatError,
    TableInUseError,
    TableMismatchError,
)
from rfp_jax.tables._evaluate.evaluation import evaluate
from rfp_jax.tables._evaluate.exports import to_csv, to_parquet
from rfp_jax.tables._evaluate.options import Columns, RunOptions
from rfp_jax.tables._evaluate.processes import join
from rfp_jax.tables._evaluate.samples import DataSource
from rfp_jax.tables._evaluate.scores import MultiLabel, Regression
from rfp_jax.tables._evaluate.table import BIAS
from rfp_jax.tables._query import (
    IncompleteTableError,
    accuracy,
    by_bins,
    by_class,
    first_failures,
    label_kind,
    of_class,
    open,
    print_summary,
    provenance,
    share,
    summary,
    to_geodataframe,
    usual_class,
    valid,
)
from rfp_jax.tables._report.gallery import thumbnails
from rfp_jax.tables._report.page import report

__all__ = [
    "BIAS",
    "BadSampleError",
    "Columns",
    "DamagedTableError",
    "DataSource",
    "IncompleteTableError",
    "MultiLabel",
    "OtherProcessError",
    "Regression",
    "RunOptions",
    "TableFormatError",
    "TableInUseError",
    "TableMismatchError",
    "accuracy",
    "blocks",
    "by_bins",
    "by_class",
    "check",
    "evaluate",
    "first_failures",
    "join",
    "label_kind",
    "of_class",
    "open",
    "print_summary",
    "provenance",
    "report",
    "share",
    "summary",
    "thumbnails",
    "to_csv",
    "to_geodataframe",
    "to_parquet",
    "usual_class",
    "valid",
]
