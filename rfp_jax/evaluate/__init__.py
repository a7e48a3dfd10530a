"""Relevance of a whole data set: batched, sharded, resumable, losing nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jax.typing import DTypeLike

from rfp_jax._extras import needs_extra
from rfp_jax._transforms.relevance import relevance
from rfp_jax.evaluate import processes
from rfp_jax.evaluate.devices import Devices
from rfp_jax.evaluate.errors import (
    BadSampleError,
    OtherProcessError,
    TableInUseError,
    TableMismatchError,
)
from rfp_jax.evaluate.fingerprint import describe, differences
from rfp_jax.evaluate.job import Job
from rfp_jax.evaluate.journal import Journal, is_table, read_attributes
from rfp_jax.evaluate.processes import join
from rfp_jax.evaluate.run import Run
from rfp_jax.evaluate.samples import DataSource, Keys

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "BadSampleError",
    "OtherProcessError",
    "TableInUseError",
    "TableMismatchError",
    "evaluate",
    "join",
]


def evaluate(
    fun: Callable[..., Any],
    data: DataSource,
    path: str | os.PathLike[str],
    *,
    params: Any,
    sources: Sequence[str],
    classes: Sequence[str],
    inputs: Sequence[str] | None = None,
    metadata: Sequence[str] = (),
    label: str = "label",
    id: str = "id",
    ids: Sequence[object] | None = None,
    rules: Any = "lrp0",
    method: Callable[..., Callable[..., Any]] = relevance,
    manifest: Mapping[str, Any] | None = None,
    data_arguments: Mapping[str, Any] | None = None,
    dtype: DTypeLike | None = None,
    chunk: int = 1024,
    batch: int | None = None,
    memory: int | None = None,
    devices: Devices | None = None,
    threads: int = 16,
    strict: bool = False,
    progress: bool = True,
) -> xr.Dataset:
    """Compute the relevance of every source for every class of every sample, into a table on disk.

    The table is an xarray `Dataset` in zarr, with the dimensions `sample`, `source` (the sources,
    then `bias`) and `class`, the variables `relevance` and `output`, and, for every sample, `id`,
    `label`, `prediction`, the chosen metadata, `failure` (why it could not be evaluated, or "") and
    `finite` (whether all its numbers are finite).

    Call it again after a crash, with the same arguments: it goes on where it was. Until the table
    is complete it stands in `PATH.partial`, and nothing is at `path`. If a complete table is there,
    it is returned as it is.

    Every device of this process computes a batch of its own; processes that have joined (`join`)
    share the chunks between them, and each must be given the same arguments.

    Args:
        fun: the model, `fun(params, *inputs)`, for instance a Flax module's `apply`. It returns one
            array, [batch, classes]; samples must not influence one another.
        data: random access to samples, each a mapping of names to values without a batch axis: a
            Grain data source, a `grain.MapDataset`, a list. Read by several threads at once.
        path: where to put the table; a folder, by custom with the suffix `.zarr`.
        params: the parameters of the model, a tree of arrays.
        sources: names of the sources, in the order of the model's arguments.
        classes: names of the outputs.
        inputs: keys of the model's arguments in a sample; by default those of the sources.
        metadata: keys of further values in a sample to keep: numbers, bools or strings.
        label: key of the true class (an integer, -1 if unknown), or of one bool or 0/1 a class.
            Samples need not have one.
        id: key of a sample's name. Without one the name is the index.
        ids: names of all samples, so that even one that cannot be read has its name.
        rules: the rules of propagation, as for `rfp_jax.relevance`.
        method: what makes the function that returns a `Relevance`: called as
            `method(fun, argnums=(1, 2, ...), rules=rules)`. Each leaf of the relevance's `sources`
            is a source, [batch, classes], or a stack of them, [n, batch, classes].
        manifest: what to know about the model (architecture, checkpoint, hash ...), kept in the
            table's attributes.
        data_arguments: what to know about the data (name, split, arguments), kept likewise.
        dtype: the floating-point dtype of the inputs; by default that of the samples.
        chunk: samples that are committed together; a run that goes on must use the same.
        batch: samples that one device computes at once. By default the largest power of two that
            fits `memory`, up to 32 on a CPU and 256 elsewhere; a resumed table keeps the one that
            it was begun with.
        memory: memory budget in bytes for each device; by default three quarters of what is free,
            or 1 GiB where the device does not say (CPU).
        devices: devices of this process to use; by default all.
        threads: how many threads read samples; 0 reads in the main thread.
        strict: whether to stop at the first sample that fails or whose relevance is not finite.
        progress: whether to show a progress bar and a summary (on stderr); of several processes
            the first one shows its share.

    Returns:
        The table, opened lazily. In several processes, all of them get it.

    Raises:
        TableMismatchError: the table at `path` was begun with other arguments; names each.
        TableInUseError: another run is writing it.
        BadSampleError: `strict`, and a sample is bad.
        FileExistsError: there is something at `path` that is not a table.
        ValueError, TypeError: the arguments do not fit one another; says how.
        OSError: the disk is full, for instance; what is committed stays, and the next call goes on.

    Examples:
        >>> import tempfile, numpy as np, rfp_jax
        >>> from rfp_jax.evaluate import evaluate
        >>> data = [
        ...     {"optical": np.float32([i, 1]), "sar": np.float32([1, 2]), "label": 1}
        ...     for i in range(6)
        ... ]
        >>> params = {"optical": np.eye(2, dtype="float32"), "sar": np.ones((2, 2), "float32")}
        >>> def model(params, optical, sar):
        ...     return optical @ params["optical"] + sar @ params["sar"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = evaluate(
        ...         model, data, f"{folder}/relevance.zarr", params=params, progress=False,
        ...         sources=("optical", "sar"), classes=("water", "forest"),
        ...     ).load()
        >>> table.relevance.sel(source="sar").mean().item()
        3.0
        >>> table.sizes["sample"], table.prediction.values.tolist()
        (6, [1, 0, 0, 0, 0, 0])
    """
    with needs_extra("Evaluating a data set"):
        import grain  # noqa: F401  (found missing here rather than in the middle of a run)
        import rich  # noqa: F401
        import xarray  # noqa: F401
        import zarr  # noqa: F401
    from rfp_jax import store

    with processes.phase():
        _check_numbers(chunk=chunk, batch=batch, memory=memory, threads=threads)
        keys = Keys(tuple(inputs or sources), label, id, tuple(metadata))
        job = Job.of(
            method(fun, argnums=tuple(range(1, len(keys.inputs) + 1)), rules=rules),
            params,
            data,
            sources=sources,
            classes=classes,
            keys=keys,
            ids=ids,
            dtype=dtype,
            chunk=chunk,
            made={name: describe(value) for name, value in (("rules", rules), ("method", method))},
            manifest=manifest,
            data_arguments=data_arguments,
        )
    journal = Journal(Path(path).absolute())
    with ExitStack() as stack:
        with processes.phase():
            if processes.is_first():
                journal.begin(stack)
        with processes.phase():
            complete, begun = is_table(journal.path), journal.attributes()
            there = read_attributes(journal.path) if complete else begun
            _same(journal, there or job.identity, job.identity)
        if complete:
            return store.open(path)
        with processes.phase():
            step = job.step(batch or (begun or {}).get("batch"), memory, devices)
        with processes.phase():
            if processes.is_first() and not begun:
                journal.create(job.table, job.chunks, {**job.identity, "batch": step.batch})
        with processes.phase():  # the other processes must compute the same, in the same batches
            begun = journal.attributes() or {}
            _same(journal, begun, job.identity)
            if batch is None and step.batch != begun["batch"]:
                step = job.step(begun["batch"], memory, devices)
        Run(journal, job, step, threads, strict, progress)()
        with processes.phase():
            if processes.is_first():
                journal.publish()
    found = store.open(path)
    if progress and processes.is_first():
        store.print_summary(found)
    return found


def _same(journal: Journal, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if found := differences({key: there.get(key) for key in now}, now):
        message = f"the table at {journal.path} is another one:"
        remedy = "Give the arguments that it was begun with, or another path, or remove it."
        raise TableMismatchError("\n".join([message, *found, remedy]))


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        least = 0 if name == "threads" else 1
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
