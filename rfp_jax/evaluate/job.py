"""What is to be computed: checked, traced, and with a fingerprint of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rfp_jax.evaluate import fingerprint
from rfp_jax.evaluate.devices import LARGEST_BATCH, Devices, Step, batched, build, fit
from rfp_jax.evaluate.plan import Chunks
from rfp_jax.evaluate.rows import as_arrays
from rfp_jax.evaluate.samples import DataSource, Keys, Reader, Schema, infer_schema
from rfp_jax.evaluate.table import Table, check_names


@dataclass(frozen=True)
class Job:
    """One evaluation, but for where it is written and on how many devices it is computed.

    Attributes:
        arrays: maps parameters and a batch of inputs to relevance and output.
        params: the parameters.
        reader: reads samples, and knows what they look like.
        table: the layout of the table.
        chunks: the chunks of the data set.
        identity: what must be the same for a run to go on with a table, as JSON.
    """

    arrays: Callable[..., Any]
    params: Any
    reader: Reader
    table: Table
    chunks: Chunks
    identity: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        explained: Callable[..., Any],
        params: Any,
        data: DataSource,
        *,
        sources: Sequence[str],
        classes: Sequence[str],
        keys: Keys,
        ids: Sequence[object] | None,
        dtype: DTypeLike | None,
        chunk: int,
        made: Mapping[str, Any],
        manifest: Mapping[str, Any] | None,
        data_arguments: Mapping[str, Any] | None,
    ) -> Job:
        """Check the arguments, look at some samples, and trace the model on them.

        Args:
            explained: maps parameters and inputs to a `Relevance`.
            params: the parameters.
            data: the samples.
            sources: names of the sources.
            classes: names of the outputs.
            keys: where in a sample what is found.
            ids: names of all samples, or None.
            dtype: the dtype of the inputs, or None.
            chunk: samples in a chunk.
            made: how relevance was made, for the fingerprint: rules and method.
            manifest: what to know about the model.
            data_arguments: what to know about the data.

        Raises:
            ValueError, TypeError: they do not fit one another; says how.
        """
        check_names(sources, classes, keys.metadata)
        _check_length(data, ids)
        arrays = as_arrays(explained, sources, classes)
        params = jax.tree.map(lambda x: x if isinstance(x, jax.Array) else np.asarray(x), params)

        def shapes(schema: Schema) -> tuple[jax.ShapeDtypeStruct, ...]:
            return jax.eval_shape(arrays, params, *batched(schema, 2))

        reader = Reader(data, keys, len(classes), _floating(dtype), ids)
        reader = replace(reader, schema=infer_schema(reader, accepts=shapes))
        schema = reader.known
        relevance, _ = shapes(schema)
        stored = np.dtype(np.float64 if relevance.dtype == np.float64 else np.float32)
        identity = {
            "versions": fingerprint.versions(),
            **made,
            "model": {
                "manifest": fingerprint.plain("manifest", manifest),
                "parameters": fingerprint.parameters(params),
                "program": fingerprint.program(arrays, params, *batched(schema, 2)),
            },
            "data": {
                "arguments": fingerprint.plain("data_arguments", data_arguments),
                "samples": len(data),
                "contents": fingerprint.contents(reader),
                "keys": fingerprint.plain("keys", asdict(keys)),
                "inputs": [f"{x.dtype}{list(x.shape)}" for x in schema.inputs],
            },
            "sources": list(sources),
            "classes": list(classes),
            "dtype": str(stored),
            "chunk": chunk,
        }
        table = Table(schema, tuple(sources), tuple(classes), stored)
        return cls(arrays, params, reader, table, Chunks(len(data), chunk), identity)

    def step(self, batch: int | None, memory: int | None, devices: Devices | None) -> Step:
        """Compile for a batch on each device, or for the largest one that the memory allows."""
        chosen = jax.local_devices() if devices is None else devices
        what, size = (self.arrays, self.params, self.reader.known), self.chunks.size
        if batch is None:
            largest = min(size, LARGEST_BATCH.get(chosen[0].platform, size))
            return fit(*what, chosen, memory=memory, largest=largest)
        return build(*what, min(batch, size), chosen)


def _floating(dtype: DTypeLike | None) -> np.dtype[Any] | None:
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
