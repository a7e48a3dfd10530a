"""An evaluation before it runs: checked, traced, and with a fingerprint of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rfp_jax._runs import fingerprint
from rfp_jax._util.trees import Json, Tree
from rfp_jax.tables._evaluate import schema as schemas
from rfp_jax.tables._evaluate.devices import (
    LARGEST_BATCH,
    CompiledBatch,
    batched,
    compile_batch,
    compile_largest,
)
from rfp_jax.tables._evaluate.layout import FORMAT
from rfp_jax.tables._evaluate.options import Columns, Places, RunOptions
from rfp_jax.tables._evaluate.places import Form, find_form
from rfp_jax.tables._evaluate.plan import Chunks
from rfp_jax.tables._evaluate.regions import chunk_of
from rfp_jax.tables._evaluate.rows import as_arrays
from rfp_jax.tables._evaluate.samples import DataSource, Keys, Reader, Schema
from rfp_jax.tables._evaluate.table import Table, check_names
from rfp_jax.tables._evaluate.torch_data import named_samples

PROBED = 2
"""The batch of the shapes that the model is tried with."""


@dataclass(frozen=True)
class Job:
    """One evaluation, but for where it is written and on how many devices it is computed.

    Attributes:
        arrays: maps parameters and a batch of inputs to relevance and output.
        params: the parameters.
        reader: reads samples.
        schema: what samples look like.
        table: the layout of the table.
        chunks: the chunks of the data set.
        identity: what must be the same for a run to go on with a table, as JSON.
    """

    arrays: Callable[..., Tree]
    params: Tree
    reader: Reader
    schema: Schema
    table: Table
    chunks: Chunks
    identity: Mapping[str, Json]

    @classmethod
    def from_arguments(
        cls,
        explain: Callable[[tuple[int, ...]], Callable[..., Tree]],
        params: Tree,
        data: DataSource,
        *,
        sources: Sequence[str],
        classes: Sequence[str],
        other_inputs: Sequence[str],
        labels: str | None,
        dtype: DTypeLike | None,
        columns: Columns,
        places: Places | None,
        run: RunOptions,
        made: Mapping[str, str],
        manifest: Mapping[str, Json] | None,
        data_arguments: Mapping[str, Json] | None,
    ) -> Job:
        """Check the arguments, look at some samples, and trace the model on them.

        Args:
            explain: makes, of the places of the sources among the arguments, a function that maps
                parameters and inputs to a `Relevance`.
            params: the parameters.
            data: the samples.
            sources: names of the sources.
            classes: names of the outputs.
            other_inputs: keys of the inputs that are not sources.
            labels: the kind of label, or None.
            dtype: the dtype of the inputs, or None.
            columns: where in a sample what is found.
            places: what to know of outputs with places.
            run: how the run works.
            made: how relevance was made, for the fingerprint.
            manifest: what to know about the model.
            data_arguments: what to know about the data.

        Raises:
            ValueError, TypeError: they do not fit one another; says how.
        """
        check_names(sources, classes, tuple(columns.metadata))
        data = named_samples(data, columns.fields)
        _check_length(data, columns.ids)
        keys = Keys.from_columns(columns, sources, other_inputs)
        explained = explain(keys.argnums)
        params = jax.tree.map(lambda x: x if isinstance(x, jax.Array) else np.asarray(x), params)

        def form_of(inputs: schemas.Inputs, is_labeled: bool) -> Form | None:
            given = batched(Schema(inputs, None, {}), PROBED)
            output = jax.eval_shape(explained, params, *given).output
            form = find_form(output, PROBED, classes, places, is_labeled=is_labeled)
            if form is None:  # refuse what has not as many outputs as classes
                jax.eval_shape(as_arrays(explained, sources, classes), params, *given)
            return form

        reader = Reader(data, columns, keys, tuple(classes), _floating(dtype))
        probes = schemas.look(reader, run.max_failures)
        schema = schemas.infer(reader, probes, labels, form_of)
        form, chunk = schema.form, chunk_of(schema.form, len(sources), run.chunk)
        arrays = as_arrays(explained, sources, classes, form)
        relevance, *_ = jax.eval_shape(arrays, params, *batched(schema, PROBED))
        stored = np.dtype(np.float64 if relevance.dtype == np.float64 else np.float32)
        identity = {
            "format": FORMAT,
            "versions": fingerprint.versions(),
            **made,
            "model": {
                "manifest": fingerprint.as_json("manifest", manifest),
                "parameters": fingerprint.hash_parameters(params),
                "program": fingerprint.hash_program(arrays, params, *batched(schema, PROBED)),
            },
            "data": {
                "arguments": fingerprint.as_json("data_arguments", data_arguments),
                "samples": len(data),
                "contents": schemas.hash_samples(probes, keys.metadata),
                "keys": fingerprint.as_json("keys", _keys(columns, keys)),
                "inputs": [f"{x.dtype}{list(x.shape)}" for x in schema.inputs],
                "labels": schema.label or "none",
                "metadata": dict(schema.metadata),
            },
            "sources": list(sources),
            "classes": list(classes),
            "dtype": str(stored),
            "chunk": chunk,
            **({} if form is None else {"places": form.words()}),
        }
        table = Table(schema, tuple(sources), tuple(classes), stored, columns.units)
        return cls(arrays, params, reader, schema, table, Chunks(len(data), chunk), identity)

    def batch(self, wanted: int | None) -> int | None:
        """Return the batch that is computed where one is asked for: no larger than a chunk."""
        return None if wanted is None else min(wanted, self.chunks.size)

    def compile(self, batch: int | None, run: RunOptions) -> CompiledBatch:
        """Compile for a batch on each device, or for the largest one that the memory allows."""
        chosen = jax.local_devices() if run.devices is None else run.devices
        what, size = (self.arrays, self.params, self.schema), self.chunks.size
        if batch is None:
            largest = min(size, LARGEST_BATCH.get(chosen[0].platform, size))
            return compile_largest(*what, chosen, max_bytes=run.max_bytes, largest=largest)
        return compile_batch(*what, batch, chosen)


def _keys(columns: Columns, keys: Keys) -> dict[str, Json]:
    return {
        "inputs": keys.inputs,
        "other_inputs": sorted(keys.others),
        "label": columns.label,
        "id": "given" if columns.ids is not None else columns.id,
        "fill": {key: str(columns.fill_of(key)) for key in keys.inputs},
        "units": dict(columns.units),
    }


def _floating(dtype: DTypeLike | None) -> np.dtype | None:
    if dtype is None:
        return None
    wanted = np.dtype(dtype)
    if not jnp.issubdtype(wanted, np.floating):
        raise ValueError(f"dtype must be floating point, got {wanted}")
    if jax.dtypes.canonicalize_dtype(wanted) != wanted:
        raise ValueError(f"{wanted} needs jax.config.update('jax_enable_x64', True)")
    return wanted


def _check_length(data: DataSource, ids: Sequence[object] | None) -> None:
    if len(data) == 0:
        raise ValueError("the data source is empty")
    if len(data) >= sys.maxsize:
        raise ValueError("the data source repeats for ever: leave out .repeat()")
    if ids is not None and len(ids) != len(data):
        raise ValueError(f"{len(data)} samples, but {len(ids)} ids")
