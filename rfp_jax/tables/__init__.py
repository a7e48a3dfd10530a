"""Relevance tables: relevance of whole data sets, computed, kept, asked and shown.

`evaluate` writes a table: batched, sharded, resumable, losing nothing. `open` opens one, `summary`,
`share` and others ask it the usual questions, `report` shows it as one HTML page.
"""

from rfp_jax._runs.errors import OtherProcessError, TableInUseError
from rfp_jax._runs.processes import join
from rfp_jax._util.parts import BIAS
from rfp_jax.tables._bins import bin_members
from rfp_jax.tables._evaluate.consistency import blocks, check
from rfp_jax.tables._evaluate.errors import (
    BadSampleError,
    DamagedTableError,
    TableFormatError,
    TableMismatchError,
)
from rfp_jax.tables._evaluate.evaluation import evaluate
from rfp_jax.tables._evaluate.exports import to_csv, to_parquet
from rfp_jax.tables._evaluate.options import Columns, Places, RunOptions
from rfp_jax.tables._evaluate.samples import DataSource
from rfp_jax.tables._evaluate.scores import MultiLabel, Pixels, Regression
from rfp_jax.tables._points import to_geodataframe
from rfp_jax.tables._query import (
    by_bins,
    by_class,
    default_target,
    drop_failed,
    label_kind,
    select_class,
    share,
)
from rfp_jax.tables._report.gallery import thumbnails
from rfp_jax.tables._report.page import report
from rfp_jax.tables._stored import IncompleteTableError, open, open_maps, provenance
from rfp_jax.tables._totals import accuracy, first_failures, print_summary, summary

__all__ = [
    "BIAS",
    "BadSampleError",
    "Columns",
    "DamagedTableError",
    "DataSource",
    "IncompleteTableError",
    "MultiLabel",
    "OtherProcessError",
    "Pixels",
    "Places",
    "Regression",
    "RunOptions",
    "TableFormatError",
    "TableInUseError",
    "TableMismatchError",
    "accuracy",
    "bin_members",
    "blocks",
    "by_bins",
    "by_class",
    "check",
    "default_target",
    "drop_failed",
    "evaluate",
    "first_failures",
    "join",
    "label_kind",
    "open",
    "open_maps",
    "print_summary",
    "provenance",
    "report",
    "select_class",
    "share",
    "summary",
    "thumbnails",
    "to_csv",
    "to_geodataframe",
    "to_parquet",
]
